"""Checks of annotated faces: every source and every pack passes through `check_faces`. numpy alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxlm.landmarks.scheme import Scheme

SMALLEST = 8.0
"""Pixels that the longer side of the box of a face's points has at least."""

FARTHEST = 5.0
"""Sides of the face that a point may lie away from it."""

FEWEST = 2
"""Points of a face that have a place."""

# Fewer points may be narrow where the face is not: in profile two eyes nearly meet, and the chin is far from them.
_MANY, _FARTHEST_OF_FEW = 4, 50.0

# Coordinates beyond are no pixels of any photo; smaller ones do not overflow below.
_LARGEST = 1e6

# Points within so many times the median distance from the middle are the face; those of all schemes are within 4.
_REACH = 4.0

# Points so many sides away from the face are not where a face has points.
_STRAY = 2.0

# Eye corners nearer than this, in sides of the face, are one point.
_SAME = 1e-5


def find_faults(
    points: np.ndarray, visible: np.ndarray, boxes: np.ndarray, scheme: Scheme | None = None
) -> Iterator[tuple[int, str]]:
    """What is impossible in annotated faces: the index of each bad face and a sentence, in the order of the faces.

    A point has a place unless it is NaN in both coordinates; then it is hidden, and `visible` must be false. A face
    needs `FEWEST` points with a place, and these spread over `SMALLEST` pixels. No point and no box is further than
    `FARTHEST` sides from the face (of three points or fewer, 50), and eye corners differ.

    Args:
      points: Landmarks [n, N, 2], (x, y) in pixels of the photos.
      visible: bool [n, N], false where a point is hidden.
      boxes: Face boxes [n, 4], (x1, y1, x2, y2) in the same pixels.
      scheme: Scheme of the points; None leaves the eye corners out.
    """
    points, boxes = np.asarray(points, np.float64), np.asarray(boxes, np.float64)
    visible = np.asarray(visible, bool)
    absent = np.isnan(points).all(-1)
    with np.errstate(invalid="ignore"):
        wrong = ~absent & ~(np.abs(points) <= _LARGEST).all(-1) | absent & visible
        bad_box = ~(np.abs(boxes) <= _LARGEST).all(-1) | (boxes[:, 2:] <= boxes[:, :2]).any(-1)
    few = (~absent).sum(-1) < FEWEST
    early = wrong.any(-1) | bad_box | few
    fine = np.flatnonzero(~early)
    faults = {
        int(face): _early_fault(points[face], wrong[face], boxes[face], visible[face]) for face in np.flatnonzero(early)
    }
    faults |= {int(fine[face]): text for face, text in _late_faults(points[fine], absent[fine], boxes[fine], scheme)}
    yield from sorted(faults.items())


def _early_fault(points: np.ndarray, wrong: np.ndarray, box: np.ndarray, visible: np.ndarray) -> str:
    """The sentence about a face with values that are no pixels, an impossible box or too few points."""
    if wrong.any():
        index = int(np.argmax(wrong))
        why = "a visible point needs a place" if np.isnan(points[index]).any() else "no photo has such pixels"
        return f"point {index} is at ({points[index][0]:g}, {points[index][1]:g}); {why}"
    placed = int(np.isfinite(points).all(-1).sum())
    if placed < FEWEST:
        return f"only {placed} of its {len(points)} points have a place; a face needs {FEWEST}"
    x1, y1, x2, y2 = box
    zero = np.isfinite(box).all() and (np.abs(box) <= _LARGEST).all()
    return f"the face box x {x1:g} to {x2:g}, y {y1:g} to {y2:g} " + ("has zero size" if zero else "is impossible")


def _late_faults(
    points: np.ndarray, absent: np.ndarray, boxes: np.ndarray, scheme: Scheme | None
) -> Iterator[tuple[int, str]]:
    """The faults of faces whose values are pixels, at least two of them."""
    placed = ~absent
    low, high = _bounds(points, placed)
    size = (high - low).max(-1)
    inner = placed & _near_the_middle(points, placed)
    inner_low, inner_high = _bounds(points, inner)
    side = np.maximum((inner_high - inner_low).max(-1), 1e-9)
    away = np.where(placed, _outside(points, inner_low[:, None], inner_high[:, None]), 0.0)
    farthest = np.where(inner.sum(-1) < _MANY, _FARTHEST_OF_FEW, FARTHEST)
    far = away > (farthest * side)[:, None]
    box_side = (boxes[:, 2:] - boxes[:, :2]).max(-1)
    from_box = np.where(placed, _outside(points, boxes[:, None, :2], boxes[:, None, 2:]), 0.0)
    far_box = from_box.max(-1, initial=0.0) > FARTHEST * box_side
    corners = (0, 0) if scheme is None or scheme.eye_corners is None else scheme.eye_corners
    apart = np.linalg.norm(points[:, corners[0]] - points[:, corners[1]], axis=-1)
    same = (apart <= _SAME * size) & (corners != (0, 0))  # A hidden corner is NaN, and no error.
    for face in np.flatnonzero((size < SMALLEST) | (box_side < SMALLEST) | far.any(-1) | far_box | same):
        if size[face] < SMALLEST or box_side[face] < SMALLEST:
            yield int(face), _small_fault(points[face][placed[face]], size[face], box_side[face])
        elif far[face].any():
            index = int(np.argmax(away[face]))
            x, y = points[face, index]
            yield (
                int(face),
                f"point {index} at ({x:g}, {y:g}) lies {away[face, index] / side[face]:.0f} faces away from the others",
            )
        elif far_box[face]:
            x1, y1, x2, y2 = boxes[face]
            yield int(face), f"the face box x {x1:g} to {x2:g}, y {y1:g} to {y2:g} lies far from the points"
        else:
            left, right = corners
            yield (
                int(face),
                f"its eye corners, points {left} and {right}, are equal; errors are divided by their distance",
            )


def find_strays(points: np.ndarray) -> np.ndarray:
    """Which points [n, N] lie more than `_STRAY` sides away from the face that the others make; NaN ones do not."""
    placed = np.isfinite(points).all(-1)
    inner = placed & _near_the_middle(points, placed)
    low, high = _bounds(points, inner)
    with np.errstate(invalid="ignore"):
        return placed & (_outside(points, low[:, None], high[:, None]) > _STRAY * (high - low).max(-1)[:, None])


def _small_fault(points: np.ndarray, size: float, box_side: float) -> str:
    if size >= SMALLEST:
        return f"the face box is {box_side:.3g} px large; a face has {SMALLEST:g} px at least"
    text = f"the face is {size:.3g} px large; a face has {SMALLEST:g} px at least"
    if np.abs(points).max() <= 2 and points.min() < -0.1:
        text += (
            "; its coordinates lie between -1 and 1, about the photo's centre: x is (x + 1) / 2 times the photo's width"
            " in pixels, and y likewise"
        )
    elif np.abs(points).max() <= 2:
        text += (
            "; its coordinates lie between 0 and 1, as shares of the photo: multiply x by the photo's width and y by"
            " its height"
        )
    return text


def _near_the_middle(points: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """The points [n, N] that make up the face: those not far beyond the median distance from its middle.

    The medians are lower ones, over the points with a place, and the distance is that of points off the middle, so that
    the outliers of a face of few points, or points that coincide, do not decide.
    """
    count = placed.sum(-1)
    # One coordinate after the other, since sorting along the last axis is several times faster.
    ordered = np.sort(np.where(placed[:, None], points.swapaxes(1, 2), np.inf), axis=-1)
    middle = np.take_along_axis(ordered, ((count - 1) // 2)[:, None, None], axis=-1)
    distance = np.where(placed, np.abs(points - middle.swapaxes(1, 2)).max(-1), np.inf)
    off = np.where(distance > 0, distance, np.inf)
    count_off = np.maximum(np.isfinite(off).sum(-1), 1)
    reach = np.take_along_axis(np.sort(off, axis=-1), ((count_off - 1) // 2)[:, None], axis=-1)
    return distance <= _REACH * np.where(np.isfinite(reach), reach, 0.0)


def _bounds(points: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest coordinates [n, 2] of the chosen points [n, N]."""
    chosen = chosen[..., None]
    return np.where(chosen, points, np.inf).min(1), np.where(chosen, points, -np.inf).max(1)


def _outside(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How far points [..., 2] lie outside of boxes, along the worse axis; 0 inside."""
    return np.maximum(np.maximum(low - points, points - high), 0).max(-1)
