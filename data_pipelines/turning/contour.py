"""Where the points of a turned face lie, by the habit of 300-W: the contour on the edge that is seen.

Inner points go where the relief takes the place of their label. The edge of the side that comes nearer does, too: it is
the edge of the jaw, up to the ear. On the side that turns away annotators follow the outline of the cheek. So it goes
through the outermost place of each of the head's rings, from the cheek to the edge of the jaw, once the relief has
taken that ring where the picture has it. Lips that turn away end at their outline.

On either edge points are as evenly spaced as they were: annotators share out the way from the ear to the chin, however
the head is turned. On the far side the way begins a little lower, where the cheek leaves the eye socket.
"""

from __future__ import annotations

import math

import numpy as np

from jaxlm.data_pipelines.synthetic.painting.paint import curve
from jaxlm.data_pipelines.turning.fitting import RING_OF, FittedHead
from jaxlm.data_pipelines.turning.mesh import FRONT_LEFT, FRONT_RIGHT, NUM_CONTOUR
from jaxlm.data_pipelines.turning.relief import Relief

_ON_A_RING = 9  # Places between two vertices of a ring.
# Lines of points from the lips' middle to the mouth's corner on the image's left and right.
_LIPS = {
    -1: ((51, 50, 49, 48), (57, 58, 59, 48), (62, 61, 60), (66, 67, 60)),
    1: ((51, 52, 53, 54), (57, 56, 55, 54), (62, 63, 64), (66, 65, 64)),
}
# How much of the far edge, from the ear down, has no points, and the yaw in radians from which on it is so much: in
# 300-W the uppermost point lies lower by a tenth of the distance from the eyes to the mouth.
_LOWER, _LOWER_FROM = 0.05, math.radians(20)
# A point this far behind the surface that is seen in its place is hidden, in head units.
_BEHIND = 0.06
# A turn too small to be seen moves no point, in head units.
_NEXT_TO_NOTHING = 1e-3


def turned_points(head: FittedHead, relief: Relief, vertices: np.ndarray, points: np.ndarray, yaw: float) -> np.ndarray:
    """Camera coordinates [68, 3] of the points of a turned face.

    Args:
      head: The head of the photo.
      relief: The photo's relief.
      vertices: Where its vertices are now [R, C, 3].
      points: The labels [68, 2].
      yaw: The yaw that the head has now, in radians; the image's right side turns away where it is positive.
    """
    away = 1 if yaw > 0 else -1
    placed = relief.at(vertices, points.astype(np.float64))
    across = away * head.across
    for point in range(9, 17) if away > 0 else range(8):
        placed[point] = _outline(head, relief, vertices, points, point, away, placed[point])
    lower = _LOWER * (_share_lower(yaw) - _share_lower(head.angles[0]))
    for side in (-1, 1):
        half = list(range(9)) if side < 0 else list(range(16, 7, -1))
        placed[half, :2] = _spaced(placed[half, :2], points[half], max(0.0, lower) if side == away else 0.0)
    for line in _LIPS[away]:
        reached = placed[list(line), :2] @ across
        placed[list(line), :2] += (np.maximum.accumulate(reached) - reached)[:, None] * across
    return placed


def _outline(
    head: FittedHead,
    relief: Relief,
    vertices: np.ndarray,
    points: np.ndarray,
    point: int,
    away: int,
    label: np.ndarray,
) -> np.ndarray:
    """The place [3] of a contour point of the far side; `label` [3] is where its label went. See `turned_points`."""
    across = away * head.across
    ring = head.rings[RING_OF[point], FRONT_RIGHT if away > 0 else FRONT_LEFT, :2]
    line = np.concatenate([ring[::away], points[point : point + 1]])
    places = np.linspace(0, len(line) - 1, _ON_A_RING * (len(line) - 1) + 1)
    dense = np.stack([np.interp(places, np.arange(len(line)), line[:, axis]) for axis in (0, 1)], axis=1)
    seen = relief.at(vertices, dense)
    best = seen[np.argmax(seen[:, :2] @ across)].copy()
    # Where the label lies a little inside of the outline in the photo, it does so in the turned face.
    best[:2] -= ((dense @ across).max() - points[point] @ across) * across
    return best if (best[:2] - label[:2]) @ across > _NEXT_TO_NOTHING * head.scale else label


def _share_lower(yaw: float) -> float:
    return min(abs(yaw) / _LOWER_FROM, 1.0)


def _spaced(edge: np.ndarray, labels: np.ndarray, start: float) -> np.ndarray:
    """Points [9, 2] on the smooth line through `edge` [9, 2], at the same parts of its length as `labels` on theirs.

    The first part of the line, of `start` of its length, is left out.
    """
    lines = [curve(points) for points in (labels, edge)]
    old, new = (np.append(0.0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))) for line in lines)
    knots = np.linspace(0, len(old) - 1, len(labels)).astype(int)
    wanted = new[-1] * (start + (1 - start) * old[knots] / max(old[-1], 1e-6))
    return np.stack([np.interp(wanted, new, lines[1][:, axis]) for axis in (0, 1)], axis=1)


def seen_points(placed: np.ndarray, depth: np.ndarray, pixels: np.ndarray, scale: float) -> np.ndarray:
    """Which points [68] are not hidden by the face itself; the contour is always where an edge is seen.

    Args:
      placed: Camera coordinates [68, 3].
      depth: Depth seen at each pixel of the new picture [S, S].
      pixels: The points in the new picture [68, 2].
      scale: Length of a head unit in pixels.
    """
    column, row = np.clip(np.rint(pixels).astype(int), 0, len(depth) - 1).T
    seen = placed[:, 2] > depth[row, column] - _BEHIND * scale
    seen[:NUM_CONTOUR] = True
    return seen
