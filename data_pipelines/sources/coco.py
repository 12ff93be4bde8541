"""COCO keypoints: one JSON file of photos, faces and the names of their points, as CVAT and others write it."""

from __future__ import annotations

import dataclasses
import typing
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import numpy as np

from jaxlm.data_pipelines.labelling.named_points import Face, NamedPoints, Names
from jaxlm.data_pipelines.source import BadFaceError, OnBad, passing_bad
from jaxlm.files import as_schema, read_json
from jaxlm.landmarks.scheme import MOST_POINTS
from jaxlm.landmarks.tables import shorten

MOST_BYTES = 2**28
"""Size of the largest file that is read: a hundred thousand faces of 68 points."""

_UNLABELLED, _VISIBLE = 0, 2


class _Image(msgspec.Struct):
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class _Category(msgspec.Struct):
    id: int | str
    name: str
    keypoints: Annotated[list[str], msgspec.Meta(max_length=MOST_POINTS)] | None = None
    skeleton: Any = None


class _Annotation(msgspec.Struct):
    image_id: int | str
    category_id: int | str
    keypoints: Annotated[list[float], msgspec.Meta(max_length=3 * MOST_POINTS)] | None = None
    iscrowd: int | bool = False


class _Document(msgspec.Struct):
    images: list[_Image]
    annotations: list[Any]
    categories: list[_Category]


@dataclasses.dataclass(frozen=True)
class Coco(NamedPoints):
    """Faces in a JSON file of COCO keypoints, several a photo; CVAT, Label Studio and Roboflow write such files.

    Attributes:
      category: Name of the category, where several have keypoints.
    """

    name: str = "coco"
    category: str | None = None

    unplaced: typing.ClassVar[str] = "set its v to 0"

    def names(self) -> Names:
        """The keypoints of the category and its skeleton; see `NamedPoints.names`."""
        category = self._choose(self._read())
        where = f"{self.annotations}, category {shorten(category.name)!r}"
        skeleton = as_schema(category.skeleton or [], list[tuple[int, int]], f"{where}: skeleton")
        count = len(category.keypoints or [])
        for pair in skeleton:
            if not all(1 <= number <= count for number in pair):
                raise ValueError(
                    f"{where}: skeleton joins {list(pair)}; it counts from 1, and there are {count} points"
                )
        return Names(category.keypoints or [], [(one - 1, two - 1) for one, two in skeleton])

    def faces(self, on_bad: OnBad, passed: Counter[str]) -> Iterator[Face]:
        """The annotations of the category that have keypoints; see `NamedPoints.faces`."""
        document = self._read()
        category = self._choose(document)
        images = {image.id: image for image in document.images}
        for number, raw in enumerate(document.annotations, start=1):
            own = raw.get("id") if isinstance(raw, dict) else None
            named = f"annotation {shorten(str(own))}" if own is not None else f"annotation number {number}"
            with passing_bad(on_bad):
                face = self._face(raw, category, images, f"{self.annotations}, {named}", passed)
                if face is not None:
                    yield face

    def _read(self) -> _Document:
        document = read_json(self.annotations, _Document, MOST_BYTES)
        for what, each in (("image", document.images), ("category", document.categories)):
            twice = [number for number, count in Counter(one.id for one in each).items() if count > 1]
            if twice:
                raise ValueError(f"{self.annotations}: the {what} id {shorten(str(twice[0]))} is there twice")
        return document

    def _choose(self, document: _Document) -> _Category:
        """The category that has keypoints and, if several have, the asked name."""
        found = [category for category in document.categories if category.keypoints]
        names = ", ".join(repr(shorten(category.name)) for category in found)
        if not found:
            raise ValueError(
                f"{self.annotations}: no category names its keypoints; export the skeletons as COCO keypoints"
            )
        chosen = [category for category in found if self.category in (None, category.name)]
        if not chosen:
            raise ValueError(f"{self.annotations}: no category {self.category!r} has keypoints; known: {names}")
        if len(chosen) > 1:
            raise ValueError(
                f"{self.annotations}: {len(chosen)} categories have keypoints: {names}; name one, --category"
            )
        return chosen[0]

    def _face(
        self, raw: Any, category: _Category, images: dict[int | str, _Image], where: str, passed: Counter[str]
    ) -> Face | None:
        """The face of an annotation; None where it has none, which is counted."""
        try:
            annotation = as_schema(raw, _Annotation, where)
        except ValueError as error:
            raise BadFaceError(str(error)) from None
        if annotation.category_id != category.id:
            passed["of other categories"] += 1
            return None
        if annotation.iscrowd:
            passed["crowds (iscrowd)"] += 1
            return None
        count = len(category.keypoints or [])
        values = np.array(annotation.keypoints or [], np.float64)
        if not values.any():
            passed["without keypoints"] += 1
            return None
        if len(values) != 3 * count:
            raise BadFaceError(
                f"{where}: {len(values)} values instead of {3 * count} (x, y and v of {count} keypoints)"
            )
        places, flags = values.reshape(-1, 3)[:, :2], values[2::3]
        if not np.isin(flags, (_UNLABELLED, 1, _VISIBLE)).all():
            index = int(np.argmin(np.isin(flags, (_UNLABELLED, 1, _VISIBLE))))
            raise BadFaceError(f"{where}: the visibility of keypoint {index + 1} is {flags[index]:g}, not 0, 1 or 2")
        if not flags.any():
            passed["without labelled keypoints (v is 0)"] += 1
            return None
        labelled = flags != _UNLABELLED
        if not np.isfinite(places[labelled]).all():
            raise BadFaceError(f"{where}: a labelled keypoint is not a finite number")
        image = images.get(annotation.image_id)
        if image is None:
            raise BadFaceError(f"{where}: there is no image {shorten(str(annotation.image_id))}")
        size = None if image.width is None or image.height is None else (image.width, image.height)
        points = np.where(labelled[:, None], places, np.nan)
        return Face(image.file_name, points, flags == _VISIBLE, where, size)
