"""Predicts landmarks for files: photos and videos in; tables and pictures out.

Boxes and points are (x, y) in pixels of the photo, upright as its EXIF data say, counted from 0.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import tqdm

import jaxlm
from jaxlm.drawing import pictures
from jaxlm.evaluation import inference
from jaxlm.landmarks import photos
from jaxlm.prediction.files import Done, Entry, FoundFace, Results
from jaxlm.prediction.landmarker import Landmarker
from jaxlm.prediction.predict_videos import VideoPrediction
from jaxlm.prediction.sources import counted, kind_of, picture_names
from jaxlm.prediction.video_kinds import is_video
from jaxlm.runtime import progress

# Called with a line that says what is wrong with a file.
TellProblem = Callable[[str], object]

# What is wrong with the folder of results, and so with all files.
_ENDS_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def predict_photo(
    path: pathlib.Path, landmarker: Landmarker, boxes: Sequence[np.ndarray] | None, tell_problem: TellProblem
) -> tuple[Entry, np.ndarray]:
    """The faces of one photo, and the photo with the points drawn, which is reduced if it is huge.

    Raises:
      PhotoError: The photo cannot be read.
    """
    photo, factor = photos.read_reduced(path)
    shift = (factor - 1) / 2
    if boxes is None:
        faces = landmarker.predict(photo)
        if not faces:
            tell_problem(f"{path}: {landmarker.detector.name} finds no face; give its box with --box or --boxes")
    else:
        found = []
        for box in boxes:
            try:
                photos.check_box(photo, (box - shift) / factor)
                found.append((box - shift) / factor)
            except photos.PhotoError as error:
                tell_problem(f"{path}: {error}" + (f" once it is reduced by {factor}" if factor > 1 else ""))
        faces = landmarker.predict(photo, found)
    rows = []
    for face in faces:
        if face.degenerate:
            say(f"warning: {path}: {inference.DEGENERATE % (1, 1)}", error=True)
        rows.append(FoundFace(face.box * factor + shift, face.points * factor + shift, face.confidence))
    return Entry(str(path), rows), pictures.draw_faces(photo, [face.points for face in faces], landmarker.scheme)


def predict_files(
    files: Sequence[pathlib.Path],
    landmarker: Landmarker,
    out: pathlib.Path,
    boxes: Mapping[pathlib.Path, Sequence[np.ndarray]] | None = None,
) -> list[str]:
    """Writes predictions and pictures to the folder `out`; says on stdout what is found, and on stderr what is wrong.

    The results of each file are written once it is done; see `Results`. A file is passed over whose results are there
    already, from the same model and settings, and without anything wrong. An error of one file, of whatever kind, does
    not end the others.

    Returns:
      A line for each thing that was wrong.

    Raises:
      OSError: The folder cannot be written, or the disk is full.
    """
    with Results(out, _settings(landmarker), landmarker.scheme.num_points) as results:
        return _Prediction(landmarker, out, results).run(files, boxes)


class _Prediction:
    """The work of one call: what was found, and what was wrong."""

    def __init__(self, landmarker: Landmarker, out: pathlib.Path, results: Results) -> None:
        self._landmarker, self._out, self._results = landmarker, out, results
        self._problems: list[str] = []

    def run(
        self, files: Sequence[pathlib.Path], boxes: Mapping[pathlib.Path, Sequence[np.ndarray]] | None
    ) -> list[str]:
        if self._results.replaces:
            say(
                f"{self._out} holds results of another model, other settings or an earlier version of jaxlm; it starts"
                " anew with the first result"
            )
        known = {path: _stem(done.picture) for path, done in self._results.done.items() if done.picture}
        before, left = 0, 0
        with progress.counting(len(files), "predict", unit="files") as advance:
            for path, name in zip(files, picture_names(files, known), strict=True):
                given = None if boxes is None else boxes[path]
                state = _state(path, given, self._landmarker)
                if self._is_done(path, state):
                    before += 1
                else:
                    left += not self._predict(path, name, given, state)
                advance(1)
        said = f"{counted(len(files), 'file')}: {len(files) - before - left} done"
        said += f", {before} passed over, whose results are there already" if before else ""
        say(said + (f", {left} with errors" if left else ""))
        return self._problems

    def _is_done(self, path: pathlib.Path, state: Any) -> bool:
        done = self._results.done.get(os.path.abspath(path))
        return bool(
            done and done.good and done.state == state and done.picture and (self._out / done.picture).is_file()
        )

    def _predict(self, path: pathlib.Path, name: pathlib.Path, boxes: Sequence[np.ndarray] | None, state: Any) -> bool:
        """Writes the results of one file; whether nothing was wrong."""
        problems_before, picture = len(self._problems), None
        try:
            if boxes is not None and not len(boxes):
                self._tell(f"{path}: there is no box for it")
                return False
            if (kind := kind_of(path)) != "a file":
                self._tell(f"{path} is {kind}, not a photo or video")
                return False
            target = self._out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            predict = self._predict_video if is_video(path) else self._predict_photo
            picture = predict(path, target, boxes)
        except photos.PhotoError as error:
            self._tell(str(error))
        except Exception as error:  # Anything; the results of the others count.
            if _ends_all(error):
                raise
            self._tell(f"{path}: {error}" if isinstance(error, OSError) else f"{path}: {type(error).__name__}: {error}")
        good = len(self._problems) == problems_before
        if self._results.unfinished:
            shown = str(picture.relative_to(self._out)) if picture else None
            self._results.finish(os.path.abspath(path), Done(state, shown, good))
        return good

    def _predict_photo(
        self, path: pathlib.Path, target: pathlib.Path, boxes: Sequence[np.ndarray] | None
    ) -> pathlib.Path:
        """Writes the faces of a photo, and its picture, which is returned."""
        entry, drawn = predict_photo(path, self._landmarker, boxes, self._tell)
        self._results.add(entry)
        picture = target.with_name(f"{target.name}.jpg")
        pictures.save_image(picture, drawn)
        say(f"{path}: {counted(len(entry.faces), 'face')} -> {picture}")
        return picture

    def _predict_video(
        self, path: pathlib.Path, target: pathlib.Path, boxes: Sequence[np.ndarray] | None
    ) -> pathlib.Path:
        """Writes the faces in each frame of a video, and its copy, which is returned."""
        clip = VideoPrediction(path, self._landmarker, boxes, target.with_name(f"{target.name}.mp4"), self._tell)
        with contextlib.closing(clip.entries()) as entries:
            for entry in entries:
                self._results.add(entry)
        say(clip.summary())
        return clip.file

    def _tell(self, problem: str) -> None:
        self._problems.append(problem)
        say(f"error: {problem}", error=True)


def _settings(landmarker: Landmarker) -> dict[str, Any]:
    """What all results in a folder have in common, as JSON has it: points of two models are not to be mixed."""
    trained = landmarker.trained
    digest = hashlib.sha256(repr((trained.config, trained.head, trained.step)).encode())
    for place, leaf in jax.tree_util.tree_leaves_with_path(trained.variables):
        values = np.asarray(leaf)
        digest.update(f"{place} {values.shape} {values.dtype}".encode() + values.tobytes())
    return {
        "jaxlm": jaxlm.__version__,
        "model": digest.hexdigest(),
        "scheme": landmarker.scheme.name,
        "flip_test": landmarker.flip_test,
    }


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


def _stem(picture: str) -> pathlib.Path:
    """The path that `picture_names` gave."""
    return pathlib.Path(picture).with_suffix("")


def _ends_all(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _ENDS_ALL:
            return True
        error = error.__cause__ or error.__context__
    return False


def say(line: str, error: bool = False) -> None:
    """Prints a line, above the progress bar where there is one, whatever characters the terminal knows."""
    file = sys.stderr if error else sys.stdout
    encoding = getattr(file, "encoding", None) or "utf-8"
    line = line.encode(encoding, "backslashreplace").decode(encoding)
    if sys.stderr.isatty():
        tqdm.tqdm.write(line, file=file)
    else:
        print(line, file=file, flush=True)
