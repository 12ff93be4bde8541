"""WFLW (Wu et al., Look at Boundary, CVPR 2018): 10,000 faces in the wild with 98 landmarks and six attributes."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import Label, check_all_are_places, make_record, parse_numbers
from jaxlm.data_pipelines.record import ATTRIBUTES
from jaxlm.data_pipelines.source import BadFaceError, OnBad, passing_bad
from jaxlm.landmarks import WFLW98, Scheme
from jaxlm.landmarks.tables import Line, read_lines

NUM_POINTS = 98
NUM_TOKENS = 2 * NUM_POINTS + 4 + len(ATTRIBUTES) + 1
LISTS = Path("WFLW_annotations", "list_98pt_rect_attr_train_test")
SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class WFLW:
    """The official WFLW archives, unpacked: WFLW_images and WFLW_annotations.

    Attributes:
      source: Folder that holds WFLW_images and WFLW_annotations.
    """

    source: Path

    name: typing.ClassVar[str] = "wflw"
    scheme: typing.ClassVar[Scheme] = WFLW98
    box: typing.ClassVar[str] = "the annotated face rectangle, made square"

    to_record = staticmethod(make_record)

    def read(self, on_bad: OnBad) -> dict[str, list[Label]]:
        """The annotated faces of each split, in the order of the official lists.

        Raises:
          FileNotFoundError: A list of faces is missing.
        """
        return {split: self._read_list(split, on_bad) for split in SPLITS}

    def _read_list(self, split: str, on_bad: OnBad) -> list[Label]:
        path = self.source / LISTS / f"list_98pt_rect_attr_{split}.txt"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing; --source is the folder of WFLW_images and WFLW_annotations")
        labels = []
        for line in read_lines(path):
            with passing_bad(on_bad):
                labels.append(parse_line(line, self.source / "WFLW_images"))
        return labels


def parse_line(line: Line, images: Path) -> Label:
    """The face in a line of an official list.

    The line holds 207 values: 98 points x y, the face rectangle x1 y1 x2 y2 (its first and its last pixel), six flags
    in the order of `ATTRIBUTES`, and the photo's path in the folder `images`.

    Raises:
      BadFaceError: The line holds something else.
    """
    where = line.where
    *tokens, image = line.text.split()
    if len(tokens) + 1 != NUM_TOKENS:
        layout = "196 coordinates, 4 of the rectangle, 6 attributes, the image"
        raise BadFaceError(f"{where}: {len(tokens) + 1} values instead of {NUM_TOKENS} ({layout})")
    points, box, flags = np.split(parse_numbers(tokens, where), [2 * NUM_POINTS, 2 * NUM_POINTS + 4])
    if not np.isin(flags, (0, 1)).all():
        raise BadFaceError(f"{where}: the six attributes are 0 or 1, found {' '.join(tokens[-len(ATTRIBUTES) :])}")
    return Label(
        image=images / image,
        points=check_all_are_places(points.reshape(NUM_POINTS, 2), where),
        box=box,
        where=where,
        name=f"{image}:{line.number}",
        group=image,
        attributes=flags.astype(bool),
    )
