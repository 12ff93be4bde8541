"""The folder of a run: one run at a time writes to it."""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import Iterator

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
