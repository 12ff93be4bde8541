"""300-W (Sagonas et al., ICCV-W 2013): AFW, HELEN, LFPW and IBUG with 68 landmarks in the iBUG scheme."""

from __future__ import annotations

import dataclasses
import logging
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import (
    BOX_SCALE,
    LANDMARK_BOX,
    Label,
    check_all_are_places,
    make_record,
    parse_numbers,
)
from jaxlm.data_pipelines.source import BadFaceError, OnBad, passing_bad
from jaxlm.landmarks import IBUG68, Scheme, photos
from jaxlm.landmarks.geometry import box_around
from jaxlm.landmarks.tables import Line, files_with_ending, read_lines

FOLDERS = {
    "train": ("afw", "helen/trainset", "lfpw/trainset"),
    "common": ("helen/testset", "lfpw/testset"),
    "challenging": ("ibug",),
}
NUM_POINTS = 68
_COUNT = re.compile(r"n_?points\s*:\s*(\d{1,9})", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class IBUG300W:
    """The official 300-W folders afw, helen, lfpw and ibug; missing ones are left out.

    Attributes:
      source: Folder that holds afw, helen/trainset, helen/testset, lfpw/trainset, lfpw/testset and ibug.
    """

    source: Path

    name: typing.ClassVar[str] = "ibug300w"
    scheme: typing.ClassVar[Scheme] = IBUG68
    box: typing.ClassVar[str] = LANDMARK_BOX

    to_record = staticmethod(make_record)

    def read(self, on_bad: OnBad) -> dict[str, list[Label]]:
        """The annotated faces of each split, sorted by folder and name.

        Raises:
          FileNotFoundError: All of the folders are missing.
        """
        everything = [folder for folders in FOLDERS.values() for folder in folders]
        missing = [folder for folder in everything if not (self.source / folder).is_dir()]
        if missing == everything:
            raise FileNotFoundError(f"{self.source} holds none of the folders {', '.join(everything)}")
        if missing:
            logging.getLogger(__name__).warning("missing folders, left out: %s", ", ".join(missing))
        splits = {}
        for split, folders in FOLDERS.items():
            present = [folder for folder in folders if folder not in missing]
            if present:
                splits[split] = [label for folder in present for label in self._read_folder(folder, on_bad)]
        return splits

    def _read_folder(self, folder: str, on_bad: OnBad) -> list[Label]:
        labels = []
        images = images_by_stem(self.source / folder)
        for path in files_with_ending(self.source / folder, ".pts"):
            with passing_bad(on_bad):
                points = read_pts(path, NUM_POINTS)
                label = Label(
                    image=find_image(path, images),
                    points=points,
                    box=box_around(points, BOX_SCALE),
                    where=str(path),
                    name=f"{folder}/{path.stem}",
                    group=photo_of(folder, path.stem),
                )
                labels.append(label)
        return labels


def photo_of(folder: str, stem: str) -> str:
    """The name of the photo that a face is from: AFW and HELEN call its faces PHOTO_1, PHOTO_2 and so on."""
    if folder.startswith(("afw", "helen")):
        stem = re.sub(r"_\d+$", "", stem)
    return f"{folder}/{stem}"


def images_by_stem(folder: Path) -> dict[str, list[Path]]:
    """The images of a folder by their names without the endings; none where there is no such folder."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in photos.ENDINGS:
            found.setdefault(path.stem, []).append(path)
    return found


def find_image(path: Path, images: Mapping[str, Sequence[Path]]) -> Path:
    """The image of a file of points: the one of its name among `images`, see `images_by_stem`.

    Raises:
      BadFaceError: There is no such image, or there are several.
    """
    found = images.get(path.stem, ())
    if not found:
        raise BadFaceError(f"{path}: its image {path.stem}.jpg (or .png) is missing")
    if len(found) > 1:
        names = " and ".join(image.name for image in found)
        raise BadFaceError(f"{path}: {names} both have its name, so which is its image? Move the others away")
    return found[0]


def read_pts(path: Path, num_points: int) -> np.ndarray:
    """The landmarks in a .pts file, [num_points, 2], in pixels with the first pixel's centre at (0, 0).

    Raises:
      BadFaceError, LineError: See `read_pts_values`; or a value is not finite.
    """
    return check_all_are_places(read_pts_values(path, num_points, parse_numbers), str(path)) - 1.0


def read_pts_values(path: Path, num_points: int, parse: Callable[[Sequence[str], str], np.ndarray]) -> np.ndarray:
    """The landmarks in a .pts file as they are written, [num_points, 2], in pixels that count from 1.

    The file holds `version: 1`, `n_points: N`, then the points between braces, one `x y` a line.

    Args:
      path: The file.
      num_points: How many points it should hold.
      parse: `cutting.parse_numbers`, or `cutting.parse_places` where points may be hidden.

    Raises:
      BadFaceError: The file has another form or another number of points.
      LineError: It is no text.
    """
    lines = read_lines(path)
    texts = [line.text.strip() for line in lines]
    if "{" not in texts or "}" not in texts:
        raise BadFaceError(f"{path}: no points between lines '{{' and '}}'; the file is truncated or not a .pts file")
    first, last = texts.index("{") + 1, texts.index("}")
    if last + 1 < len(lines):
        raise BadFaceError(f"{lines[last + 1].where}: there is more behind the points: {texts[last + 1][:40]!r}")
    rows = lines[first:last]
    if len(rows) != num_points:
        raise BadFaceError(f"{lines[last].where}: {len(rows)} points instead of {num_points}")
    declared = [match[1] for match in map(_COUNT.fullmatch, texts[: first - 1]) if match]
    if declared and int(declared[0]) != len(rows):
        raise BadFaceError(f"{path}: n_points is {declared[0]}, and there are {len(rows)} points")
    return parse_rows(rows, parse)


def parse_rows(rows: Sequence[Line], parse: Callable[[Sequence[str], str], np.ndarray] = parse_numbers) -> np.ndarray:
    """The points [len(rows), 2] of lines `x y`.

    Raises:
      BadFaceError: A line has more or fewer values, or one that `parse` refuses.
    """
    points = np.empty((len(rows), 2))
    for i, row in enumerate(rows):
        words = row.text.split()
        if len(words) != 2:
            raise BadFaceError(f"{row.where}: {len(words)} values instead of x and y")
        points[i] = parse(words, row.where)
    return points
