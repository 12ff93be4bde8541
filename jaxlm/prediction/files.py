"""The files of the predict command: points as JSON and as a table, and the names of pictures."""

from __future__ import annotations

import collections
import csv
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np


class FoundFace(NamedTuple):
    """A face that was found, in pixels of its photo.

    Attributes:
      box: The face box [4].
      points: The landmarks [N, 2].
      confidence: How sure the model is of each landmark [N]; None where it does not say.
      track: In a video, the number of the face that is followed.
    """

    box: np.ndarray
    points: np.ndarray
    confidence: np.ndarray | None
    track: int | None = None


class Entry(NamedTuple):
    """The faces of a photo, or of the frame of a video with that number, from 0, which is shown at `time` seconds."""

    file: str
    faces: Sequence[FoundFace]
    frame: int | None = None
    time: float | None = None


def write_json(path: pathlib.Path, entries: Iterable[Entry]) -> None:
    """Writes a list with an object for each photo or frame: its `file`, its `frame` and `time` in a video, and its
    `faces`.

    A face is an object of `box` [4], `points` [N][x, y], `confidence` [N] or null, and in a video `track`.
    """
    path.write_text("[" + ",\n".join(json.dumps(_to_json(entry)) for entry in entries) + "]\n")


def write_csv(path: pathlib.Path, entries: Iterable[Entry], num_points: int, confidence: bool) -> None:
    """Writes a table with a row for each face.

    Columns are file, frame, time (in seconds), face (its number in the photo, or its track in the video), box_x1,
    box_y1, box_x2, box_y2, x0, y0, x1, y1, ... and, with `confidence`, c0, c1, ...
    """
    columns = ["file", "frame", "time", "face", "box_x1", "box_y1", "box_x2", "box_y2"]
    columns += [f"{axis}{point}" for point in range(num_points) for axis in "xy"]
    columns += [f"c{point}" for point in range(num_points)] if confidence else []
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for entry in entries:
            for number, face in enumerate(entry.faces):
                where = [entry.file, entry.frame, _seconds(entry.time), number if face.track is None else face.track]
                sure = _rounded(face.confidence) if confidence and face.confidence is not None else []
                table.writerow([*where, *_rounded(face.box), *_rounded(np.ravel(face.points)), *sure])


def picture_names(files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """A path for the picture of each file, below a folder for all of them and without ending.

    It is the file's own name with as many folders in front as tell it from the others, and with its ending where only
    that does.
    """
    full = [pathlib.Path(os.path.abspath(file)) for file in files]
    names: dict[pathlib.Path, pathlib.Path] = {}
    deepest = max((len(file.parts) for file in full), default=1)
    for ending, depth in itertools.product((False, True), range(1, deepest)):
        tails = {file: (file if ending else file.with_suffix("")).parts[-depth:] for file in full}
        count = collections.Counter(tails.values())
        names |= {file: pathlib.Path(*tails[file]) for file in tails.keys() - names.keys() if count[tails[file]] == 1}
    return [names[file].with_name(f"{names[file].name}_landmarks") for file in full]


def _to_json(entry: Entry) -> dict[str, Any]:
    frame = {} if entry.frame is None else {"frame": entry.frame}
    time = {} if entry.time is None else {"time": _seconds(entry.time)}
    return {"file": entry.file, **frame, **time, "faces": [_face_to_json(face) for face in entry.faces]}


def _face_to_json(face: FoundFace) -> dict[str, Any]:
    confidence = None if face.confidence is None else _rounded(face.confidence)
    track = {} if face.track is None else {"track": face.track}
    return {**track, "box": _rounded(face.box), "points": _rounded(face.points), "confidence": confidence}


def _seconds(time: float | None) -> float | None:
    """A time to a millionth of a second."""
    return None if time is None else round(time, 6)


def _rounded(values: np.ndarray) -> list[Any]:
    """Numbers to a thousandth, as lists."""
    return np.round(np.asarray(values, np.float64), 3).tolist()
