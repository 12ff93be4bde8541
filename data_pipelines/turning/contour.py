"""Where the points of a turned face lie, by the habit of 300-W: the contour on the edge that is seen.

Inner points go where the relief takes the place of their label. The contour of the side that comes nearer does, too:
it is the edge of the jaw, up to the ear. On the side that turns away annotators follow the outline of the cheek. So
each of its points is the outermost place of the head's ring at its height, from the cheek to the edge of the jaw, once
the relief has taken that ring where the picture has it. Lips that turn away end at their outline.
"""

from __future__ import annotations

import numpy as np

from jaxlm.data_pipelines.turning.fitting import RING_OF, FittedHead
from jaxlm.data_pipelines.turning.mesh import FRONT_LEFT, FRONT_RIGHT, NUM_CONTOUR
from jaxlm.data_pipelines.turning.relief import Relief

_ON_A_RING = 9  # Places between two vertices of a ring.
# Lines of points from the lips' middle to the mouth's corner on the image's left and right.
_LIPS = {
    -1: ((51, 50, 49, 48), (57, 58, 59, 48), (62, 61, 60), (66, 67, 60)),
    1: ((51, 52, 53, 54), (57, 56, 55, 54), (62, 63, 64), (66, 65, 64)),
}
# A point this far behind the surface that is seen in its place is hidden, in head units.
_BEHIND = 0.06


def turned_points(
    head: FittedHead, relief: Relief, vertices: np.ndarray, points: np.ndarray, away: int
) -> np.ndarray:
    """Camera coordinates [68, 3] of the points of a turned face.

    Args:
      head: The head of the photo.
      relief: The photo's relief.
      vertices: Where its vertices are now [R, C, 3].
      points: The labels [68, 2].
      away: Which side turns away: 1 is the image's right, -1 its left.
    """
    placed = relief.at(vertices, points.astype(np.float64))
    across = away * np.array([np.cos(head.angles[2]), np.sin(head.angles[2])])
    front = FRONT_RIGHT if away > 0 else FRONT_LEFT
    cheek = np.arange(len(RING_OF)) * away > (NUM_CONTOUR // 2) * away
    for point in np.flatnonzero(cheek):
        ring = head.rings[RING_OF[point], front, :2]
        line = np.concatenate([ring, points[point : point + 1]]) if away > 0 else np.concatenate([points[point : point + 1], ring])
        places = np.linspace(0, len(line) - 1, _ON_A_RING * (len(line) - 1) + 1)
        dense = np.stack([np.interp(places, np.arange(len(line)), line[:, axis]) for axis in (0, 1)], axis=1)
        seen = relief.at(vertices, dense)
        best = seen[np.argmax(seen[:, :2] @ across)]
        if best[:2] @ across > placed[point, :2] @ across:
            placed[point] = best
    for line in _LIPS[away]:
        reached = np.maximum.accumulate(placed[list(line), :2] @ across)
        placed[list(line), :2] += (reached - placed[list(line), :2] @ across)[:, None] * away * across
    return placed


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
