"""Faces at hand: labels in memory, frames read by index. `prepared.open_faces` makes them."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxlm.data_pipelines.record import ATTRIBUTES, Record, decode_images
from jaxlm.landmarks import Head, conversion, load_scheme

LABELS = {
    "points": "points",
    "visible": "visible",
    "attributes": "attributes",
    "to_source": "to_source",
    "yaw": "yaw",
    "names": "name",
    "groups": "group",
}
"""The fields of `Faces` that hold one row a face, and the field of `Record` that each row is."""

YAW_BINS = {"yaw 0-30": (-np.inf, 30), "yaw 30-60": (30, 60), "yaw 60-90": (60, np.inf)}
"""The subsets of AFLW2000-3D, by |yaw| in degrees: above the first bound, up to and with the second."""


@dataclasses.dataclass(frozen=True, eq=False)
class Faces:
    """Some faces of a prepared set.

    Attributes:
      dataset: Name of the set.
      split: Name of the split.
      scheme: Landmark scheme of the points, as `landmarks.load_scheme` takes it.
      frame_size: F, width and height of a frame in pixels.
      margin: Side of the region a frame shows, in sides of the face box made square.
      box: How the face box was made.
      points: float32 [n, P, 2], (x, y) in pixels of the frame, pixel centres at integers; NaN for points of other
        heads than the face's own.
      visible: bool [n, P].
      attributes: bool [n, 6], in the order of `record.ATTRIBUTES`.
      to_source: float32 [n, 2, 3], affine maps from frame pixels to pixels of the source photo.
      yaw: float32 [n], degrees in -180 to 180, NaN where it is not known; see `record.Record`.
      names: n names, one for each face.
      groups: n names of the photo or person; faces that share one must not be split up.
      read_encoded: Returns the JPEG bytes of the frames at the given indices [k].
      num_styled: How many of the faces, its last ones, are styled ones that `mix` put behind the photos.
    """

    dataset: str
    split: str
    scheme: str
    frame_size: int
    margin: float
    box: str
    points: np.ndarray
    visible: np.ndarray
    attributes: np.ndarray
    to_source: np.ndarray
    yaw: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]
    read_encoded: Callable[[np.ndarray], list[bytes]]
    num_styled: int = 0

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_photos(self) -> int:
        return len(self) - self.num_styled

    def images(self, indices: np.ndarray) -> np.ndarray:
        """The frames at `indices` [k], RGB uint8 [k, F, F, 3]."""
        return decode_images(self.read_encoded(indices), self.frame_size)

    def take(self, indices: np.ndarray) -> Faces:
        """The faces at `indices` [k], in that order; which of them are styled is forgotten."""
        return dataclasses.replace(
            self,
            points=self.points[indices],
            visible=self.visible[indices],
            attributes=self.attributes[indices],
            to_source=self.to_source[indices],
            yaw=self.yaw[indices],
            names=tuple(self.names[i] for i in indices),
            groups=tuple(self.groups[i] for i in indices),
            read_encoded=lambda chosen: self.read_encoded(indices[chosen]),
            num_styled=0,
        )

    def in_scheme(self, name: str) -> Faces:
        """The same faces with their points in another scheme.

        Raises:
          ValueError: The points cannot be read in that scheme.
        """
        try:
            chosen = conversion(self.scheme, name)
        except ValueError as error:
            raise ValueError(f"{self.dataset}, split {self.split}: {error}") from None
        return dataclasses.replace(self, scheme=name, points=self.points[:, chosen], visible=self.visible[:, chosen])

    def in_head(self, head: Head, scheme: str) -> Faces:
        """The same faces with their points in the place of `head`, the head of their set, among those of all heads.

        `scheme` are the schemes of all heads, joined with +. Points of the others are NaN and not visible.
        """
        around = (head.start, load_scheme(scheme).num_points - head.stop)
        points = np.pad(self.points, ((0, 0), around, (0, 0)), constant_values=np.nan)
        return dataclasses.replace(self, scheme=scheme, points=points, visible=np.pad(self.visible, ((0, 0), around)))


def subset_masks(faces: Faces) -> dict[str, np.ndarray]:
    """The faces with each attribute and in each bin of yaw, bool [n]."""
    return {name: faces.attributes[:, index] for index, name in enumerate(ATTRIBUTES)} | yaw_masks(faces.yaw)


def yaw_masks(yaw: np.ndarray) -> dict[str, np.ndarray]:
    """The faces in each of the `YAW_BINS`, bool [n], by their yaws [n]; a face of unknown yaw (NaN) is in none."""
    size = np.abs(yaw)
    return {name: (size > low) & (size <= high) for name, (low, high) in YAW_BINS.items()}


def collect_labels(records: Iterable[Record]) -> dict[str, np.ndarray]:
    """The labels of some records, as arrays that an .npz file can hold without pickling."""
    rows = [[getattr(record, field) for field in LABELS.values()] for record in records]
    return {key: np.array(column) for key, column in zip(LABELS, zip(*rows, strict=True), strict=True)}


def pack_labels(faces: Faces) -> dict[str, np.ndarray]:
    """What `collect_labels` makes, of faces at hand."""
    return {key: np.asarray(getattr(faces, key)) for key in LABELS}


def unpack_labels(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of `Faces` in what `collect_labels` or `pack_labels` made."""
    fields = {key: arrays[key] for key in LABELS}
    return fields | {key: tuple(fields[key].tolist()) for key in ("names", "groups")}


def join(parts: Sequence[Faces]) -> Faces:
    """The faces of several splits or sets with points in one scheme, one part after the other.

    Raises:
      ValueError: Their frames differ in size or margin.
    """
    if len(parts) == 1:
        return parts[0]
    for part in parts[1:]:
        _check_frames(parts[0], part, "faces", "prepare both with the same --frame-size and --margin")
    starts = np.cumsum([0] + [len(part) for part in parts])

    def read_encoded(indices: np.ndarray) -> list[bytes]:
        owners = np.searchsorted(starts, indices, side="right") - 1
        pairs = zip(owners, indices - starts[owners], strict=True)
        return [parts[owner].read_encoded(index[None])[0] for owner, index in pairs]

    return dataclasses.replace(
        parts[0],
        dataset="+".join(dict.fromkeys(part.dataset for part in parts)),
        split="+".join(part.split for part in parts),
        points=np.concatenate([part.points for part in parts]),
        visible=np.concatenate([part.visible for part in parts]),
        attributes=np.concatenate([part.attributes for part in parts]),
        to_source=np.concatenate([part.to_source for part in parts]),
        yaw=np.concatenate([part.yaw for part in parts]),
        names=sum((part.names for part in parts), ()),
        groups=sum((part.groups for part in parts), ()),
        read_encoded=read_encoded,
    )


def mix(photos: Faces, styled: Faces) -> Faces:
    """The photos and, behind them, those of the styled faces that show one of their groups.

    What is left out was rendered from a photo that is not among `photos`, held out perhaps, and would bring its labels
    along. A kept face may have its style from such a photo: its looks are known then, its labels are not.

    Raises:
      ValueError: The two sets differ in scheme, frame size or margin, or no styled face is kept.
    """
    _check_frames(photos, styled, "styled faces", "render them from this set as it is prepared now")
    if load_scheme(styled.scheme) != load_scheme(photos.scheme):
        raise ValueError(
            f"the styled faces of {styled.dataset} have points of scheme {styled.scheme}, the photos of"
            f" {photos.dataset} those of {photos.scheme}"
        )
    groups = set(photos.groups)
    kept = styled.take(np.flatnonzero([group in groups for group in styled.groups]))
    if not len(kept):
        raise ValueError(
            f"not one of the {len(styled)} styled faces of {styled.dataset} was rendered from the {len(photos)} photos"
            f" of {photos.dataset}, split {photos.split}, to train on: their groups have other names"
        )
    return dataclasses.replace(join([photos, kept]), dataset=photos.dataset, split=photos.split, num_styled=len(kept))


def _check_frames(photos: Faces, others: Faces, kind: str, advice: str) -> None:
    """Raises ValueError where two sets cannot share a batch, as their frames differ."""
    for field in ("frame_size", "margin"):
        ours, theirs = getattr(photos, field), getattr(others, field)
        if ours != theirs:
            raise ValueError(
                f"the {kind} of {others.dataset} have {field} {theirs} and the photos of {photos.dataset} {ours};"
                f" {advice}"
            )


def hold_out(faces: Faces, percent: float) -> tuple[Faces, Faces]:
    """Splits off about `percent` of the groups for validation: (training, validation).

    The side of a face depends on its group's name alone, by a hash, and not on the other faces or their order.
    """
    validation = np.array([_hash_fraction(group) * 100 < percent for group in faces.groups], bool)
    return faces.take(np.flatnonzero(~validation)), faces.take(np.flatnonzero(validation))


def label_subset(faces: Faces, percent: float, seed: int) -> Faces:
    """About `percent` of the faces, by whole groups and in their order; a smaller share is a part of a larger one.

    Groups are taken in an order that `seed` and their names give, by a hash, until that many faces are reached.
    """
    sizes = collections.Counter(faces.groups)
    order = sorted(sizes, key=lambda group: _hash_fraction(f"{seed}/{group}"))
    counts = np.asarray([sizes[group] for group in order], int)
    before = np.cumsum(counts) - counts
    chosen = {group for group, count in zip(order, before, strict=True) if count < percent / 100 * len(faces)}
    return faces.take(np.flatnonzero([group in chosen for group in faces.groups]))


def _hash_fraction(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
