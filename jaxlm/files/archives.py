"""Arrays in .npz and .npy files. The header of each is read and checked before memory is taken for its values.

Arrays hold numbers, true and false, or strings; pickled objects, structures and encrypted members are refused.
"""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple, TypeVar

import numpy as np

from jaxlm.files.documents import parse_json
from jaxlm.files.pickled_arrays import check_characters

T = TypeVar("T")

_MOST_HEADER = 10_000
_PIECE = 2**24
# An archive may unpack to this many times its size, and a bit: labels shrink, and photos and weights do not.
_UNPACKED, _UNPACKED_BYTES = 20, 2**26
_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?)([biufU])(\d{1,9})', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\),? ?\}\s*"
)
_DAMAGE = (ValueError, KeyError, EOFError, RuntimeError, OverflowError, struct.error, zipfile.BadZipFile, zlib.error)


class Member(NamedTuple):
    """What the header of an array says.

    Attributes:
      dtype: Its dtype, of kind `b`, `i`, `u`, `f` or `U`.
      shape: Its shape.
      by_columns: Whether the first index changes fastest.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    by_columns: bool

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """The arrays of an .npz file, by name; opening it reads their headers alone.

    Args:
      path: The file.
      kind: What a wrong file is, for messages: `no pack that prepare wrote`.

    Raises:
      OSError: The file cannot be read.
      ValueError: It is no .npz archive, or one of its members is encrypted, no array of numbers, true and false or
        strings, or far larger than its file says. The message names the file.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str) -> None:
        self.path = pathlib.Path(path)
        self._kind = kind
        if self.path.exists() and not self.path.is_file():
            raise ValueError(f"{path} is {kind}: it is a folder or a device")
        file = self.path.open("rb")
        try:
            with self._told(f"is {kind}, or a damaged one"):
                self._zip = zipfile.ZipFile(file)
                self.members = self._read_headers(os.fstat(file.fileno()).st_size)
        except BaseException:
            file.close()
            raise

    @contextlib.contextmanager
    def _told(self, beginning: str) -> Iterator[None]:
        """Turns all that a damaged archive raises into a ValueError that names the file."""
        try:
            yield
        except (*_DAMAGE, OSError) as error:
            said = str(error).partition("\n")[0][:200] or type(error).__name__
            raise ValueError(f"{self.path} {beginning}: {said}") from None

    def _read_headers(self, size: int) -> dict[str, Member]:
        members = {}
        left = _UNPACKED * size + _UNPACKED_BYTES
        for info in self._zip.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename or name in members:
                raise ValueError(f"its member {name[:100]!r} is no array, or there twice")
            if info.flag_bits & 1:
                raise ValueError(f"its member {name[:100]!r} is encrypted")
            left -= info.file_size
            if left < 0:
                raise ValueError(f"it would unpack to more than {_UNPACKED} times its size")
            with self._zip.open(info) as file:
                member, length = _read_header(file)
            if member.num_bytes + length != info.file_size:
                raise ValueError(f"{name}: an array of {member.dtype} {list(member.shape)} has {info.file_size} bytes")
            members[name] = member
        return members

    def read(self, name: str, kinds: str, shape: tuple[int | None, ...] | None = None) -> np.ndarray:
        """The array of that name.

        Args:
          name: Its name in the archive.
          kinds: The kinds of dtype that it may have, letters of `numpy.dtype.kind`.
          shape: The shape that it must have, None for any length of an axis; without it, any shape.

        Raises:
          ValueError: It is missing, of another kind or shape, or damaged; numbers may be NaN or infinite.
        """
        member = self.members.get(name)
        if member is None:
            raise ValueError(f"{self.path} is {self._kind}: it has no {name[:100]}")
        fits = shape is None or len(shape) == len(member.shape)
        if member.dtype.kind not in kinds or not fits or (shape and not _fits(member.shape, shape)):
            wanted = "" if shape is None else f" {['any' if n is None else n for n in shape]}"
            kind = " or ".join(_KINDS[letter] for letter in kinds)
            raise ValueError(
                f"{self.path}: {name} is {member.dtype} {list(member.shape)}, not {kind}{wanted}".replace(
                    "'any'", "any"
                )
            )
        with self._told(f"is damaged: {name}"), self._zip.open(f"{name}.npy") as file:
            _read_header(file)
            return _read_values(file, member)

    def read_json(self, name: str, schema: type[T]) -> T:
        """The value in the JSON text of the array `name`, a single string; see `documents.as_schema`."""
        text = self.read(name, "U", ())
        return parse_json(str(text), schema, f"{self.path}, {name}")


_KINDS = {"b": "true and false", "i": "integers", "u": "integers from 0 on", "f": "numbers", "U": "strings"}


def _fits(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return all(length in (None, size) for size, length in zip(found, wanted, strict=True))


def read_array(path: str | os.PathLike[str], kinds: str) -> np.ndarray:
    """The array of a .npy file, of one of the `kinds`.

    Raises:
      OSError: The file cannot be read.
      ValueError: It is damaged, or holds something else; the message names the file.
    """
    where = pathlib.Path(path)
    if where.exists() and not where.is_file():
        raise ValueError(f"{path} is a folder or a device, not a .npy file")
    with where.open("rb") as file:
        try:
            member, length = _read_header(file)
            if member.num_bytes + length != os.fstat(file.fileno()).st_size or member.dtype.kind not in kinds:
                raise ValueError(f"it holds {member.dtype} {list(member.shape)}")
            return _read_values(file, member)
        except _DAMAGE as error:
            raise ValueError(f"{path} is not a .npy file of numbers, or it is damaged: {error}") from None


def _read_header(file: IO[bytes]) -> tuple[Member, int]:
    """What an array's header says, and its length in bytes; see numpy.lib.format. Nothing of it is evaluated."""
    magic = file.read(8)
    if len(magic) < 8 or magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
        raise ValueError("an array does not begin as one")
    size = file.read(2 if magic[6] == 1 else 4)
    length = int.from_bytes(size, "little")
    if length > _MOST_HEADER:
        raise ValueError("the header of an array is too long")
    text = file.read(length)
    found = _HEADER.fullmatch(text)
    if found is None:
        raise ValueError(f"an array of numbers or strings should have another header: {text[:80]!r}")
    order, kind, width, by_columns, axes = (part.decode() for part in found.groups())
    shape = tuple(int(axis) for axis in axes.replace(" ", "").split(",") if axis)
    try:
        dtype = np.dtype(f"{order}{kind}{width}")
    except TypeError as error:
        raise ValueError(str(error)) from None
    if len(shape) > 32 or not dtype.itemsize or (dtype.itemsize > 8 and kind != "U"):
        raise ValueError(f"an array of {dtype} {list(shape)} cannot be")
    return Member(dtype, shape, by_columns == "True"), 8 + len(size) + length


def _read_values(file: IO[bytes], member: Member) -> np.ndarray:
    """The values after a header, whose size was compared with the file's."""
    values = np.empty(math.prod(member.shape), member.dtype)
    target = values.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(target):
        piece = file.read(min(_PIECE, len(target) - done))
        if not piece:
            raise EOFError("an array ends early")
        target[done : done + len(piece)] = piece
        done += len(piece)
    file.read(1)  # At the end, the archive compares its checksum.
    check_characters(values)
    values = values.astype(member.dtype.newbyteorder("="), copy=False)
    return values.reshape(member.shape, order="F" if member.by_columns else "C")
