"""A user's own faces: images with a table or a list of landmarks, or with one .pts file each."""

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
      name: What the prepared set is to be called: letters, digits and _.
      scheme: A built-in landmark scheme, or a .toml file that defines one.
      annotations: A .csv file: a header, then the image's name in `source` and x0, y0, x1, y1, ... counted from 0,
        and, if you like, a column `split`. Or a .txt file: a list without a header whose lines hold
        x0 y0 x1 y1 ... and the image's name, counted from 0, as AVS (ICCV 2019) has them. Or a folder of .pts files
        counted from 1. By default the .pts files beside the images.
      group_by: Regular expression whose first group, found at the start of the image's name, is what the faces of one
        person or one photo share, as in '(.*)_'. By default every image stands for itself, except in a .txt list,
        where images with equal points are one face in several styles: AVS numbers them, so names do not tell. A list
        of photos and one of their styled faces, prepared as two sets, give such faces one group (--data.styled).
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
        """The annotated faces of each split: the table's column `split`, else all in `train`.

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
        """The face of an image, in `group` where there is no --group-by."""
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
