"""A folder of face crops with annot.pkl, the format of a course challenge on FaceSynthetics and AFLW2000-3D."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import Label, check_all_are_places, make_sized_record
from jaxlm.data_pipelines.labelling.photo_names import photo_in
from jaxlm.data_pipelines.record import Record
from jaxlm.data_pipelines.source import BadFaceError, OnBad
from jaxlm.files import read_pickle
from jaxlm.landmarks import IBUG68, Scheme

NUM_POINTS = 68
ANNOTATIONS = "annot.pkl"

_SHOWN = 100  # Characters of a name that a message quotes.


@dataclasses.dataclass(frozen=True)
class AnnotationPickle:
    """Images of one size and their 68 landmarks in annot.pkl, which is read in a way that runs no code.

    An image is a crop already, so its face box is the whole image. With `--margin 1 --frame-size 384` a frame is the
    image itself, and the normaliser `image` is its side.

    Attributes:
      source: Folder of annot.pkl and of the images that it names.
      name: Name of the prepared set: letters, digits and _.
      split: Split that the faces go to.
      image_size: Width and height of every image in pixels; the landmarks refer to it.
    """

    source: Path
    name: str = "annotation_pickle"
    split: str = "train"
    image_size: int = 384

    scheme: typing.ClassVar[Scheme] = IBUG68
    box: typing.ClassVar[str] = "the whole image"

    def __post_init__(self) -> None:
        for option, value in (("--name", self.name), ("--split", self.split)):
            if not re.fullmatch(r"\w+", value):
                raise ValueError(f"{option} {value!r}: letters, digits and _ only")

    def read(self, on_bad: OnBad) -> dict[str, list[Label]]:
        """The annotated faces, in the order of annot.pkl.

        Raises:
          FileNotFoundError: There is no annot.pkl.
          ValueError: The file is damaged, or holds something else than file names and landmarks; see `read_pickle`.
        """
        path = self.source / ANNOTATIONS
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing; --source is the folder of {ANNOTATIONS} and its images")
        names, landmarks = names_and_landmarks(read_pickle(path), path)
        labels = []
        for number, (name, points) in enumerate(zip(names, landmarks, strict=True), start=1):
            try:
                labels.append(self._label(name, points, f"{path}, face {number}"))
            except BadFaceError as error:
                on_bad(error)
        return {self.split: labels}

    def to_record(self, label: Label, frame_size: int, margin: float) -> Record:
        """Cuts the frame of one face; see `cutting.make_sized_record`."""
        size = (self.image_size, self.image_size)
        return make_sized_record(label, frame_size, margin, size, "--image-size")

    def _label(self, name: typing.Any, points: typing.Any, where: str) -> Label:
        if not isinstance(name, str):
            raise BadFaceError(f"{where}: the file name is {type(name).__name__} {f'{name}'[:_SHOWN]}, not a string")
        image = photo_in(self.source, name, where)
        points = to_points(points, f"{where} ({name})")
        return Label(
            image=image,
            points=points,
            box=np.array([0, 0, self.image_size - 1, self.image_size - 1]),
            where=where,
            name=str(name),
            group=str(name),
        )


def names_and_landmarks(content: typing.Any, path: Path) -> tuple[typing.Any, typing.Any]:
    """The list of file names and the equally long list of landmarks that a pickle holds.

    Raises:
      ValueError: The pickle holds something else.
    """
    kinds = (list, tuple, np.ndarray)
    if not isinstance(content, kinds) or len(content) != 2 or not all(isinstance(part, kinds) for part in content):
        found = f"{type(content).__name__} of {len(content)}" if isinstance(content, kinds) else type(content).__name__
        raise ValueError(f"{path}: found {found}, not a list of two lists, file names and landmarks")
    names, landmarks = content
    if len(names) != len(landmarks):
        raise ValueError(f"{path}: {len(names)} file names, but landmarks for {len(landmarks)}")
    return names, landmarks


def to_points(value: typing.Any, where: str) -> np.ndarray:
    """Landmarks float64 [68, 2] from an array or nested lists of (x, y) in pixels, counted from 0. INFERRED.

    Raises:
      BadFaceError: There is another number of values, one is not a finite number, or a point is marked as hidden.
    """
    try:
        points = np.asarray(value)
    except ValueError:
        raise BadFaceError(f"{where}: the landmarks are lists of different lengths") from None
    if points.shape != (NUM_POINTS, 2):
        raise BadFaceError(f"{where}: landmarks of shape {list(points.shape)} instead of [{NUM_POINTS}, 2]")
    if points.dtype.kind not in "iuf" or not np.isfinite(points).all():
        raise BadFaceError(f"{where}: a landmark is not a finite number")
    return check_all_are_places(points.astype(np.float64), where)
