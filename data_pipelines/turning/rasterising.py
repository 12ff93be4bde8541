"""Draws triangles with their values into a picture, the nearest ones last."""

from __future__ import annotations

import numpy as np


def rasterise(vertices: np.ndarray, triangles: np.ndarray, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The values of the nearest triangle at each pixel; NaN where there is none.

    Triangles are sorted by their mean depth, and each covers those before it: right where triangles are small.

    Args:
      vertices: [V, 3]: x, y in pixels, with pixel centres at integers, and z, larger is nearer.
      triangles: Rows of `vertices` [T, 3].
      values: Of each vertex [V, K]; linear within a triangle.
      size: Height and width of the picture.

    Returns:
      float32 [height, width, K].
    """
    height, width = size
    triangles = triangles[np.argsort(vertices[triangles, 2].mean(1), kind="stable")]
    x, y = (vertices[triangles, axis].astype(np.float32) for axis in (0, 1))
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    left, top = (np.maximum(np.ceil(axis.min(1)), 0).astype(np.int32) for axis in (x, y))
    right, bottom = (
        np.minimum(np.floor(axis.max(1)), most - 1).astype(np.int32) for axis, most in ((x, width), (y, height))
    )
    kept = (left <= right) & (top <= bottom) & (np.abs(area) > 1e-6)
    triangles, x, y, area = triangles[kept], x[kept], y[kept], area[kept]
    left, top, across = left[kept], top[kept], (right - left)[kept] + 1
    counts = across * ((bottom[kept] - top) + 1)
    owner = np.repeat(np.arange(len(triangles)), counts)
    order = np.arange(len(owner), dtype=np.int32) - np.repeat(np.cumsum(counts) - counts, counts).astype(np.int32)
    row, column = np.divmod(order, across[owner])
    row += top[owner]
    column += left[owner]
    # Barycentric coordinates are linear in the pixel: one slope each for x and y.
    slopes = np.stack([y[:, 1] - y[:, 2], x[:, 2] - x[:, 1], y[:, 2] - y[:, 0], x[:, 0] - x[:, 2]], 1) / area[:, None]
    slopes = slopes[owner]
    dx, dy = column - x[owner, 2], row - y[owner, 2]
    first = slopes[:, 0] * dx + slopes[:, 1] * dy
    second = slopes[:, 2] * dx + slopes[:, 3] * dy
    edge = -1e-4
    inside = np.flatnonzero((first >= edge) & (second >= edge) & (first + second <= 1 - edge))
    place = row[inside] * width + column[inside]
    # Of the triangles of a pixel the last one counts.
    nearest = np.full(height * width, -1, np.int64)
    nearest[place] = inside
    seen = np.flatnonzero(nearest >= 0)
    chosen = nearest[seen]
    corner = values[triangles[owner[chosen]]].astype(np.float32)
    weights = np.stack([first[chosen], second[chosen], 1 - first[chosen] - second[chosen]], 1)
    picture = np.full((height * width, values.shape[1]), np.nan, np.float32)
    picture[seen] = np.einsum("ni,nik->nk", weights, corner)
    return picture.reshape(height, width, -1)
