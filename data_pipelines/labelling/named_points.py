"""What formats with named points share: options, the scheme made of the names, and labels of faces."""

from __future__ import annotations

import abc
import dataclasses
import logging
import typing
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import BOX_SCALE, LANDMARK_BOX, Label, make_record, make_sized_record
from jaxlm.data_pipelines.labelling.named_schemes import by_number, check_scheme_file, order_of, scheme_of_names
from jaxlm.data_pipelines.labelling.photo_names import (
    check_group_by,
    check_groups,
    check_name,
    face_name,
    group_of,
    photo_in,
)
from jaxlm.data_pipelines.record import Record
from jaxlm.data_pipelines.source import BadFaceError, OnBad, Source
from jaxlm.landmarks import Scheme
from jaxlm.landmarks.geometry import box_around
from jaxlm.landmarks.hidden import are_marks, find_repeated

FROM_NAMES = Scheme("made of the names", ())
"""Stands for the scheme that is made of the names in the annotations."""


class Names(typing.NamedTuple):
    """The points that a file names.

    Attributes:
      names: Their names.
      edges: Pairs of their indices that a drawing joins.
      ordered: Whether the file says their order; if not, they are sorted.
    """

    names: Sequence[str]
    edges: Sequence[Sequence[int]] = ()
    ordered: bool = True


class Face(typing.NamedTuple):
    """A face as a file has it.

    Attributes:
      photo: Name of its photo, a path from the folder of photos.
      points: Places [N, 2] in the order of the file's names, NaN where a point has none.
      visible: bool [N], whether each is visible.
      where: File and line or number of the annotation, for messages.
      size: Width and height of the photo in pixels; None where the file does not say.
    """

    photo: str
    points: np.ndarray
    visible: np.ndarray
    where: str
    size: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class SizedLabel(Label):
    """A face of a photo of that `size`, width and height in pixels; None where it is not known."""

    size: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class NamedPoints(abc.ABC):
    """A file with the faces of several photos, whose points have names.

    Attributes:
      source: Folder of the photos.
      annotations: The file.
      name: Name of the prepared set: letters, digits and _.
      scheme: A built-in landmark scheme, or a .toml file that defines one, with as many points. By default it is made
        of the names in the file, and written beside the pack, or as DATA_DIR/NAME.toml.
      split: Split that the faces go to.
      group_by: Regular expression that is matched at the start of a photo's name. Photos with the same first group, as
        in '(.*)_', are of one person, and stay together when the set is split. By default, every photo is a group.
      found: The points that the file names.
      made: The scheme, where it was made of the names.
    """

    source: Path
    annotations: Path
    name: str
    scheme: Scheme = FROM_NAMES
    split: str = "train"
    group_by: str | None = None
    found: Names = dataclasses.field(init=False)
    made: Scheme | None = dataclasses.field(init=False, default=None)

    box: typing.ClassVar[str] = LANDMARK_BOX

    def __post_init__(self) -> None:
        check_name("--name", self.name)
        check_name("--split", self.split)
        check_group_by(self.group_by)
        found, where = self.names(), str(self.annotations)
        object.__setattr__(self, "found", found)
        if self.scheme == FROM_NAMES:
            order = by_number(found.names)
            places = np.argsort(order).tolist()
            edges = [(places[one], places[two]) for one, two in found.edges]
            made = scheme_of_names(self.name, [found.names[index] for index in order], edges, where)
            object.__setattr__(self, "scheme", made)
            object.__setattr__(self, "made", made)
        order_of(found.names, self.scheme, where, found.ordered)

    @abc.abstractmethod
    def names(self) -> Names:
        """The points that the file names.

        Raises:
          OSError: The file cannot be read.
          ValueError: It is of another format, or names no points.
        """

    @abc.abstractmethod
    def faces(self, on_bad: OnBad, passed: Counter[str]) -> Iterator[Face]:
        """The faces of the file in its order.

        Args:
          on_bad: Called with the error of each that cannot be used.
          passed: Counts what is no face with points and is passed over, by what it is.
        """

    def read(self, on_bad: OnBad) -> dict[str, list[Label]]:
        """The annotated faces of the one split, in the order of the file.

        Raises:
          OSError: The file cannot be read.
          ValueError: It is damaged, or there are no faces, or not one of them can be used.
        """
        bad: list[BadFaceError] = []

        def noted(error: BadFaceError) -> None:
            bad.append(error)
            on_bad(error)

        passed, known, labels = Counter[str](), Counter[str](), list[Label]()
        order = order_of(self.found.names, self.scheme, str(self.annotations), self.found.ordered)
        for face in self.faces(noted, passed):
            try:
                labels.append(self._label(face, order, known))
            except BadFaceError as error:
                noted(error)
        told = ", ".join(f"{count} {what}" for what, count in passed.items())
        if not labels and bad:
            raise ValueError(f"not one of the {len(bad)} faces can be used; the first: {bad[0]}")
        if not labels:
            raise ValueError(f"{self.annotations} holds no faces with points" + (f": {told}" if told else ""))
        self._check_repeated(labels)
        check_groups([label.group for label in labels], self.group_by)
        if told:
            logging.getLogger(__name__).warning("%s: passed over: %s", self.annotations, told)
        return {self.split: labels}

    def to_record(self, label: SizedLabel, frame_size: int, margin: float) -> Record:
        """Cuts the frame of one face; raises BadFaceError where its photo has another size than the file says."""
        if label.size is None:
            return make_record(label, frame_size, margin)
        return make_sized_record(label, frame_size, margin, label.size, self.annotations.name)

    def _check_repeated(self, labels: Sequence[Label]) -> None:
        """Raises ValueError where faces share a place far from their other points; see `hidden.find_repeated`."""
        found = find_repeated([label.points for label in labels])
        if found is not None:
            (x, y), faces = found
            first = labels[faces[0]]
            raise ValueError(
                f"{first.where}: point {int(np.argmax((first.points == found[0]).all(-1)))} of scheme"
                f" {self.scheme.name} is at ({x:g}, {y:g}), far from the others, and so in {len(faces)} faces; it may"
                f" mark a hidden point: {self.unplaced}"
            )

    def _label(self, face: Face, order: np.ndarray, known: Counter[str]) -> SizedLabel:
        photo, where = face.photo, face.where
        image = photo_in(self.source, photo, where)
        points, visible = face.points[order], face.visible[order]
        placed = ~np.isnan(points).any(-1)
        marks = are_marks(points) | (points == -1).all(-1)
        if marks.any():
            x, y = points[np.argmax(marks)]
            raise BadFaceError(
                f"{where}: point {int(np.argmax(marks))} of scheme {self.scheme.name} is at ({x:g}, {y:g}), as tools"
                f" write a point that has no place; {self.unplaced}"
            )
        if not placed.any():
            raise BadFaceError(f"{where}: all of its points are hidden")
        return SizedLabel(
            image=image,
            points=points,
            box=box_around(points[placed], BOX_SCALE),
            where=where,
            name=face_name(photo, known),
            group=photo if self.group_by is None else group_of(photo, self.group_by, where),
            visible=visible,
            size=face.size,
        )

    unplaced: typing.ClassVar[str]
    """How the format has a point without a place."""


def made_scheme(source: Source, pack: Path | None, data_dir: Path | None) -> tuple[Path, Scheme] | None:
    """The scheme that a source has made of names and the file that it goes to, beside the pack or in `data_dir`.

    Raises:
      ValueError: The file is there and holds another scheme; see `check_scheme_file`.
    """
    if not isinstance(source, NamedPoints) or source.made is None:
        return None
    file = pack.with_suffix(".toml") if pack else (data_dir or Path()) / f"{source.name}.toml"
    check_scheme_file(file, source.made)
    return file, source.made
