"""Archives as they were published, read without being prepared: frames are cut, and photos read, as they are wanted."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from jaxlm.data_pipelines.cutting import Label, read_image
from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.source import BadFaceError, Source
from jaxlm.data_pipelines.sources import find_sources
from jaxlm.data_pipelines.stored.labels import find_impossible
from jaxlm.landmarks import geometry

# As `prepare` cuts frames where nothing else is asked for.
_FRAME_SIZE, _MARGIN = 256, 2.0


@functools.lru_cache(maxsize=1)
def open_published(name: str, folder: Path) -> tuple[list[str], Callable[[str], Faces]]:
    """The names of an archive's splits, and the function that gives the faces of one, with `Faces.read_photo`.

    The faces are those that `jaxlm prepare NAME --source FOLDER` stores, frames included.

    Args:
      name: Name of the format.
      folder: Folder of the archive, as `prepare` takes it.

    Raises:
      FileNotFoundError: Files of the archive are missing.
      ValueError: There is no such format, or it wants more than a folder; an annotation is damaged.
    """
    source = _source(name, folder)
    splits = {split: labels for split, labels in source.read(_refuse).items() if labels}
    if not all(isinstance(label, Label) for labels in splits.values() for label in labels):
        raise ValueError(f"--source cannot read {name} as it is published; prepare it first: jaxlm prepare {name}")
    return list(splits), lambda split: _faces_of(source, split, splits[split], str(folder))


def _source(name: str, folder: Path) -> Source:
    formats = find_sources()
    if name not in formats:
        raise ValueError(f"--source is the folder of a published archive, and --dataset {name} names no format of one")
    fields = dataclasses.fields(cast(Any, formats[name]))
    needed = {field.name for field in fields if field.default is field.default_factory is dataclasses.MISSING}
    if needed != {"source"}:
        raise ValueError(f"{name} wants more than a folder; prepare it first, jaxlm prepare {name} --help says how")
    return cast(Any, formats[name])(source=folder)


def _refuse(error: BadFaceError) -> NoReturn:
    raise error


def _faces_of(source: Source, split: str, labels: Sequence[Label], where: str) -> Faces:
    """The faces of some labels; see `Faces` for all else.

    Raises:
      ValueError: A face is impossible.
    """
    maps = [geometry.frame_affine(geometry.square_box(label.box), _FRAME_SIZE, _MARGIN) for label in labels]
    points = [geometry.transform(label.points, to_frame) for label, to_frame in zip(labels, maps, strict=True)]
    boxes = [geometry.transform(label.box.reshape(2, 2), one) for label, one in zip(labels, maps, strict=True)]

    def read_photo(index: int) -> tuple[np.ndarray, np.ndarray]:
        return read_image(labels[index].image, labels[index].where), labels[index].box

    faces = Faces(
        dataset=source.name,
        split=split,
        scheme=source.scheme,
        frame_size=_FRAME_SIZE,
        margin=_MARGIN,
        box=source.box,
        points=np.array(points, np.float32),
        visible=np.array([label.seen for label in labels]),
        attributes=np.array([label.attributes for label in labels]),
        to_source=np.array([geometry.invert(to_frame) for to_frame in maps], np.float32),
        yaw=np.array([label.yaw for label in labels], np.float32),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        names=tuple(label.name for label in labels),
        groups=tuple(label.group for label in labels),
        read_encoded=lambda indices: [source.to_record(labels[i], _FRAME_SIZE, _MARGIN).image for i in indices],
        where=where,
        read_photo=read_photo,
    )
    for face, fault in find_impossible(faces):
        raise ValueError(f"{labels[face].where}: {fault}")
    return faces
