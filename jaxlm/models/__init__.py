"""The models: every one maps `images` [B, S, S, 3] to raw outputs, called as `model(images, train=, temperature=)`.

Images are normalised floats; `temperature` is that of attention layers, and models without any ignore it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.config import complete
from jaxlm.models.cnn import VanillaCNN
from jaxlm.models.dpr import GLSR, GSR
from jaxlm.models.mobilenet import SmallMobileNetV2
from jaxlm.models.shufflenet import ShuffleNetV2HeatMap

MODELS: dict[str, type[nn.Module]] = {
    "cnn": VanillaCNN,
    "dpr_glsr": GLSR,
    "dpr_gsr": GSR,
    "mobilenetv2_small": SmallMobileNetV2,
    "shufflenetv2_heatmap": ShuffleNetV2HeatMap,
}


def build(name: str, num_points: int, options: Mapping[str, Any], dtype: DTypeLike) -> nn.Module:
    """The model `name` for `num_points` landmarks, computing in `dtype`.

    `options` are fields of the model's class; lists, as JSON has them, become tuples.

    Raises:
      ValueError: The name, an option or the value of a choice is unknown; the nearest one is suggested.
    """
    completed = complete(MODELS, name, dict(options))
    return MODELS[name](num_points=num_points, dtype=dtype, **completed)
