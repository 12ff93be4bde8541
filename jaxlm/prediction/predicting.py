"""Predicts landmarks for files: photos and videos in; tables and pictures out.

Boxes and points are (x, y) in pixels of the photo, upright as its EXIF data say, counted from 0.
"""

from __future__ import annotations

import contextlib
import glob
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jaxlm.drawing import pictures
from jaxlm.evaluation import inference
from jaxlm.landmarks import photos
from jaxlm.prediction.files import Entry, FoundFace, picture_names, write_csv, write_json
from jaxlm.prediction.landmarker import Landmarker
from jaxlm.prediction.predict_videos import VideoPrediction
from jaxlm.prediction.video_kinds import is_video
from jaxlm.runtime import progress

PHOTOS = frozenset((".bmp", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
"""Endings of the files that are taken from a folder, beside videos."""

# Called with a line that says what is wrong with a file.
TellProblem = Callable[[str], object]


def find_files(arguments: Sequence[str]) -> list[pathlib.Path]:
    """The files that arguments stand for: themselves, those below a folder, or those that a pattern matches.

    Raises:
      ValueError: A folder or pattern stands for none.
    """
    files: dict[pathlib.Path, None] = {}
    for argument in arguments:
        path = pathlib.Path(argument)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in PHOTOS or is_video(file))
        elif glob.has_magic(argument) and not path.exists():
            found = [pathlib.Path(file) for file in sorted(glob.glob(argument, recursive=True))]
        else:
            found = [path]
        if not found:
            raise ValueError(f"{argument}: there are no photos or videos")
        files |= dict.fromkeys(found)
    return list(files)


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
            print(f"warning: {path}: {inference.DEGENERATE % (1, 1)}", file=sys.stderr)
        rows.append(FoundFace(face.box * factor + shift, face.points * factor + shift, face.confidence))
    return Entry(str(path), rows), pictures.draw_faces(photo, [face.points for face in faces], landmarker.scheme)


def predict_files(
    files: Sequence[pathlib.Path],
    landmarker: Landmarker,
    out: pathlib.Path,
    boxes: Mapping[pathlib.Path, Sequence[np.ndarray]] | None = None,
) -> list[str]:
    """Writes predictions and pictures to the folder `out`; returns a line for each thing that went wrong.

    Raises:
      OSError: The folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    entries: list[Entry] = []
    problems: list[str] = []
    with progress.counting(len(files), "predict", unit="files") as advance:
        for path, name in zip(files, picture_names(files), strict=True):
            target, given = out / name, None if boxes is None else boxes[path]
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                if given is not None and not len(given):
                    problems.append(f"{path}: there is no box for it")
                elif is_video(path):
                    clip = VideoPrediction(
                        path, landmarker, given, target.with_name(f"{name.name}.mp4"), problems.append
                    )
                    with contextlib.closing(clip.entries()) as found:
                        entries.extend(found)
                    print(clip.summary())
                else:
                    entry, picture = predict_photo(path, landmarker, given, problems.append)
                    entries.append(entry)
                    pictures.save_image(target.with_name(f"{name.name}.jpg"), picture)
            except photos.PhotoError as error:
                problems.append(str(error))
            advance(1)
    sure = any(face.confidence is not None for entry in entries for face in entry.faces)
    write_json(out / "predictions.json", entries)
    write_csv(out / "predictions.csv", entries, landmarker.scheme.num_points, sure)
    return problems
