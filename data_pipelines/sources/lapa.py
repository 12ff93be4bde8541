"""LaPa (Liu et al., AAAI 2020): 22,176 faces in the wild with 106 landmarks, in the order of JD-landmark."""

from __future__ import annotations

import dataclasses
import logging
import re
import typing
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import BOX_SCALE, LANDMARK_BOX, Label, check_all_are_places, make_record
from jaxlm.data_pipelines.source import BadFaceError, OnBad, passing_bad
from jaxlm.data_pipelines.sources.ibug300w import find_image, images_by_stem, parse_rows
from jaxlm.landmarks import LAPA106, Scheme
from jaxlm.landmarks.geometry import box_around
from jaxlm.landmarks.tables import files_with_ending, read_lines, shorten

NUM_POINTS = 106
SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class LaPa:
    """LaPa as published: folders train, val and test, each with images and landmarks; missing ones are left out.

    The folders `labels`, maps of the parts of faces, are not read.

    Attributes:
      source: Folder that holds train, val and test.
    """

    source: Path

    name: typing.ClassVar[str] = "lapa"
    scheme: typing.ClassVar[Scheme] = LAPA106
    box: typing.ClassVar[str] = LANDMARK_BOX

    to_record = staticmethod(make_record)

    def read(self, on_bad: OnBad) -> dict[str, list[Label]]:
        """The annotated faces of each split, sorted by name.

        Raises:
          FileNotFoundError: All of the folders are missing.
        """
        present = [split for split in SPLITS if (self.source / split / "landmarks").is_dir()]
        missing = [split for split in SPLITS if split not in present]
        if not present:
            raise FileNotFoundError(
                f"{self.source} holds none of the folders {', '.join(SPLITS)} with `landmarks` in it"
            )
        if missing:
            logging.getLogger(__name__).warning("missing folders, left out: %s", ", ".join(missing))
        return {split: self._read_split(split, on_bad) for split in present}

    def _read_split(self, split: str, on_bad: OnBad) -> list[Label]:
        labels = []
        images = images_by_stem(self.source / split / "images")
        for path in files_with_ending(self.source / split / "landmarks", ".txt"):
            with passing_bad(on_bad):
                points = read_landmarks(path)
                label = Label(
                    image=find_image(path, images),
                    points=points,
                    box=box_around(points, BOX_SCALE),
                    where=str(path),
                    name=path.stem,
                    group=re.sub(r"_\d+$", "", path.stem),
                )
                labels.append(label)
        return labels


def read_landmarks(path: Path) -> np.ndarray:
    """The landmarks [106, 2] of a file, in pixels.

    Its first line is 106, the others are `x y`. Values are taken as they are, with pixel centres at integers, from 0.
    INFERRED: the publishers do not say from where they count.

    Raises:
      BadFaceError: The file has another form or another number of points.
      LineError: It is no text.
    """
    lines = read_lines(path)
    if not lines or lines[0].text.split() != [str(NUM_POINTS)]:
        found = shorten(lines[0].text) if lines else ""
        raise BadFaceError(f"{path}: the first line is {found!r}, not {NUM_POINTS}, the number of points")
    points = parse_rows(lines[1:])
    if len(points) != NUM_POINTS:
        raise BadFaceError(f"{path}: {len(points)} points instead of {NUM_POINTS}")
    return check_all_are_places(points, str(path))
