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
from jaxlm.prediction import video
from jaxlm.prediction.files import Entry, FoundFace, picture_names, write_csv, write_json
from jaxlm.prediction.landmarker import Landmarker
from jaxlm.runtime import progress

PHOTOS = frozenset((".bmp", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
"""Endings of the files that are taken from a folder, beside `video.ENDINGS`."""

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
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in PHOTOS | video.ENDINGS)
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


def predict_video(
    path: pathlib.Path,
    landmarker: Landmarker,
    boxes: Sequence[np.ndarray] | None,
    out: pathlib.Path,
    tell_problem: TellProblem,
) -> list[Entry]:
    """The faces of each frame of a video, whose copy with the smoothed points drawn is written to `out`.

    Raises:
      PhotoError: It cannot be read.
      OSError: It cannot be written.
    """
    opened = video.read(path)
    raw: dict[int, list[np.ndarray]] = {}
    smooth: dict[int, list[np.ndarray]] = {}
    entries: list[Entry] = []
    with (
        contextlib.closing(video.Writer(out, opened.rate, opened.shape)) as writer,
        progress.counting(opened.count or None, path.name, unit="frames") as advance,
    ):
        for frame, tracks in video.track(opened.frames, landmarker, opened.rate, boxes):
            for one in tracks:
                raw.setdefault(one.number, []).append(one.face.points)
                smooth.setdefault(one.number, []).append(one.state.points)
                frame = pictures.draw_face(frame, one.state.points, landmarker.scheme)
            rows = [FoundFace(one.face.box, one.state.points, one.face.confidence, one.number) for one in tracks]
            entries.append(Entry(str(path), rows, len(entries)))
            writer.write(frame)
            advance(1)
    if not raw:
        tell_problem(f"{path}: no face is found in it")
        return entries
    before, after = 100 * video.motion([*raw.values()]), 100 * video.motion([*smooth.values()])
    print(
        f"{path}: {len(raw)} face{'s' * (len(raw) > 1)}, {len(entries)} frames; points move by {before:.2f} % of the"
        f" face's size from frame to frame, smoothed {after:.2f} %, the faces' own motion included. Wrote {writer.file}"
    )
    return entries


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
                elif path.suffix.lower() in video.ENDINGS:
                    clip = target.with_name(f"{name.name}.mp4")
                    entries += predict_video(path, landmarker, given, clip, problems.append)
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
