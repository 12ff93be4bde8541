"""Output files that appear only when they are whole: written beside, then renamed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import re
import secrets
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

_KEPT = 40  # Characters of a name that its unfinished file has, too: 160 bytes at most, so that any name fits.
# What a killed process leaves; earlier versions called the copy of a video `.PID.part`.
_UNFINISHED = re.compile(r"\.(?:.*\.)?(\d+)(?:\.[0-9a-f]{8}\.incomplete|\.part)", re.DOTALL)
# What this process is writing.
_writing: set[pathlib.Path] = set()


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write, which takes the place of `path` when the block ends well.

    Whatever happens before, a kill or a full disk, the earlier file of that name stays as it was; what was written is
    removed, or stays as `.NAME.PID.*.incomplete` after a kill; see `remove_unfinished`. A link is followed; a device or
    a pipe is written itself.

    Raises:
      OSError: The folder or the disk cannot be written; the error names `path`.
    """
    target = pathlib.Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        with target.open("wb") as file:
            yield file
        return
    unfinished = None
    try:
        with unfinished_beside(target) as unfinished:
            with unfinished.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
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


@contextlib.contextmanager
def unfinished_beside(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A free name beside `target` for what is to take its place; a file of that name is removed at the end."""
    unfinished = target.with_name(f".{target.name[:_KEPT]}.{os.getpid()}.{secrets.token_hex(4)}.incomplete")
    _writing.add(unfinished)
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)
        _writing.discard(unfinished)


def check_can_write(file: pathlib.Path) -> None:
    """Raises OSError where a file, whose folder need not exist, cannot be written; to be told before long work."""
    place = next(path for path in file.absolute().parents if os.path.lexists(path))
    if file.is_dir():
        raise IsADirectoryError(f"{file} cannot be written: it is a folder")
    if not place.is_dir():
        raise NotADirectoryError(f"{file} cannot be written: {place} is no folder")
    try:
        with unfinished_beside(place / file.name) as trial:
            trial.touch()
    except OSError as error:
        raise OSError(f"{file} cannot be written in {place}: {error.strerror}") from None


def remove_unfinished(folder: pathlib.Path) -> list[str]:
    """Removes from a folder what killed processes have left there of files that were not whole.

    Files of processes that live stay. This process may have the number of one before it, as in a container.

    Returns:
      The names of the files that were removed.
    """
    if os.name != "posix":  # Elsewhere one cannot ask for a process without a signal to it.
        return []
    removed = []
    for path in folder.iterdir():
        match = _UNFINISHED.fullmatch(path.name)
        if match and path not in _writing and not path.is_dir() and not _is_another(int(match[1])):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def _is_another(process: int) -> bool:
    """Whether another process of that number lives."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def check_place(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Raises OSError where a file `path` below a folder cannot be written into that folder.

    There is a link on the way, which may lead anywhere, or something else than a regular file has its name. The folder
    itself may be a link.
    """
    place = folder
    for part in path.relative_to(folder).parts:
        place = place / part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return
        if stat.S_ISLNK(mode):
            raise OSError(f"{place} is a link, and results are not written through links; move it away")
        if place == path and not stat.S_ISREG(mode):
            raise OSError(f"{place} is no regular file, so a result of that name cannot be written; move it away")
