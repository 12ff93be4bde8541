"""Depth for a whole photo, and the photo turned by it: a grid of vertices whose middle is fine."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from jaxlm.data_pipelines.synthetic.painting.paint import curve
from jaxlm.data_pipelines.turning.fitting import FittedHead, rotation, smooth_move
from jaxlm.data_pipelines.turning.mesh import triangles
from jaxlm.data_pipelines.turning.rasterising import rasterise

# Distances between vertices in head units: on the face, and around it.
_FINE, _COARSE = 0.026, 0.11
# What is around the head lies this far behind the pivot, in head units; over this distance from the head depth falls
# to it; over this one things cease to turn with the head; and those that do not lie this deep.
_BEHIND = 0.05
_FALL = 0.16
_STILL = 0.60
_FAR = -3.0
# Depth is smoothed by a Gaussian of this deviation, and is no steeper than this.
_SMOOTH = 0.022
_STEEPEST = 3.0
# Over this distance depth follows that of the contour, at its sides: between so many points from the chin and so many.
_RIM = 0.03
_SIDES = (1.5, 3.0)
# Pixels of the photo between the sources of two pixels of the turned one, from which on there is an edge.
_JUMP = 8.0


@dataclasses.dataclass(frozen=True, eq=False)
class Relief:
    """A photo as a surface in camera coordinates; see `FittedHead`.

    Attributes:
      xs: x of the columns of vertices [C], in pixels; they go beyond the frame.
      ys: y of the rows [R].
      depth: z of the vertices [R, C].
      turning: How far each vertex turns with the head [R, C]: 1 on the head, 0 far away.
    """

    xs: np.ndarray
    ys: np.ndarray
    depth: np.ndarray
    turning: np.ndarray

    def turned(self, head: FittedHead, yaw: float, pitch: float) -> np.ndarray:
        """The vertices [R, C, 3] when the head has another yaw and pitch, in radians."""
        where = np.stack([*np.meshgrid(self.xs, self.ys), self.depth], axis=-1)
        change = rotation(yaw, pitch, head.angles[2]) @ rotation(*head.angles).T
        around = where - head.pivot
        moved = around @ change.T
        still = around.copy()
        still[..., 2] = _FAR * head.scale
        share = self.turning[..., None]
        return share * moved + (1 - share) * still + head.pivot

    def at(self, grid: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The values [n, K] of a grid [R, C, K] of vertices at points [n, 2] of the photo: where these go."""
        column, row = (
            np.interp(points[:, axis], lines, np.arange(len(lines))) for axis, lines in ((0, self.xs), (1, self.ys))
        )
        j, i = (np.minimum(place.astype(int), len(lines) - 2) for place, lines in ((column, self.xs), (row, self.ys)))
        u, v = (column - j)[:, None], (row - i)[:, None]
        a, b, c, d = grid[i, j], grid[i, j + 1], grid[i + 1, j], grid[i + 1, j + 1]
        # The two triangles of a cell, as `triangles` has them.
        return np.where(u + v <= 1, a + u * (b - a) + v * (c - a), d + (1 - u) * (c - d) + (1 - v) * (b - d))


def _lines(low: float, high: float, size: int, scale: float) -> np.ndarray:
    """Places of the lines of a grid: fine from `low` to `high`, coarse up to half a frame beyond the frame."""
    fine = np.linspace(low, high, max(2, round((high - low) / (_FINE * scale)) + 1))
    start, stop = min(low - 1, -0.5 * size), max(high + 1, 1.5 * size)

    def coarse(a: float, b: float) -> np.ndarray:
        return np.linspace(a, b, max(2, round((b - a) / (_COARSE * scale)) + 1))

    return np.concatenate([coarse(start, low)[:-1], fine, coarse(high, stop)[1:]])


def make_relief(head: FittedHead, size: int) -> Relief:
    """The relief of a frame of `size` pixels: the head's surface, and a smooth way from it to what is far away."""
    scale = head.scale
    flat = head.surface.reshape(-1, 3)
    low, high = flat[:, :2].min(0) - 0.1 * scale, flat[:, :2].max(0) + 0.1 * scale
    xs, ys = (_lines(float(low[axis]), float(high[axis]), size, scale) for axis in (0, 1))
    # The grid is a picture of its own, whose pixels are the vertices.
    vertices = flat.copy()
    vertices[:, 0] = np.interp(flat[:, 0], xs, np.arange(len(xs)))
    vertices[:, 1] = np.interp(flat[:, 1], ys, np.arange(len(ys)))
    rows, columns = head.surface.shape[:2]
    faces = triangles(rows, columns, closed=True)
    found = rasterise(vertices, faces, vertices[:, 2:], (len(ys), len(xs)))[..., 0]
    on_head = np.isfinite(found)

    # The vertex of the head next to each vertex: by steps of the grid, which are fine around the head.
    _, nearest = cv2.distanceTransformWithLabels(
        (~on_head).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = np.zeros(nearest.max() + 1, np.int64)
    index[nearest[on_head]] = np.flatnonzero(on_head)
    owner = index[nearest]
    grid_x, grid_y = np.meshgrid(xs, ys)
    away = np.hypot(grid_x - grid_x.ravel()[owner], grid_y - grid_y.ravel()[owner]) / scale
    edge = found.ravel()[owner]
    floor = head.pivot[2] - _BEHIND * scale
    depth = edge + _ease(away / _FALL) * (floor - edge)
    depth = cv2.GaussianBlur(depth.astype(np.float32), (0, 0), _SMOOTH / _FINE)
    relief = Relief(xs, ys, _less_steep(depth, xs, ys), 1 - _ease(away / _STILL))
    # Depth falls off so steeply at the sides of the head that labels a pixel beside the edge were far too near. They
    # are given the edge's own depth, and what is around them follows; the chin's is as it should be.
    contour = curve(head.edge, samples=2).astype(np.float64)
    from_chin = np.abs(np.linspace(-8, 8, len(contour)))[:, None]
    wrong = contour[:, 2:] - relief.at(relief.depth[..., None], contour)
    wrong *= np.interp(from_chin, _SIDES, (0, 1))
    move = smooth_move(contour[:, :2] / scale, wrong, _RIM)
    vertices = np.stack([grid_x, grid_y], axis=-1).reshape(-1, 2) / scale
    return dataclasses.replace(relief, depth=relief.depth + move(vertices).reshape(relief.depth.shape))


def _ease(t: np.ndarray) -> np.ndarray:
    """0 at 0, 1 from 1 on, smooth between."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _less_steep(depth: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """The depth with slopes of at most `_STEEPEST`: what falls off more steeply is raised."""
    for axis, lines in ((1, xs), (0, ys)):
        steps = _STEEPEST * np.diff(lines)
        for flip in (False, True):
            values = np.moveaxis(depth[:, ::-1] if axis and flip else depth[::-1] if flip else depth, axis, 0)
            for k, step in enumerate(steps[::-1] if flip else steps):
                np.maximum(values[k + 1], values[k] - step, out=values[k + 1])
    return depth


def draw(photo: np.ndarray, relief: Relief, vertices: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The turned photo.

    Args:
      photo: RGB uint8 [H, W, 3].
      relief: Its relief.
      vertices: Where the relief's vertices are now [R, C, 3], in pixels of the new picture.
      size: Side of the new picture.

    Returns:
      The picture uint8 [size, size, 3], and the depth that is seen at each of its pixels float32 [size, size].
    """
    sources = np.stack(np.meshgrid(relief.xs, relief.ys), axis=-1).reshape(-1, 2)
    flat = vertices.reshape(-1, 3)
    values = np.concatenate([sources, flat[:, 2:]], axis=1)
    found = rasterise(flat, triangles(*relief.depth.shape), values, (size, size))
    missing = np.isnan(found[..., 0])
    if missing.any():
        found[missing] = -1e4
    picture = cv2.remap(photo, found[..., 0], found[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return _smooth_edges(picture, found[..., :2]), found[..., 2]


def _smooth_edges(picture: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The picture, softened where one thing ends in front of another, as a lens does.

    There, neighbours come from places of the photo, `sources` [S, S, 2], that are far from each other.
    """
    steps = cv2.morphologyEx(sources, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(-1)
    jump = np.asarray(steps > _JUMP, np.float32)
    if not jump.any():
        return picture
    weight = cv2.GaussianBlur(jump, (0, 0), 0.8)[..., None]
    soft = cv2.GaussianBlur(picture, (3, 3), 0.8).astype(np.float32)
    return np.clip(np.rint(picture + weight * (soft - picture)), 0, 255).astype(np.uint8)
