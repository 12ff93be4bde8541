"""What was found in photos and videos, as JSON and as a table of text."""

from __future__ import annotations

import csv
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from jaxlm.files import as_schema, replacing_text
from jaxlm.prediction import doubts
from jaxlm.prediction.sources import printable, real_name


class FoundFace(NamedTuple):
    """A face that was found, in pixels of its photo.

    Attributes:
      box: The face box [4].
      points: The landmarks [N, 2].
      confidence: How sure the model is of each landmark [N]; None where it does not say.
      roll: By how many degrees the box, and the face, is turned clockwise about its centre.
      track: In a video, the number of the face that is followed.
      expected_error: How far each landmark is off in mean [N]; None where that was not measured, and confidences are
        raw scores.
    """

    box: np.ndarray
    points: np.ndarray
    confidence: np.ndarray | None
    roll: float = 0.0
    track: int | None = None
    expected_error: np.ndarray | None = None

    @property
    def probabilities(self) -> np.ndarray | None:
        """The confidences [N], where they are probabilities."""
        return None if self.expected_error is None else self.confidence


class Entry(NamedTuple):
    """The faces of a photo, or of the frame of a video with that number, from 0, which is shown at `time` seconds."""

    file: str
    faces: Sequence[FoundFace]
    frame: int | None = None
    time: float | None = None


class _Face(msgspec.Struct):
    """A face in a row of the log, as JSON has it."""

    box: tuple[float, float, float, float]
    points: list[tuple[float, float]]
    confidence: list[float] | None
    roll: float = 0.0  # Rows of before faces had a roll lack it.
    track: int | None = None
    expected_error: list[float] | None = None

    def found(self) -> FoundFace:
        """The same in arrays."""
        sure = None if self.confidence is None else np.asarray(self.confidence)
        error = None if self.expected_error is None else np.asarray(self.expected_error)
        return FoundFace(np.asarray(self.box), np.asarray(self.points), sure, self.roll, self.track, error)


class _Row(msgspec.Struct):
    """A row of the log."""

    file: str
    faces: list[_Face]
    frame: int | None = None
    time: float | None = None


def check_row(row: Any, num_points: int) -> None:
    """Raises ValueError where a row, as JSON has it, is no entry of faces of so many points."""
    for face in as_schema(row, _Row, "it holds something else than results").faces:
        points, of_points = face.points, [face.confidence or [], face.expected_error or []]
        if len(points) != num_points or {*map(len, of_points)} - {0, num_points}:
            raise ValueError(f"a face has not the {num_points} points of the model")
        if not np.isfinite([*face.box, face.roll, *np.ravel(points), *of_points[0], *of_points[1]]).all():
            raise ValueError("it holds values that are no numbers")


def write_json(path: pathlib.Path, entries: Iterable[Entry]) -> None:
    """Writes a list with an object for each photo or frame: its `file`, its `frame` and `time` in a video, and its
    `faces`.

    A face is an object of `box` [4], `roll` in degrees, `points` [N][x, y], `confidence` [N] or null, and in a video
    `track`. Where confidences are probabilities, it also has `expected_error` [N] in pixels, `unsure`, whether the
    model is not sure of the face, and `unsure_points`, the numbers of the points that it is not sure of.
    """
    with replacing_text(path) as file:
        file.write("[")
        for number, entry in enumerate(entries):
            file.write(",\n" * (number > 0) + json.dumps(to_json(entry), ensure_ascii=False))
        file.write("]\n")


def write_csv(
    path: pathlib.Path, entries: Iterable[Entry], num_points: int, confidence: bool, probability: bool = False
) -> None:
    """Writes a table with a row for each face.

    Columns are file, frame, time (in seconds), face (its number in the photo, or its track in the video), box_x1,
    box_y1, box_x2, box_y2, roll (of the box, in degrees), x0, y0, x1, y1, ... and, with `confidence`, c0, c1, ...
    Where these are probabilities, with `probability`, the expected errors in pixels, e0, e1, ..., follow, then
    `unsure`, 1 for a face that the model is not sure of, else 0, and `unsure_points`, how many it is not sure of.
    """
    columns = ["file", "frame", "time", "face", "box_x1", "box_y1", "box_x2", "box_y2", "roll"]
    columns += [f"{axis}{point}" for point in range(num_points) for axis in "xy"]
    columns += [f"c{point}" for point in range(num_points)] if confidence else []
    columns += [*(f"e{point}" for point in range(num_points)), "unsure", "unsure_points"] if probability else []
    with replacing_text(path) as file:
        table = csv.writer(file)
        table.writerow(columns)
        for entry in entries:
            for number, face in enumerate(entry.faces):
                where = [printable(entry.file), entry.frame, _seconds(entry.time)]
                where += [number if face.track is None else face.track]
                sure = rounded(face.confidence) if confidence and face.confidence is not None else []
                place = [*rounded(face.box), round(face.roll, 3), *rounded(np.ravel(face.points))]
                table.writerow([*where, *place, *sure, *(_doubts_in_csv(face) if probability else [])])


def _doubts_in_csv(face: FoundFace) -> list[Any]:
    """The cells of a face behind its confidences."""
    sure, error = face.confidence, face.expected_error
    if sure is None or error is None:
        return []
    return [*rounded(error), int(doubts.is_unsure(sure)), int(doubts.unsure_points(sure).sum())]


def is_json(path: pathlib.Path) -> bool:
    """Whether a file holds what `write_json` writes, or did in an earlier version."""
    try:
        entries = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    rows = entries if isinstance(entries, list) else [None]
    return all(isinstance(row, dict) and {"file", "faces"} <= {*row} for row in rows)


def is_csv(path: pathlib.Path) -> bool:
    """Whether a file begins as what `write_csv` writes, or did in an earlier version."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        columns = file.readline(10**6).rstrip().split(",")
    return columns[0] == "file" and {"face", "box_x1", "x0"} <= {*columns}


def to_json(entry: Entry) -> dict[str, Any]:
    """A photo or frame as JSON has it; see `write_json`."""
    frame = {} if entry.frame is None else {"frame": entry.frame}
    time = {} if entry.time is None else {"time": _seconds(entry.time)}
    return {"file": printable(entry.file), **frame, **time, "faces": [_face_to_json(face) for face in entry.faces]}


def from_json(row: Any) -> Entry:
    """The entry that `to_json` wrote and `check_row` has checked."""
    found = msgspec.convert(row, _Row)
    return Entry(real_name(found.file), [face.found() for face in found.faces], found.frame, found.time)


def _face_to_json(face: FoundFace) -> dict[str, Any]:
    confidence = None if face.confidence is None else rounded(face.confidence)
    track = {} if face.track is None else {"track": face.track}
    place = {"box": rounded(face.box), "roll": round(face.roll, 3), "points": rounded(face.points)}
    return {**track, **place, "confidence": confidence, **_doubts_to_json(face)}


def _doubts_to_json(face: FoundFace) -> dict[str, Any]:
    """What stands beside confidences that are probabilities."""
    sure, error = face.confidence, face.expected_error
    if sure is None or error is None:
        return {}
    points = np.flatnonzero(doubts.unsure_points(sure)).tolist()
    return {"expected_error": rounded(error), "unsure": doubts.is_unsure(sure), "unsure_points": points}


def _seconds(time: float | None) -> float | None:
    """A time to a millionth of a second."""
    return None if time is None else round(time, 6)


def rounded(values: np.ndarray) -> list[Any]:
    """Numbers to a thousandth, as lists."""
    return np.round(np.asarray(values, np.float64), 3).tolist()
