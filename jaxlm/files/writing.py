"""Output files that appear only when they are whole: written beside, then renamed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

_KEPT = 40  # Characters of a name that its unfinished file has, too: 160 bytes at most, so that any name fits.


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write, which takes the place of `path` when the block ends well.

    Whatever happens before, a kill or a full disk, the earlier file of that name stays as it was; what was written is
    removed, or stays as `.NAME.*.incomplete` after a kill. A link is followed; a device or a pipe is written itself.

    Raises:
      OSError: The folder or the disk cannot be written; the error names `path`.
    """
    target = pathlib.Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        with target.open("wb") as file:
            yield file
        return
    unfinished = target.with_name(f".{target.name[:_KEPT]}.{secrets.token_hex(4)}.incomplete")
    try:
        try:
            with unfinished.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        if error.filename in (None, str(unfinished)) and error.errno is not None:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


@contextlib.contextmanager
def replacing_text(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """A text file to write, UTF-8 with the line ends it is given; see `replacing`."""
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        yield text
        text.flush()
        text.detach()


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Writes bytes, or text as UTF-8, to a file that appears only when it is whole; see `replacing`."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: str | os.PathLike[str], document: Any) -> None:
    """Writes JSON, indented, to a file that appears only when it is whole; see `replacing`."""
    write_whole(path, json.dumps(document, indent=2) + "\n")
