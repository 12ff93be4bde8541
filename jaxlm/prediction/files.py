"""The files of the predict command: points as JSON lines while they are found, then as JSON and as a table."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from jaxlm.files import as_schema, check_place, replacing_text
from jaxlm.files.folders import claimed, make_folder
from jaxlm.prediction.sources import CSV, JSON, LOCK, LOG, has_table, picture_path, printable, real_name
from jaxlm.runtime.row_log import RowLog


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


class _Face(msgspec.Struct):
    """A face in a row of the log, as JSON has it."""

    box: tuple[float, float, float, float]
    points: list[tuple[float, float]]
    confidence: list[float] | None
    track: int | None = None

    def found(self) -> FoundFace:
        """The same in arrays."""
        sure = None if self.confidence is None else np.asarray(self.confidence)
        return FoundFace(np.asarray(self.box), np.asarray(self.points), sure, self.track)


class _Row(msgspec.Struct):
    """A row of the log."""

    file: str
    faces: list[_Face]
    frame: int | None = None
    time: float | None = None


class Done(NamedTuple):
    """What is known of a file whose entries are written.

    Attributes:
      state: What tells whether the file, or what is asked of it, has changed, as JSON has it.
      picture: Its picture, as a path from the folder of results; None where that could not be written.
      good: Whether nothing was wrong.
    """

    state: Any
    picture: str | None
    good: bool


class Results:
    """The results in a folder, inside of `with`: those of each file are written at once, and the tables at the end.

    `predictions.jsonl` has what was found so far (see `RowLog`), also after the process was killed. At the end, however
    that comes, `predictions.json` and `predictions.csv` are written from it. Where nothing was found, they stay.

    Attributes:
      done: The files with results, by their absolute paths.
      replaces: Whether the first entry replaces earlier results, which are by other settings or by unknown ones.
    """

    def __init__(self, folder: pathlib.Path, settings: Mapping[str, Any], num_points: int) -> None:
        """Nothing is read before the object is entered.

        Args:
          folder: Folder of the results.
          settings: What the results depend on beside the files, as JSON has it.
          num_points: The number of landmarks of a face.
        """
        self._folder, self._settings, self._num_points = folder, settings, num_points
        self._claim = contextlib.ExitStack()
        self._names: dict[str, str] = {}
        self.done: dict[str, Done] = {}
        self.replaces = False

    def __enter__(self) -> Results:
        """Makes the folder and reads what is there.

        Raises:
          OSError: It cannot be made, read or written; a link or no regular file has the name of one of its files;
            another process writes to it.
          ValueError: The log holds rows that are no results of this model.
        """
        make_folder(self._folder)
        for name in (LOG, JSON, CSV):
            check_place(self._folder, self._folder / name)
        busy = f"another process writes results to {self._folder}; take another --out"
        self._claim.enter_context(claimed(self._folder, LOCK, busy))
        self._claim.callback(self._remove_lock)
        try:
            self._log = RowLog(self._folder / LOG, self._settings, self._check)
            unknown = not self._log.done and has_table(self._folder)
        except BaseException:
            self._claim.close()
            raise
        first = {real_name(item): real_name(row["file"]) for item, row in self._log.first_rows()}
        self._names = {name: item for item, name in first.items()}
        for item, said in ((real_name(name), said) for name, said in self._log.done.items()):
            good = said.get("good") is True and item in first  # Rows that somebody took away are to be found again.
            self.done[item] = Done(said.get("state"), picture_path(said.get("picture")), good)
        self.replaces = self._log.others or unknown
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # What ended the work may be a full disk, which may have no room for the tables; the log has the entries.
            with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
                self._log.close()
            with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
                if self.done or self._log.unfinished or not (self._folder / JSON).exists():
                    self._write_tables()
        finally:
            self._claim.close()

    def _remove_lock(self) -> None:
        with contextlib.suppress(OSError):
            (self._folder / LOCK).unlink()

    def name_of(self, path: pathlib.Path) -> str:
        """What a file is called: as given; by its absolute path where another, of another working directory, is so."""
        item = os.path.abspath(path)
        return str(path) if self._names.get(str(path), item) == item else item

    def add(self, path: pathlib.Path, entry: Entry) -> None:
        """Writes the faces of a photo or of a frame of the file `path`; raises OSError where it cannot."""
        item, name = os.path.abspath(path), self.name_of(path)
        self._names[name] = item
        self._log.add(printable(item), _to_json(entry._replace(file=name)))

    def finish(self, path: str, done: Done) -> None:
        """Says that all entries of a file are there; they stand for those that it had before."""
        self._log.finish(printable(path), {**done._asdict(), "picture": done.picture and printable(done.picture)})
        self.done[path] = done

    @property
    def unfinished(self) -> bool:
        """Whether there are entries of a file that is not finished."""
        return self._log.unfinished

    def _write_tables(self) -> None:
        sure = any(face.confidence is not None for entry in self._entries() for face in entry.faces)
        write_json(self._folder / JSON, self._entries())
        write_csv(self._folder / CSV, self._entries(), self._num_points, sure)

    def _entries(self) -> Iterator[Entry]:
        return map(_from_json, self._log.rows())

    def _check(self, row: Mapping[str, Any]) -> None:
        """Raises ValueError where a row is none of this model's."""
        found = as_schema(row, _Row, "it holds something else than results")
        for face in found.faces:
            points, sure = face.points, face.confidence
            if len(points) != self._num_points or len(points if sure is None else sure) != self._num_points:
                raise ValueError(f"a face has not the {self._num_points} points of the model")
            if not np.isfinite([*face.box, *np.ravel(points), *(sure or ())]).all():
                raise ValueError("it holds values that are no numbers")


def write_json(path: pathlib.Path, entries: Iterable[Entry]) -> None:
    """Writes a list with an object for each photo or frame: its `file`, its `frame` and `time` in a video, and its
    `faces`.

    A face is an object of `box` [4], `points` [N][x, y], `confidence` [N] or null, and in a video `track`.
    """
    with replacing_text(path) as file:
        file.write("[")
        for number, entry in enumerate(entries):
            file.write(",\n" * (number > 0) + json.dumps(_to_json(entry), ensure_ascii=False))
        file.write("]\n")


def write_csv(path: pathlib.Path, entries: Iterable[Entry], num_points: int, confidence: bool) -> None:
    """Writes a table with a row for each face.

    Columns are file, frame, time (in seconds), face (its number in the photo, or its track in the video), box_x1,
    box_y1, box_x2, box_y2, x0, y0, x1, y1, ... and, with `confidence`, c0, c1, ...
    """
    columns = ["file", "frame", "time", "face", "box_x1", "box_y1", "box_x2", "box_y2"]
    columns += [f"{axis}{point}" for point in range(num_points) for axis in "xy"]
    columns += [f"c{point}" for point in range(num_points)] if confidence else []
    with replacing_text(path) as file:
        table = csv.writer(file)
        table.writerow(columns)
        for entry in entries:
            for number, face in enumerate(entry.faces):
                where = [printable(entry.file), entry.frame, _seconds(entry.time)]
                where += [number if face.track is None else face.track]
                sure = _rounded(face.confidence) if confidence and face.confidence is not None else []
                table.writerow([*where, *_rounded(face.box), *_rounded(np.ravel(face.points)), *sure])


def _to_json(entry: Entry) -> dict[str, Any]:
    frame = {} if entry.frame is None else {"frame": entry.frame}
    time = {} if entry.time is None else {"time": _seconds(entry.time)}
    return {"file": printable(entry.file), **frame, **time, "faces": [_face_to_json(face) for face in entry.faces]}


def _from_json(row: Any) -> Entry:
    found = msgspec.convert(row, _Row)
    return Entry(real_name(found.file), [face.found() for face in found.faces], found.frame, found.time)


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
