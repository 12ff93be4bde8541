"""The table of models: detectors and translators, Linen modules for normalised images [B, S, S, 3].

A detector maps images to raw outputs, called as `model(images, train=)`; one with attention layers may take their
softmax `temperature`, too. A translator is called as `model(images, structures, train=)`.

A model's name in the table is that of its file and, in small letters, of its class; a file of several models lies in a
folder whose name theirs begin with.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm import config as config_lib
from jaxlm.models.cnn import CNN
from jaxlm.models.dpr import GLSR, GSR
from jaxlm.models.efficientnet import EfficientNet
from jaxlm.models.fan import FAN
from jaxlm.models.lab import LAB
from jaxlm.models.mobilenetv2_small import MobileNetV2Small
from jaxlm.models.resnet18 import ResNet18
from jaxlm.models.resunet import ResUNet
from jaxlm.models.san import SAN
from jaxlm.models.san_style import SANStyle
from jaxlm.models.shufflenetv2_heatmap import ShuffleNetV2HeatMap
from jaxlm.models.vunet import VUNet

DETECTORS: dict[str, type[nn.Module]] = {
    "cnn": CNN,
    "dpr_glsr": GLSR,
    "dpr_gsr": GSR,
    "efficientnet": EfficientNet,
    "fan": FAN,
    "lab": LAB,
    "mobilenetv2_small": MobileNetV2Small,
    "resnet18": ResNet18,
    "resunet": ResUNet,
    "san": SAN,
    "san_style": SANStyle,
    "shufflenetv2_heatmap": ShuffleNetV2HeatMap,
}
TRANSLATORS: dict[str, type[nn.Module]] = {"vunet": VUNet}
MODELS = DETECTORS | TRANSLATORS


def complete(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of the model `name`: its defaults, replaced by `options`.

    Raises:
      ValueError: The name, an option or the value of a choice is unknown; the nearest one is suggested.
    """
    config_lib.check_known(name, MODELS, f"unknown model {name!r}; models are entered in jaxlm/models/registry.py")
    return config_lib.complete(MODELS[name], f"model {name}", dict(options))


def build(name: str, num_points: int, options: Mapping[str, Any], dtype: DTypeLike) -> nn.Module:
    """The model `name`, computing in `dtype`; a detector for `num_points` landmarks.

    `options` are fields of the model's class; lists, as JSON has them, become tuples.

    Raises:
      ValueError: The name, an option or the value of a choice is unknown; the nearest one is suggested.
    """
    completed = complete(name, options)
    if name in DETECTORS:
        completed["num_points"] = num_points
    return MODELS[name](dtype=dtype, **completed)


def takes_temperature(model: nn.Module) -> bool:
    """Whether a model's `__call__` has the argument `temperature`; training then lowers it, see `optim.temperature`."""
    return "temperature" in inspect.signature(type(model).__call__).parameters
