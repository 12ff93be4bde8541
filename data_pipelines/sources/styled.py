"""Faces drawn again in other styles: pictures of `jaxlm stylize`, with the labels of the photos."""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from jaxlm.data_pipelines.cutting import read_image
from jaxlm.data_pipelines.faces import Faces, collect_labels, unpack_labels
from jaxlm.data_pipelines.record import Record, encode_image
from jaxlm.data_pipelines.renders import MANIFEST, open_photos, read_manifest, read_settings
from jaxlm.data_pipelines.source import BadFaceError, OnBad
from jaxlm.landmarks import Scheme

_NAMED = 5  # Missing files that a message names.


class StyledLabel(NamedTuple):
    """One render with the labels of its face.

    Attributes:
      file: File of the render.
      where: Row of the manifest, for error messages.
      crop: Side of the render in sides of the face box.
      frame_size: Width and height of the face's frame in pixels.
      margin: Side of the face's frame in sides of the face box.
      labels: Record of the face, without an image.
    """

    file: Path
    where: str
    crop: float
    frame_size: int
    margin: float
    labels: Record


@dataclasses.dataclass(frozen=True)
class Styled:
    """Faces that `jaxlm stylize` drew again in other styles, with the labels of the photos.

    Attributes:
      source: Folder of the renders: DATA_DIR/NAME/renders.
      name: Name of the prepared set: letters, digits and _.
    """

    source: Path
    name: str

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def scheme(self) -> Scheme:
        """Scheme of the photos' set."""
        return open_photos(read_settings(self.source)).scheme

    @property
    def box(self) -> str:
        """Face box of the photos' set."""
        return open_photos(read_settings(self.source)).box

    def read(self, on_bad: OnBad) -> dict[str, list[StyledLabel]]:
        """All renders as one split `train`, in the order of the manifest.

        Raises:
          FileNotFoundError: The manifest, or the photos' set, is missing.
          ValueError: The manifest is damaged.
        """
        settings, rows = read_settings(self.source), read_manifest(self.source)
        gone = [row.file for row in rows if not (self.source / row.file).exists()]
        if gone:
            named = ", ".join(gone[:_NAMED]) + (", ..." if len(gone) > _NAMED else "")
            on_bad(
                BadFaceError(
                    f"{self.source / MANIFEST}: {len(gone)} of its {len(rows)} pictures are missing ({named}); "
                    "the same jaxlm stylize command draws them again"
                )
            )
        photos = open_photos(settings)
        indices = {name: index for index, name in enumerate(photos.names)}
        styles: collections.Counter[str] = collections.Counter()
        labels = []
        for number, row in enumerate(rows, start=2):
            where, style = f"{self.source / MANIFEST}, line {number}", styles[row.structure]
            styles[row.structure] += 1
            if row.structure not in indices:
                on_bad(BadFaceError(f"{where}: {photos.dataset}, split {photos.split}, has no face {row.structure}"))
            elif (self.source / row.file).exists():
                index = indices[row.structure]
                labelled = Record(
                    image=b"",
                    points=photos.points[index],
                    visible=photos.visible[index],
                    attributes=photos.attributes[index],
                    to_source=photos.to_source[index],
                    name=f"{row.structure}#{style}",
                    group=photos.groups[index],
                    style=style,
                    yaw=float(photos.yaw[index]),
                    box=photos.boxes[index],
                )
                file = self.source / row.file
                labels.append(StyledLabel(file, where, settings.crop, photos.frame_size, photos.margin, labelled))
        return {"train": labels}

    def to_record(self, label: StyledLabel, frame_size: int, margin: float) -> Record:
        """The render, placed in a frame like that of its photo.

        Raises:
          BadFaceError: The picture is damaged.
          ValueError: The frame size or the margin is not that of the photos.
        """
        if (frame_size, margin) != (label.frame_size, label.margin):
            raise ValueError(
                f"styled faces keep the frames of their photos: give --frame-size {label.frame_size}"
                f" --margin {label.margin:g}"
            )
        render = read_image(label.file, label.where)
        frame = place_in_frame(render, frame_size, margin, label.crop)
        return dataclasses.replace(label.labels, image=encode_image(frame))


def open_renders(folder: Path, name: str) -> Faces:
    """The renders of a folder as the faces of a set `name`, without preparing it; frames are made when they are read.

    Raises:
      FileNotFoundError: The manifest, or the photos' set, is missing.
      ValueError: The manifest is damaged.
      BadFaceError: A picture, or the face it shows, is missing.
    """
    source, photos = Styled(folder, name), open_photos(read_settings(folder))
    labels = source.read(_refuse)["train"]

    def frame(index: int) -> bytes:
        return source.to_record(labels[index], photos.frame_size, photos.margin).image

    return Faces(
        dataset=name,
        split="train",
        scheme=photos.scheme,
        frame_size=photos.frame_size,
        margin=photos.margin,
        box=photos.box,
        **unpack_labels(collect_labels(label.labels for label in labels)),
        read_encoded=lambda indices: list(map(frame, indices)),
    )


def _refuse(error: BadFaceError) -> None:
    raise error


def check_name(name: str) -> None:
    """Raises ValueError where a set cannot have that name."""
    if not re.fullmatch(r"\w+", name):
        raise ValueError(f"--name {name!r}: a set needs a name of letters, digits and _")


def place_in_frame(render: np.ndarray, size: int, margin: float, crop: float) -> np.ndarray:
    """The frame [F, F, 3] whose central crop is a render uint8 [S, S, 3]; around it the render's border is repeated.

    The translator's crop of the photo came from that part of the frame: pixel q of the render is pixel
    p = (q - (S - 1) / 2) s + (F - 1) / 2 of the frame, with s = crop F / (margin S). Shrinking averages over areas,
    enlarging is bicubic.

    Args:
      render: Render, RGB.
      size: Side F of the frame in pixels.
      margin: Side of the frame in sides of the face box.
      crop: Side of the render in sides of the face box.
    """
    side = crop * size / margin
    if side < len(render):
        render = cv2.resize(render, (math.ceil(side), math.ceil(side)), interpolation=cv2.INTER_AREA)
    scale = side / len(render)
    offset = (size - 1 - scale * (len(render) - 1)) / 2
    matrix = np.array([[scale, 0, offset], [0, scale, offset]], np.float64)
    return cv2.warpAffine(render, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
