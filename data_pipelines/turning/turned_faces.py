"""Makes new faces out of photos: turned further to the side, some with shut eyes."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from jaxlm.data_pipelines.cutting import BOX_SCALE, LANDMARK_BOX
from jaxlm.data_pipelines.faces import Faces, faces_of_records
from jaxlm.data_pipelines.record import ATTRIBUTES, Record, encode_image
from jaxlm.data_pipelines.turning.contour import seen_points, turned_points
from jaxlm.data_pipelines.turning.eyelids import close_eyes
from jaxlm.data_pipelines.turning.fitting import FittedHead, fit_head
from jaxlm.data_pipelines.turning.relief import Relief, draw, make_relief
from jaxlm.landmarks import geometry
from jaxlm.landmarks.schemes import IBUG68

TURNED = "_turned"
"""What the name of a set of turned faces ends in."""

MOST_RESIDUAL = 0.027
"""A fit is bad where its inner points are further from the labels than this, on average, in head units."""

# A head turned less than this may be turned to either side, in degrees.
_STRAIGHT = 5.0
# On the side of the face that comes nearer: ear, outer and inner corner of the eye, which come in this order from
# behind to the front; and what a turn must not hide: brow, eye and corner of the mouth.
_ORDER = {-1: (16, 45, 42), 1: (0, 36, 39)}
_NEAR = {-1: (22, 23, 24, 25, 26, 42, 43, 44, 45, 46, 47, 54), 1: (17, 18, 19, 20, 21, 36, 37, 38, 39, 40, 41, 48)}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is made of each face.

    Attributes:
      copies: Number of turned faces; each has a yaw of its own part of the range from the photo's to `most_yaw`.
      closed: Share of copies with shut eyes.
      most_yaw: The largest |yaw| in degrees.
      pitch: Most that pitch changes, up or down, in degrees.
      seed: Together with a face's name it decides all draws for the face.
    """

    copies: int = 4
    closed: float = 0.25
    most_yaw: float = 75.0
    pitch: float = 6.0
    seed: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What `turn_faces` made.

    Attributes:
      faces: The new faces.
      incomplete: Photos that are left out because points have no place.
      bad_fits: Photos that are left out because the head does not fit.
      folded: Copies that are left out because the turn hides what it should show.
      closed: Number of new faces with shut eyes.
    """

    faces: Faces
    incomplete: int
    bad_fits: int
    folded: int
    closed: int


def turn_faces(faces: Faces, plan: Plan, split: str, advance: Callable[[int], object] = lambda count: None) -> Outcome:
    """The turned faces of photos, as a set `NAME_turned`; the same for the same photos and plan.

    A new face has the group of its photo, so that it stays on the photo's side when faces are held out. Its name is
    NAME#COPY_yaw+45, and _closed where its eyes are shut; its yaw is positive where the nose points to the image's
    right.

    Args:
      faces: Photos with points of scheme ibug68.
      plan: What is made of them.
      split: Name of the new split.
      advance: Called with 1 after each photo.

    Raises:
      ValueError: The points are of another scheme, the faces are turned ones, or none can be turned.
    """
    if faces.scheme != IBUG68:
        raise ValueError(
            f"{faces.dataset} has points of scheme {faces.scheme.name}; only faces of ibug68 can be turned"
        )
    if TURNED in faces.dataset:
        raise ValueError(f"{faces.dataset} has turned faces already; turn the photos that they were made of")
    records: list[Record] = []
    counts: collections.Counter[str] = collections.Counter()
    with _one_thread():
        for index in range(len(faces)):
            records += _copies(faces, index, plan, counts)
            advance(1)
    if not records:
        why = {
            "incomplete": "lack points, and all 68 need a place",
            "bad fit": "have points that the head does not fit",
            "folded": "copies would hide what they should show",
        }
        told = ", ".join(f"{counts[reason]} {words}" for reason, words in why.items() if counts[reason])
        raise ValueError(f"{faces.dataset}, {faces.split}: none of {len(faces)} faces can be turned: {told}")
    made = faces_of_records(
        records, f"{faces.dataset}{TURNED}", split, IBUG68, faces.frame_size, faces.margin, LANDMARK_BOX
    )
    shut = sum(name.endswith("_closed") for name in made.names)
    return Outcome(made, counts["incomplete"], counts["bad fit"], counts["folded"], shut)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV's threads cost more than they bring on pictures this small."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _copies(faces: Faces, index: int, plan: Plan, counts: collections.Counter[str]) -> list[Record]:
    """The records of one photo's copies; counts those that are left out."""
    name = faces.names[index]
    rng = np.random.default_rng((plan.seed, *hashlib.sha256(name.encode()).digest()[:8]))
    draws = rng.random((plan.copies, 3))
    side = 1 if rng.random() < 0.5 else -1
    points = faces.points[index]
    if not np.isfinite(points).all():
        counts["incomplete"] += 1
        return []
    head = fit_head(points)
    if head.residual > MOST_RESIDUAL:
        counts["bad fit"] += 1
        return []
    photo = faces.images(np.array([index]))[0]
    relief = make_relief(head, faces.frame_size)
    yaw, pitch = (math.degrees(angle) for angle in head.angles[:2])
    away = side if abs(yaw) < _STRAIGHT else int(math.copysign(1, yaw))
    start = min(away * yaw, plan.most_yaw)
    shut = close_eyes(photo, points)
    records = []
    for copy, (turn, nod, closing) in enumerate(draws):
        target = away * (start + (copy + turn) / plan.copies * (plan.most_yaw - start))
        closed = bool(closing < plan.closed)
        angles = math.radians(target), math.radians(pitch + plan.pitch * (2 * nod - 1))
        picture, labels = shut if closed else (photo, points)
        made = turn_face(picture, labels, head, relief, angles, faces.margin)
        if made is None:
            counts["folded"] += 1
            continue
        picture, placed, seen, to_photo = made
        records.append(
            Record(
                image=encode_image(picture),
                points=placed,
                visible=seen,
                attributes=_attributes(target),
                to_source=geometry.compose(faces.to_source[index], to_photo).astype(np.float32),
                name=f"{name}#{copy}_yaw{target:+03.0f}" + ("_closed" if closed else ""),
                group=faces.groups[index],
                style=copy,
                yaw=target,
            )
        )
    return records


def _attributes(yaw: float) -> np.ndarray:
    """Only the pose is known: bool [6]."""
    attributes = np.zeros(len(ATTRIBUTES), bool)
    attributes[ATTRIBUTES.index("pose")] = abs(yaw) > 30
    return attributes


def turn_face(
    photo: np.ndarray,
    points: np.ndarray,
    head: FittedHead,
    relief: Relief,
    angles: tuple[float, float],
    margin: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """A photo whose head has another yaw and pitch, in a frame of its own around the new points.

    Args:
      photo: RGB uint8 [F, F, 3].
      points: Its labels [68, 2].
      head: The head of the photo.
      relief: The relief of the photo.
      angles: New yaw and pitch in radians.
      margin: Side of the new frame in sides of the face box.

    Returns:
      The picture uint8 [F, F, 3], the points float32 [68, 2], which of them are seen [68], and the map [2, 3] from the
      new frame to the photo; None where the turn hides what comes nearer.
    """
    size, away = len(photo), 1 if angles[0] > 0 else -1
    vertices = relief.turned(head, *angles)
    placed = turned_points(head, relief, vertices, points, angles[0])
    if (away * np.diff(placed[list(_ORDER[away]), :2] @ head.across) <= 0).any():
        return None
    low, high = placed[:, :2].min(0), placed[:, :2].max(0)
    zoom = size / (margin * BOX_SCALE * float((high - low).max()))
    shift = (size - 1) / 2 - zoom * (low + high) / 2
    vertices[..., :2] = zoom * vertices[..., :2] + shift
    pixels = zoom * placed[:, :2] + shift
    picture, depth = draw(photo, relief, vertices, size)
    seen = seen_points(placed, depth, pixels, head.scale)
    if not seen[list(_NEAR[away])].all():
        return None
    to_frame = np.array([(zoom, 0, shift[0]), (0, zoom, shift[1])])
    return picture, pixels.astype(np.float32), seen, geometry.invert(to_frame)
