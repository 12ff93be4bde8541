"""Names of photos in the files of others: the file that one names, its group, and what its faces are called."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from jaxlm.data_pipelines.source import BadFaceError

_SHOWN = 100  # Characters of a name that a message quotes.
_TAKEN = -10  # Count of a name that is no photo's, but a further face's.
_NAME = re.compile(r"[^\0-\x1f\ud800-\udfff]{1,1000}")


def photo_in(folder: Path, name: str, where: str) -> Path:
    """The file in `folder`, or in a folder of it, that `name` names; it need not exist.

    Raises:
      BadFaceError: The name is none of a file, or leads out of the folder; the message starts with `where`.
    """
    if not _NAME.fullmatch(name) or ".." in name.split("/") or os.path.isabs(name) or os.path.splitdrive(name)[0]:
        raise BadFaceError(f"{where}: {name[:_SHOWN]!r} names no file in {folder}")
    return folder / name


def face_name(photo: str, known: Counter[str]) -> str:
    """The name of the next face of a photo: the photo's, then `PHOTO:2`, `PHOTO:3`; `known` counts its faces.

    Raises:
      ValueError: Another photo has that name.
    """
    count = known[photo] + 1
    name = f"{photo}:{count}" if count > 1 else photo
    if count < 1 or (name != photo and known[name]):
        raise ValueError(f"a photo is called {name!r}, as a further face of another photo is; rename the photo")
    known[photo] = count
    if name != photo:
        known[name] = _TAKEN
    return name


def check_name(option: str, name: str) -> None:
    """Raises ValueError where a set or a split cannot have that name."""
    if not re.fullmatch(r"\w{1,100}", name):
        raise ValueError(f"{option} {name!r}: it needs a name of at most 100 letters, digits and _")


def check_group_by(group_by: str | None) -> None:
    """Raises ValueError where an option --group-by is no regular expression with a group."""
    if group_by is None:
        return
    try:
        groups = re.compile(group_by).groups
    except re.error as error:
        raise ValueError(f"--group-by {group_by!r} is no regular expression: {error}") from None
    if groups < 1:
        raise ValueError(f"--group-by {group_by!r} has no group in parentheses")


def check_groups(groups: Collection[str], group_by: str | None) -> None:
    """Raises ValueError where --group-by has found nothing but empty groups, so that all faces would be of one."""
    if group_by is not None and groups and not any(groups):
        raise ValueError(f"--group-by {group_by!r} finds an empty group in the name of every photo")


def group_of(photo: str, group_by: str, where: str) -> str:
    """The first group that --group-by finds at the start of a photo's name.

    Raises:
      BadFaceError: It finds none; the message starts with `where`.
    """
    match = re.match(group_by, photo)
    if not match:
        raise BadFaceError(f"{where}: --group-by {group_by!r} does not match the image name {photo!r}")
    if match.group(1) is None:
        raise BadFaceError(f"{where}: --group-by {group_by!r} finds no group in the image name {photo!r}")
    return match.group(1)
