"""Landmarks of faces in videos: found once, followed from frame to frame, smoothed over time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from jaxlm.checkpoints import LANDMARKS
from jaxlm.landmarks import geometry
from jaxlm.prediction import detectors
from jaxlm.prediction.face import Face
from jaxlm.prediction.videos import one_euro
from jaxlm.prediction.videos.reading import Frame

# Prepared sets without boxes of their own widen the bounding box of the landmarks by this.
_LANDMARK_BOX = (1.1, 1.1, 0.0, 0.0)

_MIN_SIDE = 8.0
# The detector looks for new faces as often, in seconds. Times are sums of fractions; a frame at 0.9999999 s is due.
_LOOK_EVERY = 1.0 - 1e-6


class Locator(Protocol):
    """What finds faces and their points; see `Landmarker`."""

    @property
    def calibrations(self) -> Mapping[str, Sequence[float]]: ...

    def detect(self, image: np.ndarray, /) -> np.ndarray: ...

    def predict(self, image: np.ndarray, boxes: ArrayLike, /) -> list[Face]: ...

    def sees(self, face: Face, /) -> bool: ...


class Track(NamedTuple):
    """A face that is followed, as one frame shows it.

    Attributes:
      number: The face's number, from 0. A face that was lost and found again has another number.
      face: The face as the model sees it in this frame alone.
      state: The filter's state, with the smoothed points.
    """

    number: int
    face: Face
    state: one_euro.State


def track(
    frames: Iterable[Frame], landmarker: Locator, boxes: Sequence[np.ndarray] | None = None
) -> Iterator[tuple[Frame, list[Track]]]:
    """Each frame, with its faces.

    A face's box is that of its points in the frame before. The detector looks for faces where none is followed, when
    one is lost, and once a second by the frames' times. A face is lost when most of its points leave the frame, or when
    the model is no longer sure of them. Models that give no confidence, or were not calibrated, do not notice when a
    face disappears from the middle of the frame.

    Args:
      frames: The frames, whose times rise.
      landmarker: Finds the points.
      boxes: The boxes of the faces in the first frame, in place of the detector's. Faces in given boxes are kept in
        that frame, however unsure the model is.
    """
    tracks: list[Track] = []
    numbers = itertools.count()
    before: Frame | None = None
    looked = -math.inf
    for frame in frames:
        image, step = frame.image, 0.0 if before is None else frame.time - before.time
        faces = landmarker.predict(image, [_next_box(one.face, landmarker) for one in tracks])
        followed = [_advance(one, face, step) for one, face in zip(tracks, faces, strict=True)]
        kept = [one for one in followed if _is_inside(one.face, image) and landmarker.sees(one.face)]
        found = _distinct(kept)
        if not found or len(found) < len(tracks) or frame.time - looked >= _LOOK_EVERY:
            looked = frame.time
            given = boxes if before is None else None
            new = landmarker.predict(image, landmarker.detect(image) if given is None else given)
            new = [face for face in new if _is_inside(face, image) and (given is not None or landmarker.sees(face))]
            found = _distinct([*found, *(Track(-1, face, one_euro.start(face.points)) for face in new)])
        tracks = [one if one.number >= 0 else one._replace(number=next(numbers)) for one in found]
        before = frame
        yield frame, tracks


def face_size(points: np.ndarray) -> float:
    """The square root of width x height of the bounding box of points [N, 2], in pixels."""
    return math.sqrt(np.prod(np.ptp(points, axis=0)))


def motion(tracks: Sequence[Sequence[np.ndarray]]) -> float:
    """How far points move from frame to frame, as a fraction of the face's size.

    The video stability metric NMJ (Micaelli et al., CVPR 2023, LDEQ) is this for the errors of the points, in units of
    a 256th of the face's size. Without true points a face's own motion is in it, too: it compares filters and models
    on one video, and is jitter alone only where the face rests.

    Args:
      tracks: The points [N, 2] of one face in frames that follow each other, for each face.

    Returns:
      The root mean square over the points, then over frames and faces; NaN where no face is in two frames.
    """
    steps = [
        np.sqrt(np.mean(np.sum((after - before) ** 2, axis=-1))) / face_size(after)
        for points in tracks
        for before, after in itertools.pairwise(points)
    ]
    return float(np.sqrt(np.mean(np.square(steps)))) if steps else math.nan


def _next_box(face: Face, landmarker: Locator) -> np.ndarray:
    """The turned box [5], of the model's convention, to look for a face in that looked so in the frame before."""
    roll = _roll(face)
    upright = geometry.transform(face.points, geometry.rotation(-roll, np.zeros(2)))
    low, high = upright.min(axis=0), upright.max(axis=0)
    centre = geometry.transform((low + high)[None] / 2, geometry.rotation(roll, np.zeros(2)))[0]
    tight = np.concatenate([centre - (high - low) / 2, centre + (high - low) / 2, [roll]])
    return detectors.calibrate_boxes(tight, landmarker.calibrations.get(LANDMARKS, _LANDMARK_BOX))[0]


def _roll(face: Face) -> float:
    """By how many degrees a face is turned clockwise, by the similarity that brings the scheme's mean face to it.

    A scheme without a mean face does not tell; then it is the roll of the box.
    """
    if not face.scheme.mean_face:
        return face.roll
    fit = geometry.similarity_fit(np.asarray(face.scheme.mean_face, np.float64), face.points.astype(np.float64))
    return math.degrees(math.atan2(fit[1, 0], fit[0, 0]))


def _advance(before: Track, face: Face, step: float) -> Track:
    size = max(face_size(before.face.points), 1.0)
    return Track(before.number, face, one_euro.smooth(before.state, face.points, size, step))


def _is_inside(face: Face, frame: np.ndarray) -> bool:
    """Whether most of the points lie in the frame, and not all on one spot."""
    height, width = frame.shape[:2]
    inside = ((face.points >= 0) & (face.points <= (width - 1, height - 1))).all(-1)
    return bool(inside.mean() > 0.5 and np.ptp(face.points, axis=0).min() >= _MIN_SIDE)


def _distinct(tracks: Sequence[Track]) -> list[Track]:
    """The tracks without those of a face that one before them follows."""
    kept: list[Track] = []
    for one in tracks:
        if not any(_same_face(one.face.box, other.face.box) for other in kept):
            kept.append(one)
    return kept


def _same_face(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the centre of one of two boxes [4] lies in the other, whatever their sizes."""
    pairs = ((one, other), (other, one))
    return any((np.abs((a[:2] + a[2:] - b[:2] - b[2:]) / 2) <= (b[2:] - b[:2]) / 2).all() for a, b in pairs)
