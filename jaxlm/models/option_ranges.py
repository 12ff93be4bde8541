"""What the options of models and tasks may be: numbers by the option's name, which means the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

_MOST = 10_000

_COUNTS = ("sets", "groups", "pool", "stride", "styles")
_WIDTHS = ("width", "widths", "head_width", "decoder_width", "encoder_width", "max_width")
_TRANSLATORS = ("translator_width", "translator_max_width")
# Options by what their numbers must be.
_RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    ((*_COUNTS, *_WIDTHS, *_TRANSLATORS), lambda value: 0 < value <= _MOST, f"above 0 and at most {_MOST}"),
    (("stacks", "blocks"), lambda value: 1 <= value <= 100, "in 1..100"),
    (("depth",), lambda value: 1 <= value <= 10, "in 1..10"),
    (("translator_size",), lambda value: 8 <= value <= 4096, "in 8..4096"),
    (("ratio", "sigma", "context"), lambda value: 0 < value <= _MOST, f"above 0 and at most {_MOST}"),
    (("adversarial", "gram_weight", "beta"), lambda value: 0 <= value <= 10**9, "in 0..1000000000"),
    (("dropout",), lambda value: 0 <= value < 1, "at least 0 and below 1"),
    (("warmup_share",), lambda value: 0 <= value <= 1, "in 0..1"),
    (("seed",), lambda value: 0 <= value < 2**31, "in 0..2147483647"),
)


def check_options(where: str, options: Mapping[str, Any]) -> None:
    """Checks the numbers among the options of a model or a task; lists of them are none without a number.

    Args:
      where: What comes before the name of an option in messages: `model.options`.
      options: The options.

    Raises:
      ValueError: A number is none that the option can be.
    """
    for names, fits, text in _RANGES:
        for name in sorted(options.keys() & names):
            value = options[name]
            numbers = value if isinstance(value, tuple | list) else (value,)
            if not numbers:
                raise ValueError(f"{where}.{name} must be one number at least, not none")
            if not all(isinstance(one, int | float) and math.isfinite(one) and fits(one) for one in numbers):
                raise ValueError(f"{where}.{name} must be {text}, not {value}")
