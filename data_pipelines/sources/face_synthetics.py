"""Microsoft's FaceSynthetics (Wood et al., Fake It Till You Make It, ICCV 2021): 100,000 rendered faces, 512 x 512."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import (
    BOX_SCALE,
    LANDMARK_BOX,
    Label,
    check_all_are_places,
    make_sized_record,
)
from jaxlm.data_pipelines.record import Record
from jaxlm.data_pipelines.source import BadFaceError, OnBad, passing_bad
from jaxlm.data_pipelines.sources.ibug300w import parse_rows
from jaxlm.landmarks import IBUG68, Scheme
from jaxlm.landmarks.geometry import box_around
from jaxlm.landmarks.tables import files_with_ending, read_lines

NUM_ROWS = 70
NUM_POINTS = 68
LANDMARKS_SUFFIX = "_ldmks.txt"


@dataclasses.dataclass(frozen=True)
class FaceSynthetics:
    """The published folder of FaceSynthetics, or a part of it: 000000.png with 000000_ldmks.txt, and so on.

    Attributes:
      source: Folder of the images and landmark files.
      image_size: Width and height of every image in pixels; the landmarks refer to it.
    """

    source: Path
    image_size: int = 512

    name: typing.ClassVar[str] = "face_synthetics"
    scheme: typing.ClassVar[Scheme] = IBUG68
    box: typing.ClassVar[str] = LANDMARK_BOX

    def read(self, on_bad: OnBad) -> dict[str, list[Label]]:
        """All faces in `train`, sorted by name; `train[:10000]` is the smaller published download of 10,000 faces.

        Raises:
          FileNotFoundError: The folder holds no landmark files.
        """
        paths = files_with_ending(self.source, LANDMARKS_SUFFIX)
        if not paths:
            raise FileNotFoundError(f"{self.source} holds no files like 000000{LANDMARKS_SUFFIX}")
        labels = []
        for path in paths:
            with passing_bad(on_bad):
                labels.append(read_label(path))
        return {"train": labels}

    def to_record(self, label: Label, frame_size: int, margin: float) -> Record:
        """Cuts the frame of one face; see `cutting.make_sized_record`."""
        size = (self.image_size, self.image_size)
        return make_sized_record(label, frame_size, margin, size, "--image-size")


def read_label(path: Path) -> Label:
    """The face of a landmark file and the image beside it.

    Raises:
      BadFaceError: See `read_landmarks`.
    """
    name = path.name[: -len(LANDMARKS_SUFFIX)]
    points = read_landmarks(path)
    return Label(
        image=path.with_name(f"{name}.png"),
        points=points,
        box=box_around(points, BOX_SCALE),
        where=str(path),
        name=name,
        group=name,
    )


def read_landmarks(path: Path) -> np.ndarray:
    """The 68 iBUG landmarks [68, 2] of a landmark file, in pixels.

    The file holds 70 lines `x y`; the last two are the pupils, which are dropped. Values count from 0 and are taken as
    they are, with pixel centres at integers. INFERRED: the publishers do not say whether an integer is a pixel's
    centre or its corner. The irises of 40 faces lie 0.2 +- 0.14 pixels left of the pupils, where corners would give
    0.5.

    Raises:
      BadFaceError: The file has another number of lines, or a line is not two numbers.
      LineError: It is no text.
    """
    points = parse_rows(read_lines(path))
    if len(points) != NUM_ROWS:
        raise BadFaceError(f"{path}: {len(points)} rows instead of {NUM_ROWS} (68 landmarks and 2 pupils)")
    return check_all_are_places(points[:NUM_POINTS], str(path))
