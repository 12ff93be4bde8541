"""Opened faces: labels in memory, frames read by index. `prepared.open_faces` opens them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxlm.data_pipelines.record import ATTRIBUTES, Record, decode_images
from jaxlm.landmarks import Head, Scheme, conversion

LABELS = {
    "points": "points",
    "visible": "visible",
    "attributes": "attributes",
    "to_source": "to_source",
    "yaw": "yaw",
    "boxes": "box",
    "names": "name",
    "groups": "group",
}
"""The fields of `Faces` that hold a value of each face, and the field of `Record` that it comes from."""

YAW_BINS = {"yaw 0-30": (-np.inf, 30), "yaw 30-60": (30, 60), "yaw 60-90": (60, np.inf)}
"""The subsets of AFLW2000-3D by |yaw| in degrees: above the first bound, at most the second."""

ReadPhoto = Callable[[int], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Faces:
    """Some faces of a prepared set.

    Attributes:
      dataset: Name of the set.
      split: Name of the split.
      scheme: Landmark scheme of the points.
      frame_size: Width and height F of a frame in pixels.
      margin: Side of the region a frame shows, in sides of the face box made square.
      box: How the face box was made.
      points: Landmarks float32 [n, P, 2], (x, y) in pixels of the frame, pixel centres at integers; NaN for hidden
        points without a place, and for points of other heads than the face's own.
      visible: bool [n, P], False where a landmark is hidden.
      attributes: bool [n, 6], in the order of `record.ATTRIBUTES`.
      to_source: Affine maps float32 [n, 2, 3] from frame pixels to pixels of the source photo.
      yaw: Yaw float32 [n] in degrees, -180 to 180, NaN where it is not known; see `record.Record`.
      boxes: Face boxes float32 [n, 4] as annotated, in pixels of the frame; NaN where none is stored, as in sets of
        earlier versions and of rendered faces. See `record.Record`.
      names: Name of each face.
      groups: Name of each face's photo or person; faces of one group must stay together in a split.
      read_encoded: Function that returns the JPEG bytes of the frames at the given indices [k].
      num_styled: Number of styled faces, which `selection.mix` put behind the photos.
      where: The file or folder that holds the frames, for messages; "" for those of several or of none.
      read_photo: Function that returns the source photo of the face at an index, RGB uint8 [H, W, 3], and the face box
        [4] in it as annotated; None where photos are not at hand, as with prepared faces.
    """

    dataset: str
    split: str
    scheme: Scheme
    frame_size: int
    margin: float
    box: str
    points: np.ndarray
    visible: np.ndarray
    attributes: np.ndarray
    to_source: np.ndarray
    yaw: np.ndarray
    boxes: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]
    read_encoded: Callable[[np.ndarray], list[bytes]]
    num_styled: int = 0
    where: str = ""
    read_photo: ReadPhoto | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_photos(self) -> int:
        return len(self) - self.num_styled

    def images(self, indices: np.ndarray) -> np.ndarray:
        """The frames at `indices` [k], RGB uint8 [k, F, F, 3]; raises ValueError where one is damaged."""
        encoded = self.read_encoded(indices)
        try:
            return decode_images(encoded, self.frame_size)
        except ValueError as error:
            raise ValueError(f"{self.where or self.dataset}, split {self.split}: {error}") from None

    def take(self, indices: np.ndarray) -> Faces:
        """The faces at `indices` [k], in that order; all count as photos, whether styled or not."""
        return dataclasses.replace(
            self,
            points=self.points[indices],
            visible=self.visible[indices],
            attributes=self.attributes[indices],
            to_source=self.to_source[indices],
            yaw=self.yaw[indices],
            boxes=self.boxes[indices],
            names=tuple(self.names[i] for i in indices),
            groups=tuple(self.groups[i] for i in indices),
            read_encoded=lambda chosen: self.read_encoded(indices[chosen]),
            num_styled=0,
            read_photo=_of_chosen(self.read_photo, indices),
        )

    def in_scheme(self, scheme: Scheme) -> Faces:
        """The same faces with their points in another scheme.

        Raises:
          ValueError: The points cannot be read in that scheme.
        """
        try:
            chosen = conversion(self.scheme, scheme)
        except ValueError as error:
            raise ValueError(f"{self.dataset}, split {self.split}: {error}") from None
        return dataclasses.replace(self, scheme=scheme, points=self.points[:, chosen], visible=self.visible[:, chosen])

    def in_head(self, head: Head, scheme: Scheme) -> Faces:
        """The same faces with the points of all heads; the points of other heads are NaN and not visible.

        Args:
          head: Head of this set, whose points the faces have now.
          scheme: Points of all heads side by side.
        """
        around = (head.start, scheme.num_points - head.stop)
        points = np.pad(self.points, ((0, 0), around, (0, 0)), constant_values=np.nan)
        return dataclasses.replace(self, scheme=scheme, points=points, visible=np.pad(self.visible, ((0, 0), around)))


def _of_chosen(read: ReadPhoto | None, indices: np.ndarray) -> ReadPhoto | None:
    return None if read is None else lambda index: read(int(indices[index]))


def subset_masks(faces: Faces) -> dict[str, np.ndarray]:
    """Masks bool [n] of the faces with each attribute and in each bin of yaw, by name."""
    return {name: faces.attributes[:, index] for index, name in enumerate(ATTRIBUTES)} | yaw_masks(faces.yaw)


def yaw_masks(yaw: np.ndarray) -> dict[str, np.ndarray]:
    """Masks bool [n] of the faces in each of the `YAW_BINS`, from yaws [n]; a face of unknown yaw (NaN) is in none."""
    size = np.abs(yaw)
    return {name: (size > low) & (size <= high) for name, (low, high) in YAW_BINS.items()}


def collect_labels(records: Iterable[Record]) -> dict[str, np.ndarray]:
    """The labels of some records, as arrays that an .npz file can hold without pickling."""
    rows = [[getattr(record, field) for field in LABELS.values()] for record in records]
    arrays = {key: np.array(column) for key, column in zip(LABELS, zip(*rows, strict=True), strict=True)}
    return arrays | {"yaw": arrays["yaw"].astype(np.float32)}  # As a stored record has it; a new one has a float.


def pack_labels(faces: Faces) -> dict[str, np.ndarray]:
    """The arrays of `collect_labels`, from opened faces."""
    return {key: np.asarray(getattr(faces, key)) for key in LABELS}


def unpack_labels(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of `Faces` from the arrays of `collect_labels` or `pack_labels`."""
    fields = {key: arrays[key] for key in LABELS}
    return fields | {key: tuple(fields[key].tolist()) for key in ("names", "groups")}


def faces_of_records(
    records: Sequence[Record], dataset: str, split: str, scheme: Scheme, frame_size: int, margin: float, box: str
) -> Faces:
    """The faces of records in memory; see `Faces` for the other arguments."""
    return Faces(
        dataset=dataset,
        split=split,
        scheme=scheme,
        frame_size=frame_size,
        margin=margin,
        box=box,
        **unpack_labels(collect_labels(records)),
        read_encoded=lambda indices: [records[index].image for index in indices],
    )
