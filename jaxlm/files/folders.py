"""Folders that are written to: one process at a time has one."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
from collections.abc import Iterator

import filelock

from jaxlm.files import check_place

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def claimed(folder: pathlib.Path, lock_name: str, busy: str | None) -> Iterator[None]:
    """While entered, no other process can claim a folder, which is made if it is absent.

    The operating system holds the claim and drops it with the process, however that ends.

    Args:
      folder: The folder.
      lock_name: Name of the file in it that is locked; it stays.
      busy: What to say where another process has claimed the folder; None waits until that has ended.

    Raises:
      OSError: The folder cannot be made, a link or no regular file has the lock's name, or another process has claimed
        it.
    """
    make_folder(folder)
    check_place(folder, folder / lock_name)  # The file that a link leads to would be emptied.
    lock = filelock.FileLock(folder / lock_name, timeout=-1 if busy is None else 0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise BlockingIOError(busy) from None
    except NotImplementedError:  # Some network file systems.
        _LOG.warning("%s: the file system has no locks, so a second process here is not noticed", folder)
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
        in_the_way = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        kind = "a link to nothing" if in_the_way.is_symlink() and not in_the_way.exists() else "a file, not a folder"
        raise NotADirectoryError(f"{folder} cannot be made: {in_the_way} is {kind}") from None
