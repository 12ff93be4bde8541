"""Predicts landmarks for files: photos and videos in; tables and pictures out.

Boxes and points are (x, y) in pixels of the photo, upright as its EXIF data say, counted from 0.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from jaxlm.drawing import pictures
from jaxlm.files import check_place, remove_unfinished
from jaxlm.landmarks import photos
from jaxlm.prediction import photo_prediction
from jaxlm.prediction.doubts import Doubts
from jaxlm.prediction.files import Done, Results, check_no_others, settings_of
from jaxlm.prediction.landmarker import Landmarker
from jaxlm.prediction.photo_prediction import PhotoPrediction, predict_photo
from jaxlm.prediction.sources import counted, is_there, kind_of, picture_names
from jaxlm.prediction.tables.entries import Entry
from jaxlm.prediction.videos.kinds import is_video
from jaxlm.prediction.videos.predicting import VideoPrediction
from jaxlm.runtime import progress
from jaxlm.runtime.progress import say

# What is wrong with the folder of results, and so with all files.
_ENDS_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class _Task(NamedTuple):
    """A file that is asked for: the name of its picture, boxes that were given, its `_state`, whether it is done."""

    path: pathlib.Path
    name: pathlib.Path
    boxes: Sequence[np.ndarray] | None
    state: Any
    done: bool


def predict_files(
    files: Sequence[pathlib.Path],
    landmarker: Landmarker,
    out: pathlib.Path,
    boxes: Mapping[pathlib.Path, Sequence[np.ndarray]] | None = None,
    coco: bool = False,
) -> list[str]:
    """Writes predictions and pictures to the folder `out`; says on stdout what is found, and on stderr what is wrong.

    The results of each file are written once it is done; see `Results`. A file is passed over whose results are there
    already, from the same model and settings, and without anything wrong. An error of one file, of whatever kind, does
    not end the others.

    Returns:
      A line for each thing that was wrong.

    Raises:
      OSError: The folder cannot be written, or the disk is full; a table or picture would replace a file that is no
        result.
    """
    check_no_others(files, out)
    with Results(out, settings_of(landmarker), landmarker.scheme, coco) as results:
        return _Prediction(landmarker, out, results).run(files, boxes)


class _Prediction:
    """The work of one call: what was found, and what was wrong."""

    def __init__(self, landmarker: Landmarker, out: pathlib.Path, results: Results) -> None:
        self._landmarker, self._out, self._results = landmarker, out, results
        self._problems: list[str] = []
        self._cleaned: set[pathlib.Path] = set()
        self._doubts = Doubts()

    def run(
        self, files: Sequence[pathlib.Path], boxes: Mapping[pathlib.Path, Sequence[np.ndarray]] | None
    ) -> list[str]:
        if self._results.replaces:
            say(
                f"{self._out} holds results of another model, other settings or an earlier version of jaxlm; it starts"
                " anew with the first result"
            )
        self._clean(self._out)
        before, left = 0, 0
        tasks = photo_prediction.ahead(self._tasks(files, boxes), self._ahead)
        with progress.counting(len(files), "predict", unit="files") as advance, contextlib.closing(tasks):
            for task, found in tasks:
                if task.done:
                    before += 1
                else:
                    left += not self._predict(task, found)
                advance(1)
        said = f"{counted(len(files), 'file')}: {len(files) - before - left} done"
        said += f", {before} passed over, whose results are there already" if before else ""
        say(said + (f", {left} with errors" if left else ""))
        if doubts := self._doubts.sentence():
            say(doubts)
        return self._problems

    def _tasks(
        self, files: Sequence[pathlib.Path], boxes: Mapping[pathlib.Path, Sequence[np.ndarray]] | None
    ) -> Iterator[_Task]:
        known = {path: _stem(done.picture) for path, done in self._results.done.items() if done.picture}
        for path, name in zip(files, picture_names(files, known), strict=True):
            given = None if boxes is None else boxes[path]
            state = _state(path, given, self._landmarker)
            yield _Task(path, name, given, state, self._is_done(path, state))

    def _is_done(self, path: pathlib.Path, state: Any) -> bool:
        done = self._results.done.get(os.path.abspath(path))
        return bool(done and done.good and done.state == state and done.picture and is_there(self._out, done.picture))

    def _ahead(self, task: _Task) -> Callable[[], PhotoPrediction] | None:
        """What a thread can do of a task before its turn comes; nothing for videos, and what will be refused."""
        if task.done or _refused(task) or is_video(task.path):
            return None
        return functools.partial(predict_photo, task.path, self._landmarker, task.boxes)

    def _predict(self, task: _Task, found: Future[PhotoPrediction] | None) -> bool:
        """Writes the results of one file; whether nothing was wrong."""
        path, state = task.path, task.state
        problems_before, picture = len(self._problems), None
        if (called := self._results.name_of(path)) != str(path):
            say(f"{path}: the results hold another file of this name, so this one is called {called}")
        try:
            if found:
                picture = self._write_photo(task, found.result())
            elif refused := _refused(task):
                raise photos.PhotoError(refused)
            else:
                picture = self._predict_video(task)
        except photos.PhotoError as error:
            self._tell(str(error))
        except Exception as error:  # Anything; the results of the others count.
            if _ends_all(error):
                raise
            self._tell(f"{path}: {error}" if isinstance(error, OSError) else f"{path}: {type(error).__name__}: {error}")
        good, item = len(self._problems) == problems_before, os.path.abspath(path)
        shown = str(picture.relative_to(self._out)) if picture else None
        before = self._results.done.get(item)
        changed = state is not None and _content(before) not in (None, _content(state))
        if self._results.unfinished:
            self._results.finish(item, Done(state, shown, good))
        elif changed:
            say(f"{path} has changed, so its earlier results are removed", error=True)
            self._results.finish(item, Done(state, None, False))
        if before and changed and before.picture != shown:
            self._remove_picture(before.picture)
        return good

    def _write_photo(self, task: _Task, found: PhotoPrediction) -> pathlib.Path | None:
        """Writes the faces of a photo, and its picture, which is returned."""
        for warning in found.warnings:
            say(f"warning: {warning}", error=True)
        for problem in found.problems:
            self._tell(problem)
        self._add(task.path, found.entry)
        if found.picture is None:
            return None
        picture = self._place_of(task.name, ".jpg")
        pictures.save_image(picture, found.picture)
        say(f"{task.path}: {counted(len(found.entry.faces), 'face')} -> {picture}")
        return picture

    def _add(self, path: pathlib.Path, entry: Entry) -> None:
        self._results.add(path, entry)
        self._doubts.count(face.probabilities for face in entry.faces)

    def _predict_video(self, task: _Task) -> pathlib.Path:
        """Writes the faces in each frame of a video, and its copy, which is returned."""
        path, copy = task.path, self._place_of(task.name, ".mp4")
        clip = VideoPrediction(path, self._landmarker, task.boxes, copy, self._tell)
        with contextlib.closing(clip.entries()) as entries:
            for entry in entries:
                self._add(path, entry)
        say(clip.summary())
        return clip.file

    def _place_of(self, name: pathlib.Path, ending: str) -> pathlib.Path:
        """The path of a picture, whose folder is made; raises OSError where it leads out of the folder of results."""
        picture = (self._out / name).with_name(f"{name.name}{ending}")
        check_place(self._out, picture)
        picture.parent.mkdir(parents=True, exist_ok=True)
        self._clean(picture.parent)
        return picture

    def _clean(self, folder: pathlib.Path) -> None:
        """Removes what killed calls have left in a folder, once."""
        if folder not in self._cleaned:
            self._cleaned.add(folder)
            if removed := remove_unfinished(folder):
                say(f"{folder}: removed {counted(len(removed), 'unfinished file')} of a call that was killed")

    def _remove_picture(self, picture: str | None) -> None:
        if picture and is_there(self._out, picture):
            (self._out / picture).unlink()

    def _tell(self, problem: str) -> None:
        self._problems.append(problem)
        say(f"error: {problem}", error=True)


def _state(path: pathlib.Path, boxes: Sequence[np.ndarray] | None, landmarker: Landmarker) -> Any:
    """What tells whether a file was changed, or where its faces are, as JSON has it; None if it is missing."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    given = None if boxes is None else [np.asarray(box, np.float64).tolist() for box in boxes]
    detection = None
    if boxes is None or is_video(path):  # In a video, faces are looked for again after its first frame.
        name, version = landmarker.detector.name, landmarker.detector.version
        detection = [name, version, landmarker.calibrations.get(name), landmarker.least_confidence]
    return json.loads(json.dumps([status.st_size, status.st_mtime_ns, given, detection]))


def _refused(task: _Task) -> str | None:
    """Why a file is not looked at, if so."""
    if task.boxes is not None and not len(task.boxes):
        return f"{task.path}: there is no box for it"
    kind = kind_of(task.path)
    return None if kind == "a file" else f"{task.path} is {kind}, not a photo or video"


def _content(known: Any) -> Any:
    """What tells one content of a file from another, of its `_state` or of what is done; None where it is not known."""
    state = known.state if isinstance(known, Done) else known
    return state[:2] if isinstance(state, list) else None


def _stem(picture: str) -> pathlib.Path:
    """The path that `picture_names` gave."""
    return pathlib.Path(picture).with_suffix("")


def _ends_all(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _ENDS_ALL:
            return True
        error = error.__cause__ or error.__context__
    return False
