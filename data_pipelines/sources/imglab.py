"""XML files of dlib's imglab: boxes in photos, with named parts."""

from __future__ import annotations

import dataclasses
import typing
from collections import Counter
from collections.abc import Iterator

import numpy as np

from jaxlm.data_pipelines.cutting import parse_numbers
from jaxlm.data_pipelines.labelling.named_points import Face, NamedPoints, Names
from jaxlm.data_pipelines.labelling.named_schemes import natural
from jaxlm.data_pipelines.source import BadFaceError, OnBad, passing_bad
from jaxlm.files import Element, read_elements
from jaxlm.landmarks.scheme import MOST_POINTS
from jaxlm.landmarks.tables import shorten

_ROOT, _IMAGE, _BOX, _PART = "dataset", "image", "box", "part"


class _Box(typing.NamedTuple):
    """A box of a photo: the photo's name as it is written, the box's start tag and those of its parts."""

    photo: str | None
    start: Element
    parts: list[Element]


@dataclasses.dataclass(frozen=True)
class Imglab(NamedPoints):
    """Faces in an XML file of dlib's imglab: boxes with named parts. The boxes themselves are not used."""

    name: str = "imglab"

    unplaced: typing.ClassVar[str] = "leave its part out"

    def names(self) -> Names:
        """The names of all parts, sorted with numbers in them as numbers; see `NamedPoints.names`."""
        found = {part.attributes.get("name", "") for box in self._boxes() for part in box.parts if not _ignored(box)}
        if not found:
            raise ValueError(f"{self.annotations}: no box has parts, which are the points of a face")
        if len(found) > MOST_POINTS:
            raise ValueError(f"{self.annotations}: its parts have {len(found)} names; a face has {MOST_POINTS} at most")
        return Names(sorted(found, key=natural), ordered=False)

    def faces(self, on_bad: OnBad, passed: Counter[str]) -> Iterator[Face]:
        """The boxes that have parts and are not to be ignored; see `NamedPoints.faces`."""
        places = {name: index for index, name in enumerate(self.found.names)}
        for box in self._boxes():
            if _ignored(box):
                passed["boxes to ignore"] += 1
            elif not box.parts:
                passed["boxes without parts"] += 1
            else:
                with passing_bad(on_bad):
                    yield self._face(box, places)

    def _boxes(self) -> Iterator[_Box]:
        photo, image_depth, box = None, 0, None
        for element in read_elements(self.annotations):
            if not element.depth and element.tag != _ROOT:
                raise ValueError(
                    f"{self.annotations} is no file of imglab: it begins with {shorten(element.tag)!r}, not {_ROOT!r}"
                )
            if box is not None and element.depth <= box.start.depth:
                yield box
                box = None
            if element.depth <= image_depth:
                photo = None  # The image has ended.
            if element.tag == _IMAGE:
                photo, image_depth = element.attributes.get("file"), element.depth
            elif element.tag == _BOX:
                box = _Box(photo, element, [])
            elif element.tag == _PART and box is not None:
                box.parts.append(element)
        if box is not None:
            yield box

    def _face(self, box: _Box, places: dict[str, int]) -> Face:
        where = f"{self.annotations}, line {box.start.line}"
        if not box.photo:
            raise BadFaceError(f"{where}: the box lies in no image with a file")
        points = np.full((len(places), 2), np.nan)
        for part in box.parts:
            line, name = f"{self.annotations}, line {part.line}", part.attributes.get("name", "")
            index = places[name]
            if not np.isnan(points[index]).all():
                raise BadFaceError(f"{line}: the part {shorten(name)!r} is there twice in one box")
            points[index] = parse_numbers([part.attributes.get(axis, "") for axis in "xy"], line)
        photo = box.photo if (self.source / box.photo).exists() else box.photo.replace("\\", "/")
        return Face(photo, points, ~np.isnan(points).any(-1), where)


def _ignored(box: _Box) -> bool:
    return box.start.attributes.get("ignore", "0").strip() not in ("", "0")
