"""The folder of a run: one run at a time writes to it, and its files are whole at any moment."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
from collections.abc import Iterator
from typing import TextIO

import filelock

_LOCK = "train.lock"


@contextlib.contextmanager
def claimed(workdir: pathlib.Path) -> Iterator[None]:
    """While entered, no other process can claim `workdir`, which is made if it is absent.

    The operating system holds the claim and drops it with the process, however that ends.

    Raises:
      OSError: The folder cannot be made, or another process has claimed it.
    """
    make_folder(workdir)
    lock = filelock.FileLock(workdir / _LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise BlockingIOError(
            f"another process trains in {workdir}; wait until it ends, or take another --workdir"
        ) from None
    except NotImplementedError:  # Some network file systems.
        logging.warning("%s: the file system has no locks, so a second run in this folder is not noticed", workdir)
    try:
        yield
    finally:
        lock.release()


def make_folder(folder: pathlib.Path) -> None:
    """Makes a folder for results, and those above it.

    Raises:
      OSError: It cannot be made; the message says what is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        in_the_way = next(path for path in (folder, *folder.parents) if path.exists())
        raise NotADirectoryError(f"{folder} cannot be made: {in_the_way} is a file, not a folder") from None


@contextlib.contextmanager
def replacing(file: pathlib.Path) -> Iterator[TextIO]:
    """A text file to write, UTF-8 with the line ends it is given, which takes the name `file` once it is whole.

    A process that is killed meanwhile, or an error, leaves the old one as it was.

    Raises:
      OSError: It cannot be written.
    """
    beside = file.with_name(f"{file.name}.new")
    try:
        with beside.open("w", newline="", encoding="utf-8") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(file)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def replace_text(file: pathlib.Path, text: str) -> None:
    """Writes a file anew; see `replacing`.

    Raises:
      OSError: It cannot be written.
    """
    with replacing(file) as opened:
        opened.write(text)
