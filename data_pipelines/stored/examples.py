"""Examples of TensorFlow (tf.train.Example), parsed without it: named lists of bytes, floats or integers.

The format is protobuf's. Example { Features features = 1 }, Features { map<string, Feature> feature = 1 }, and Feature
is one of BytesList = 1, FloatList = 2 and Int64List = 3, whose values are field 1, packed or one by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Example:
    """The features of an example: for each name the kind of its list, and the list's message."""

    features: dict[str, tuple[int, bytes]]

    def one(self, name: str) -> bytes:
        """The one value of a list of bytes; raises ValueError where there is no such list."""
        values = [value for number, _, value in _fields(self._list(name, _BYTES_LIST)) if number == 1]
        if len(values) != 1 or not isinstance(values[0], bytes):
            raise ValueError(f"{name} is not one value")
        return values[0]

    def floats(self, name: str) -> np.ndarray:
        """The values float32 [n] of a list of floats; raises ValueError where there is no such list."""
        parts = [value for _, kind, value in _fields(self._list(name, _FLOAT_LIST)) if kind in (_BYTES, _FIXED32)]
        return np.frombuffer(b"".join(part for part in parts if isinstance(part, bytes)), "<f4").astype(np.float32)

    def integers(self, name: str) -> np.ndarray:
        """The values int64 [n] of a list of integers; raises ValueError where there is no such list."""
        values: list[int] = []
        for _, _, value in _fields(self._list(name, _INT64_LIST)):
            if isinstance(value, int):
                values.append(value)
                continue
            start = 0
            while start < len(value):
                number, start = _varint(value, start)
                values.append(number)
        return np.array(values, np.uint64).astype(np.int64)

    def _list(self, name: str, kind: int) -> bytes:
        found, content = self.features.get(name, (kind, None))
        if content is None:
            raise ValueError(f"it has no {name}")
        if found != kind:
            raise ValueError(f"{name} is of another kind")
        return content


def parse_example(data: bytes) -> Example:
    """The example in the bytes of a record.

    Raises:
      ValueError: They are no example.
    """
    features = {}
    for message in _messages(data, 1):
        for entry in _messages(message, 1):
            fields = {number: value for number, _, value in _fields(entry)}
            name, feature = fields.get(1), fields.get(2)
            if not isinstance(name, bytes) or not isinstance(feature, bytes):
                raise ValueError("a feature has no name or no values")
            for kind, _, content in _fields(feature):
                if isinstance(content, bytes):
                    features[name.decode()] = kind, content
    return Example(features)


def _messages(data: bytes, number: int) -> Iterator[bytes]:
    """The messages in the fields of that number."""
    return (value for found, _, value in _fields(data) if found == number and isinstance(value, bytes))


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes | int]]:
    """The number, the kind and the value of each field of a message."""
    start = 0
    while start < len(data):
        key, start = _varint(data, start)
        kind = key & 7
        if kind == _VARINT:
            value, start = _varint(data, start)
            yield key >> 3, kind, value
            continue
        if kind == _BYTES:
            length, start = _varint(data, start)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("a field of unknown kind")
        if start + length > len(data):
            raise ValueError("a field is cut off")
        yield key >> 3, kind, data[start : start + length]
        start += length


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """The integer at `start`, 7 bits in a byte, and the place behind it."""
    value = 0
    for position in range(start, min(start + 10, len(data))):
        value |= (data[position] & 0x7F) << 7 * (position - start)
        if data[position] < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position + 1
    raise ValueError("a number is cut off")
