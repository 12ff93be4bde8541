"""The numpy arrays in a pickle, and their dtypes and scalars, made of bytes whose number and kind are checked first."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

MOST_DIMENSIONS = 16

_CODE = re.compile(r"([<>|=]?)([biufUO])(\d{0,5})")


class RefusedError(ValueError):
    """A pickle asks for something that is refused; the message is its name."""


@dataclasses.dataclass(frozen=True)
class Global:
    """A class or function of `NAMES`, by its name alone."""

    name: str


@dataclasses.dataclass
class Dtype:
    """A dtype: kind `b`, `i`, `u`, `f`, `U` or `O`, size in bytes (`U`: in characters), byte order."""

    kind: str
    size: int
    order: str = "="

    def numpy(self) -> np.dtype:
        return np.dtype(f"{self.order}{self.kind}{self.size}")


@dataclasses.dataclass
class Empty:
    """An array whose shape and values are still to come, and where the memo has it."""

    keys: list[int] = dataclasses.field(default_factory=list)


def order_of(state: Any) -> str:
    """The byte order in the state of a dtype."""
    order = state[1]
    if order not in ("<", ">", "=", "|"):
        raise ValueError("a dtype has an unknown byte order")
    return order


def _dtype(code: Any, *_: Any) -> Dtype:
    found = _CODE.fullmatch(_text(code))
    if found is None:
        raise RefusedError(f"an array of {_text(code)[:40]!r}")
    order, kind, size = found.groups()
    return Dtype(kind, int(size or 0), order or "=")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} in place of a string")
    return value


def _reconstruct(kind: Any, *_: Any) -> Empty:
    if kind != Global("numpy.ndarray"):
        raise ValueError("an array of another class than numpy.ndarray")
    return Empty()


def _scalar(dtype: Any, values: Any) -> Any:
    return _array(values, dtype, (1,), "C")[0].item()


def array_of_state(state: Any) -> Any:
    """The array of (version, shape, dtype, whether columns come first, values); a list, where it is one of objects."""
    _, shape, dtype, by_columns, values = state
    if isinstance(dtype, Dtype) and dtype.kind == "O":
        if not isinstance(values, list) or shape != (len(values),):
            raise RefusedError("an array of objects that is no list")
        return list(values)
    return _array(values, dtype, shape, "F" if by_columns else "C")


def _frombuffer(values: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return _array(values, dtype, shape, "F" if order == "F" else "C")


def _array(values: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """An array of numbers or strings from just as many bytes as it needs; Python 2 pickled them as a string."""
    if not isinstance(dtype, Dtype) or dtype.kind == "O" or not isinstance(values, bytes | bytearray | str):
        raise ValueError("an array has no bytes, or no dtype of numbers or strings")
    if not isinstance(shape, tuple) or len(shape) > MOST_DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError("an array has no sane shape")
    kind, count = dtype.numpy(), math.prod(shape)
    if count * kind.itemsize != len(values) or not count:
        raise ValueError(f"an array of shape {list(shape)[:4]} and dtype {kind} has {len(values)} bytes")
    array = np.frombuffer(bytearray(values.encode("latin1") if isinstance(values, str) else values), kind)
    check_characters(array)
    return array.reshape(shape, order=order)


def check_characters(array: np.ndarray) -> None:
    """Raises ValueError where bytes are no characters (arrays of strings) or neither true nor false (bool)."""
    if array.dtype.kind == "U":
        codes = array.view(np.dtype("u4").newbyteorder(array.dtype.byteorder))
        if codes.max(initial=0) > 0x10FFFF or np.any((codes >= 0xD800) & (codes < 0xE000)):
            raise ValueError("an array of strings holds what is no character")
    elif array.dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError("an array of true and false holds something else")


def _latin1(text: Any, encoding: Any) -> bytes:
    """The bytes of an array in protocols 0 to 2; it stands in for `_codecs.encode`, which could do more."""
    if encoding != "latin1":
        raise RefusedError(f"_codecs.encode to {_text(encoding)[:40]}")
    return _text(text).encode("latin1")


NAMES = {
    "numpy.ndarray",
    "numpy.dtype",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer",
    "_codecs.encode",
}
"""The classes and functions that a pickle of numpy arrays names. They are not looked up: `CALLS` stands in for them."""

CALLS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _dtype,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _frombuffer,
    "_codecs.encode": _latin1,
}
