"""What a name map is, and how that of a whole model of `jaxlm.models` is made."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxlm import experiment, models
from jaxlm.checkpoints import Calibration, bundle, shipped
from jaxlm.config import Config
from jaxlm.interop.torch_layers import Entry, Shapes
from jaxlm.landmarks import load_scheme

State = Mapping[str, np.ndarray]

UNKNOWN = "unknown"
"""The data set of a checkpoint that does not name one."""

COUNTERS = {"*.num_batches_tracked": "a counter of batches"}
"""What every published network with batch normalisation has beside its weights."""


@dataclasses.dataclass(frozen=True)
class NameMap:
    """The map from a state dict to our arrays.

    Attributes:
      entries: One entry for each of our arrays.
      trace: Gives `shapes`; that takes a second for a large network.
      ignored: What is left out on purpose: patterns (fnmatch) of tensors, and what they are.
      metadata: The metadata that are written with the weights.
    """

    entries: list[Entry]
    trace: Callable[[], Shapes]
    ignored: Mapping[str, str]
    metadata: dict[str, Any]

    @functools.cached_property
    def shapes(self) -> Shapes:
        """The shapes of the arrays that our model has, by path."""
        return self.trace()


def of_model(
    entries: list[Entry],
    config: Config,
    ignored: Mapping[str, str] = COUNTERS,
    boxes: Mapping[str, Calibration] | None = None,
    card: Mapping[str, str] | None = None,
) -> NameMap:
    """The map for a whole model, whose files are those of jaxlm/checkpoints/bundle.py.

    `boxes` and `card` are those of `Trained`.
    """
    scheme, model = config.data.scheme, config.model
    trace = functools.partial(shapes_of, model.name, model.options, scheme, model.input_size)
    metadata = bundle.metadata_of(experiment.spell_out(config), load_scheme(scheme).num_points)
    return NameMap(entries, trace, ignored, metadata | {"boxes": dict(boxes or {}), "card": dict(card or {})})


def shapes_of(name: str, options: dict[str, Any], scheme: str, input_size: int) -> Shapes:
    """The shapes of a model of `jaxlm.models`, which its initialisation tells."""
    model = models.build(name, load_scheme(scheme).num_points, options, jnp.float32)
    images = jax.ShapeDtypeStruct((1, input_size, input_size, 3), jnp.float32)
    variables = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), images)
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variables, sep="/").items()}


def outputs(state: State, name: str, default: int) -> int:
    """How many outputs the layer with this weight has; `default` where the weight is missing."""
    return len(state[name]) if name in state else default


LANDMARK_BOX = 1.1
"""Side of this project's face boxes of 68 points in sides of the points' tight box, by which published crops go."""


def boxes_of(scheme: str, rise: float = 0.0) -> dict[str, Calibration]:
    """What brings detections to this project's boxes of 68 points, as it was measured for the weights that ship.

    Args:
      scheme: The scheme of the points; for another one than ibug68 nothing was measured.
      rise: By how much the model wants the box higher, in heights of the box.
    """
    file = shipped.MODELS["ibug68"].file
    if scheme != "ibug68" or not file.exists():
        return {}
    measured = models.read_metadata(file)["boxes"]
    return {
        detector: (scale_x, scale_y, shift_x, shift_y - rise * scale_y)
        for detector, (scale_x, scale_y, shift_x, shift_y) in measured.items()
    }
