"""JSON and TOML from strangers, checked against a schema: a `msgspec.Struct`, a dataclass or any other type."""

from __future__ import annotations

import json
import os
import pathlib
import re
import stat
import tomllib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

MOST_BYTES = 64 * 2**20
"""Size of the largest JSON file that is read, unless its kind may be larger."""

MOST_TOML_BYTES = 2**20
"""Size of the largest TOML file; one that names a thousand points and their boundaries has a tenth of it."""

# A dotted key of nine parts or more, for which tomllib takes memory in the square of its parts.
_DOTTED = re.compile(r"""(?<![\w-])(?:(?:"[^"\n]*"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){8}""")


def as_schema(value: Any, schema: type[T], where: str) -> T:
    """The value as the type `schema`, which says what may be in it.

    Raises:
      ValueError: It is something else; the message starts with `where`, and says at which place.
    """
    try:
        return msgspec.convert(value, schema)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: {str(error).replace('$.', '').replace(' - at `$`', '')}") from None
    except (TypeError, ValueError, RecursionError, OverflowError) as error:  # From a dataclass's own checks.
        raise ValueError(f"{where}: {error}") from None


def parse_json(text: str | bytes, schema: type[T], where: str) -> T:
    """The value in JSON text, as the type `schema`.

    Raises:
      ValueError: It is no JSON, or something else; the message starts with `where`.
    """
    return as_schema(_parsed(_parse_json, text, "JSON", where), schema, where)


def _parse_json(content: str | bytes) -> Any:
    return json.loads(content if isinstance(content, str) else content.decode("utf-8-sig"))


def regular_size(path: str | os.PathLike[str]) -> int:
    """The number of bytes of a file.

    Raises:
      OSError: There is none.
      ValueError: It is a FIFO, a device or a folder, which has no end or no content.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{os.fspath(path)} is no regular file")
    return status.st_size


def read_json(path: str | os.PathLike[str], schema: type[T], most: int = MOST_BYTES) -> T:
    """The value in a JSON file of at most `most` bytes, as the type `schema`.

    Raises:
      OSError: The file cannot be read.
      ValueError: It is too large, no JSON, or holds something else; the message names the file.
    """
    return parse_json(_read(path, most), schema, os.fspath(path))


def read_toml(path: str | os.PathLike[str], schema: type[T]) -> T:
    """The value in a TOML file, as the type `schema`; see `read_json`."""
    return as_schema(
        _parsed(_parse_toml, _read(path, MOST_TOML_BYTES), "TOML", os.fspath(path)), schema, os.fspath(path)
    )


def _parse_toml(content: bytes) -> Any:
    text = content.decode("utf-8-sig")
    if dotted := _DOTTED.search(text):
        raise ValueError(f"line {text.count(chr(10), 0, dotted.start()) + 1}: a key has too many dots")
    return tomllib.loads(text)


def _parsed(parse: Callable[[Any], Any], content: str | bytes, kind: str, where: str) -> Any:
    try:
        return parse(content)
    except RecursionError:
        raise ValueError(f"{where} is no usable {kind}: it is nested too deep") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not UTF-8 text, at byte {error.start}") from None
    except ValueError as error:
        raise ValueError(f"{where} is no {kind}: {error}") from None


def _read(path: str | os.PathLike[str], most: int) -> bytes:
    """The bytes of a regular file of at most `most` bytes."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no regular file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} has more than {most:,} bytes, which is too large for what it should hold")
    return content
