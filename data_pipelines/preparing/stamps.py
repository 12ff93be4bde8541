"""The stamp of a prepared set: what its files were when it was prepared, so that old labels are never taken for new."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from jaxlm.data_pipelines.source import Source
from jaxlm.files import read_json, write_json
from jaxlm.landmarks import text_of

STAMP_FILE = "source.json"
"""Name of the file in the folder of a set; sets of earlier versions have none."""


class Stamp(msgspec.Struct, frozen=True):
    """The files that a set was made of.

    Attributes:
      labels: Digest of the labels of all splits, and of the scheme.
      photos: Digest of the names, sizes and times of the photos' files.
      date: Day on which it was prepared.
    """

    labels: str
    photos: str
    date: str


def stamp_of(source: Source, splits: Mapping[str, Sequence[Any]]) -> Stamp:
    """The stamp of what a source has read, today; photos are not opened."""
    labels = hashlib.sha256(text_of(source.scheme).encode())
    files: dict[Path, None] = {}
    numbers = [getattr(source, field.name) for field in dataclasses.fields(source)]  # type: ignore[arg-type]
    _feed(labels, [number for number in numbers if isinstance(number, int | float)], files)
    for split, each in splits.items():
        _feed(labels, split, files)
        _feed(labels, each, files)
    photos = hashlib.sha256()
    for file in files:
        try:
            status = file.stat()
            photos.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
        except (OSError, ValueError):  # Missing; or a name with a zero byte. The face is bad.
            photos.update(f"{file.name} missing\n".encode(errors="surrogateescape"))
    return Stamp(labels.hexdigest(), photos.hexdigest(), datetime.date.today().isoformat())


def _feed(digest: Any, value: Any, files: dict[Path, None]) -> None:
    """Feeds a label, or a part of one, to a digest; files are fed by their names, and gathered."""
    if isinstance(value, Path):
        files[value] = None
        value = value.name
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name != "where":  # A path and a line, which may move.
                _feed(digest, getattr(value, field.name), files)
    elif isinstance(value, list | tuple):
        names = getattr(value, "_fields", range(len(value)))
        for name, part in zip(names, value, strict=True):
            if name != "where":
                _feed(digest, part, files)
    else:
        digest.update(f"{value!r}\n".encode(errors="surrogateescape"))


def write_stamp(folder: Path, stamp: Stamp) -> None:
    """Writes the stamp of the set in `folder`."""
    write_json(folder / STAMP_FILE, msgspec.to_builtins(stamp))


def check_unchanged(source: Source, folder: Path) -> str:
    """A sentence on the files of a set that is kept as it is.

    Raises:
      ValueError: They have changed since the set was prepared.
    """
    file = folder / STAMP_FILE
    if not file.exists():
        return "by an earlier version, from its files of then, which cannot be compared with those of now"
    then = read_json(file, Stamp)
    advice = "--overwrite prepares it anew, and another --data-dir keeps both"
    begin = f"{source.name} was prepared on {then.date[:10]} ({folder})"
    try:
        now = stamp_of(source, source.read(lambda error: None))
    except OSError as error:
        return f"on {then.date[:10]}; its files cannot be compared with those of then: {error}"
    except ValueError as error:
        raise ValueError(f"{begin}, and its annotations have changed since: {error}") from None
    if then.labels != now.labels:
        raise ValueError(f"{begin}, and its annotations, options or scheme have changed since: {advice}")
    if then.photos != now.photos:
        raise ValueError(f"{begin}, and photos have been changed or copied since, by their sizes and times: {advice}")
    return f"on {then.date[:10]}, from the same files"
