"""300-W (Sagonas et al., ICCV-W 2013): AFW, HELEN, LFPW and IBUG with 68 landmarks in the iBUG scheme."""

from __future__ import annotations

import dataclasses
import logging
import re
import typing
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import BOX_SCALE, LANDMARK_BOX, Label, make_record, parse_numbers
from jaxlm.data_pipelines.source import BadFaceError, OnBad
from jaxlm.landmarks import IBUG68, Scheme
from jaxlm.landmarks.geometry import box_around

FOLDERS = {
    "train": ("afw", "helen/trainset", "lfpw/trainset"),
    "common": ("helen/testset", "lfpw/testset"),
    "challenging": ("ibug",),
}
NUM_POINTS = 68
IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG")


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
        for path in sorted((self.source / folder).glob("*.pts")):
            try:
                points = read_pts(path, NUM_POINTS)
                image = find_image(path)
            except BadFaceError as error:
                on_bad(error)
                continue
            labels.append(
                Label(
                    image=image,
                    points=points,
                    box=box_around(points, BOX_SCALE),
                    where=str(path),
                    name=f"{folder}/{path.stem}",
                    group=photo_of(folder, path.stem),
                )
            )
        return labels


def photo_of(folder: str, stem: str) -> str:
    """The name of the photo that a face is from: AFW and HELEN call its faces PHOTO_1, PHOTO_2 and so on."""
    if folder.startswith(("afw", "helen")):
        stem = re.sub(r"_\d+$", "", stem)
    return f"{folder}/{stem}"


def find_image(path: Path, images: Path | None = None) -> Path:
    """The image of a .pts file, with the same name, in the folder `images` or, by default, beside the file.

    Raises:
      BadFaceError: There is no such image.
    """
    candidates = [(images or path.parent) / (path.stem + suffix) for suffix in IMAGE_SUFFIXES]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise BadFaceError(f"{path}: its image {candidates[0]} (or .png) is missing")


def read_pts(path: Path, num_points: int) -> np.ndarray:
    """The landmarks in a .pts file, [num_points, 2], in pixels with the first pixel's centre at (0, 0).

    The file counts from 1: `version: 1`, `n_points: N`, then the points between braces, one `x y` a line.

    Raises:
      BadFaceError: The file has another form or another number of points.
    """
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    if "{" not in lines or "}" not in lines:
        raise BadFaceError(f"{path}: no points between lines '{{' and '}}'; the file is truncated or not a .pts file")
    first, last = lines.index("{") + 1, lines.index("}")
    rows = [(number, line) for number, line in enumerate(lines[first:last], start=first + 1) if line]
    if len(rows) != num_points:
        raise BadFaceError(f"{path}, line {last + 1}: {len(rows)} points instead of {num_points}")
    points = np.empty((num_points, 2))
    for i, (number, line) in enumerate(rows):
        tokens = line.split()
        if len(tokens) != 2:
            raise BadFaceError(f"{path}, line {number}: {len(tokens)} values instead of x and y")
        points[i] = parse_numbers(tokens, f"{path}, line {number}")
    return points - 1.0
