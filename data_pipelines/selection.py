"""Choosing faces: sets are joined, styled faces mixed in, faces held out, a share of the labels taken."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Collection, Sequence

import numpy as np

from jaxlm.data_pipelines.faces import Faces


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

    readers = [part.read_photo for part in parts if part.read_photo is not None]

    def read_photo(index: int) -> tuple[np.ndarray, np.ndarray]:
        owner = int(np.searchsorted(starts, index, side="right")) - 1
        return readers[owner](index - int(starts[owner]))

    return dataclasses.replace(
        parts[0],
        dataset="+".join(dict.fromkeys(part.dataset for part in parts)),
        split="+".join(part.split for part in parts),
        points=np.concatenate([part.points for part in parts]),
        visible=np.concatenate([part.visible for part in parts]),
        attributes=np.concatenate([part.attributes for part in parts]),
        to_source=np.concatenate([part.to_source for part in parts]),
        yaw=np.concatenate([part.yaw for part in parts]),
        boxes=np.concatenate([part.boxes for part in parts]),
        names=sum((part.names for part in parts), ()),
        groups=sum((part.groups for part in parts), ()),
        read_encoded=read_encoded,
        where=parts[0].where if len({part.where for part in parts}) == 1 else "",
        read_photo=read_photo if len(readers) == len(parts) else None,
    )


def mix(photos: Faces, styled: Faces, held_out: Collection[str] = ()) -> Faces:
    """The photos and, behind them, the styled faces of the photos' groups.

    `held_out` are the groups that are held out from training, for the message where no styled face is kept.

    The other styled faces are left out: they were rendered from photos that are not among `photos`, perhaps held out,
    and would bring the labels of these. A kept face may have its style from such a photo. Then training sees the
    photo's looks, but not its labels.

    Raises:
      ValueError: The two sets differ in scheme, frame size or margin, or no styled face is kept.
    """
    _check_frames(photos, styled, "styled faces", "render them from this set as it is prepared now")
    if styled.scheme != photos.scheme:
        raise ValueError(
            f"the styled faces of {styled.dataset} have points of scheme {styled.scheme.name}, the photos of"
            f" {photos.dataset} those of {photos.scheme.name}"
        )
    groups = set(photos.groups)
    kept = styled.take(np.flatnonzero([group in groups for group in styled.groups]))
    if not len(kept):
        if set(styled.groups) <= set(held_out):
            raise ValueError(
                f"all {len(styled)} styled faces of {styled.dataset} are of photos that are held out from training, to"
                " judge by; give those that were made of the photos to train on"
            )
        raise ValueError(
            f"not one of the {len(styled)} styled faces of {styled.dataset} was rendered from the {len(photos)} photos"
            f" of {photos.dataset}, split {photos.split}, to train on: their groups have other names"
        )
    return dataclasses.replace(join([photos, kept]), dataset=photos.dataset, split=photos.split, num_styled=len(kept))


def _check_frames(photos: Faces, others: Faces, kind: str, advice: str) -> None:
    """Raises ValueError where two sets cannot share a batch because their frames differ."""
    for field in ("frame_size", "margin"):
        ours, theirs = getattr(photos, field), getattr(others, field)
        if ours != theirs:
            raise ValueError(
                f"the {kind} of {others.dataset} have {field} {theirs} and the photos of {photos.dataset} {ours};"
                f" {advice}"
            )


def hold_out(faces: Faces, percent: float) -> tuple[Faces, Faces]:
    """Holds out about `percent` of the groups for validation: (training, validation).

    A hash of the group's name alone decides about a face, so other faces and their order do not matter.
    """
    validation = np.array([_hash_fraction(group) * 100 < percent for group in faces.groups], bool)
    return faces.take(np.flatnonzero(~validation)), faces.take(np.flatnonzero(validation))


def label_subset(faces: Faces, percent: float, seed: int) -> Faces:
    """About `percent` of the faces, as whole groups and in their order; a smaller share is part of a larger one.

    Groups are taken until there are enough faces, in the order of a hash of `seed` and the group's name.
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
