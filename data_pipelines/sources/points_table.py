"""Your own faces: images with landmarks in a table, in a list, or in one .pts file for each image."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import BOX_SCALE, LANDMARK_BOX, Label, make_record, parse_numbers
from jaxlm.data_pipelines.source import BadFaceError, OnBad
from jaxlm.data_pipelines.sources.ibug300w import find_image, read_pts
from jaxlm.landmarks import Scheme
from jaxlm.landmarks.geometry import box_around

SPLIT_COLUMN = "split"


@dataclasses.dataclass(frozen=True)
class PointsTable:
    """Images with landmarks of any scheme.

    Attributes:
      source: Folder of the images.
      name: Name of the prepared set: letters, digits and _.
      scheme: A built-in landmark scheme, or a .toml file that defines one.
      annotations: The landmarks. A .csv file has a header, and its rows hold the image's name in `source`, then
        x0, y0, x1, y1, ... counted from 0; a column `split` is optional. A .txt file has no header, and its lines hold
        x0 y0 x1 y1 ... counted from 0, then the image's name; AVS (ICCV 2019) has such lists. A folder holds .pts
        files, counted from 1. By default, the .pts files lie beside the images.
      group_by: Regular expression that is matched at the start of an image's name. Images with the same first group,
        as in '(.*)_', are of one person or photo, and stay together when the set is split. By default, every image is
        a group of its own; in a .txt list, images with equal points are one group, since they are one face in several
        styles. So photos and their styled faces, prepared as two sets, share groups (--data.styled).
    """

    source: Path
    name: str
    scheme: Scheme
    annotations: Path | None = None
    group_by: str | None = None

    box: typing.ClassVar[str] = LANDMARK_BOX

    to_record = staticmethod(make_record)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w+", self.name):
            raise ValueError(f"--name {self.name!r}: a set needs a name of letters, digits and _")
        if self.group_by is not None and re.compile(self.group_by).groups < 1:
            raise ValueError(f"--group-by {self.group_by!r} has no group in parentheses")

    def read(self, on_bad: OnBad) -> dict[str, list[Label]]:
        """The annotated faces of each split; without a column `split`, all are in `train`.

        Raises:
          FileNotFoundError: There are no annotations.
          ValueError: The table's header does not fit the scheme.
        """
        path = self.annotations or self.source
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder of annotations")
        splits: dict[str, list[Label]] = {}
        for split, label in self._read_file(path, on_bad):
            splits.setdefault(split, []).append(label)
        if not splits:
            raise FileNotFoundError(
                f"{path} holds no usable annotations; give --annotations a .csv, a .txt or .pts files"
            )
        return splits

    def _read_file(self, path: Path, on_bad: OnBad) -> Iterator[tuple[str, Label]]:
        if path.is_dir():
            return self._read_pts_files(path, on_bad)
        return self._read_list(path, on_bad) if path.suffix == ".txt" else self._read_table(path, on_bad)

    def _read_pts_files(self, folder: Path, on_bad: OnBad) -> Iterator[tuple[str, Label]]:
        num_points = self.scheme.num_points
        for path in sorted(folder.glob("*.pts")):
            try:
                image = find_image(path, self.source)
                yield "train", self._label(image.name, read_pts(path, num_points), str(path), image.name)
            except BadFaceError as error:
                on_bad(error)

    def _read_table(self, path: Path, on_bad: OnBad) -> Iterator[tuple[str, Label]]:
        num_points = self.scheme.num_points
        with path.open(newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            split_at = header.index(SPLIT_COLUMN) if SPLIT_COLUMN in header else None
            num_coordinates = len(header) - 1 - (split_at is not None)
            if num_coordinates != 2 * num_points:
                raise ValueError(
                    f"{path}, line 1: {num_coordinates} columns of coordinates; "
                    f"scheme {self.scheme.name} has {num_points} points, so {2 * num_points} are needed"
                )
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                try:
                    if len(row) != len(header):
                        raise BadFaceError(f"{where}: {len(row)} values instead of {len(header)}")
                    split = row.pop(split_at) if split_at is not None else "train"
                    if not re.fullmatch(r"\w+", split):
                        raise BadFaceError(f"{where}: the split {split!r} needs a name of letters, digits and _")
                    points = parse_numbers(row[1:], where).reshape(num_points, 2)
                    yield split, self._label(row[0], points, where, row[0])
                except BadFaceError as error:
                    on_bad(error)

    def _read_list(self, path: Path, on_bad: OnBad) -> Iterator[tuple[str, Label]]:
        num_points = self.scheme.num_points
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            where = f"{path}, line {number}"
            try:
                values = line.split()
                if len(values) != 2 * num_points + 1:
                    layout = f"x and y of {num_points} points, the image"
                    raise BadFaceError(f"{where}: {len(values)} values instead of {2 * num_points + 1} ({layout})")
                *tokens, image = values
                points = parse_numbers(tokens, where).reshape(num_points, 2)
                structure = hashlib.sha256(points.tobytes()).hexdigest()[:16]
                yield "train", self._label(image, points, where, structure)
            except BadFaceError as error:
                on_bad(error)

    def _label(self, image: str, points: np.ndarray, where: str, group: str) -> Label:
        """The face of an image; it is in `group` where there is no --group-by."""
        if self.group_by is not None:
            match = re.match(self.group_by, image)
            if not match:
                raise BadFaceError(f"{where}: --group-by {self.group_by!r} does not match the image name {image!r}")
            group = match.group(1)
        return Label(
            image=self.source / image,
            points=points,
            box=box_around(points, BOX_SCALE),
            where=where,
            name=image,
            group=group,
        )
