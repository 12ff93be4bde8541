"""The models: every one maps `images` [B, S, S, 3] to raw outputs, called as `model(images, train=, temperature=)`.

Images are normalised floats; `temperature` is that of attention layers, and models without any ignore it.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.config import complete
from jaxlm.models.cnn import VanillaCNN

MODELS: dict[str, type[nn.Module]] = {"cnn": VanillaCNN}


def build(name: str, num_points: int, options: Mapping[str, Any], dtype: DTypeLike) -> nn.Module:
    """The model `name` for `num_points` landmarks, computing in `dtype`.

    `options` are fields of the model's class; lists, as JSON has them, become tuples.

    Raises:
      ValueError: The name, an option or the value of a choice is unknown; the nearest one is suggested.
    """
    completed = complete(MODELS, name, dict(options))
    _check_choices(name, completed)
    return MODELS[name](num_points=num_points, dtype=dtype, **completed)


def _check_choices(name: str, options: Mapping[str, Any]) -> None:
    """Options declared as a `Literal` hold one of its values."""
    hints = typing.get_type_hints(MODELS[name])
    for option, value in options.items():
        choices = typing.get_args(hints[option])
        if typing.get_origin(hints[option]) is typing.Literal and value not in choices:
            near = difflib.get_close_matches(str(value), map(str, choices), n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(f"{option} of {name} cannot be {value!r}.{hint} Known: {', '.join(map(str, choices))}.")
