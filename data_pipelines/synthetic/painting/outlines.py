"""All lines and outlines of a synthetic face at once: polygons whose corners are weighted sums of its landmarks.

Hundreds of small arrays cost more time than the painting. So the weights are one matrix, made once, and a face takes
one matrix product.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jaxlm.data_pipelines.synthetic.painting.paint import curve, taper, to_fixed

# A point of a line: the index of a landmark, or the weights of several landmarks by index.
PointWeights = int | Mapping[int, float]
# Steps from one point of a line to the next.
SAMPLES = 3


@dataclasses.dataclass(frozen=True, eq=False)
class PolygonMatrix:
    """Makes the polygons of a face from its landmarks: strokes, which narrow towards their ends, and outlines.

    Attributes:
      matrix: [2 s + o, points], from landmarks to the s points of the strokes, the slopes there, and the o points of
        the outlines.
      tapers: complex [s], a quarter turn times half the width at each point, relative to its stroke's width.
      owners: Index of the stroke that each point belongs to [s].
      order: Index of each polygon's corners in the left sides, right sides and outlines, one after the other.
      parts: Slice of the corners of each polygon, by name; those of the strokes come first.
    """

    matrix: np.ndarray
    tapers: np.ndarray
    owners: np.ndarray
    order: np.ndarray
    parts: dict[str, slice]

    def polygons(self, points: np.ndarray, widths: Sequence[float], size: int) -> dict[str, np.ndarray]:
        """All polygons [n, 2] of a face, as `to_fixed` gives them for a picture of `size` pixels a side.

        Args:
          points: Landmarks [points, 2] in frame widths.
          widths: Width of each stroke, in frame widths.
          size: Side of the picture in pixels.
        """
        count = len(self.tapers)
        # As complex numbers x and y are one array, and a quarter turn is a product.
        placed = (self.matrix @ points).view(np.complex64)[:, 0]
        line, along = placed[:count], placed[count : 2 * count]
        aside = along * (self.tapers * np.array(widths, np.float32)[self.owners] / (np.abs(along) + 1e-6))
        corners = np.concatenate([line + aside, line - aside, placed[2 * count :]])[self.order]
        fixed = to_fixed(corners.view(np.float32).reshape(-1, 2), size)
        return {name: fixed[part] for name, part in self.parts.items()}


def _line(points: Sequence[PointWeights], count: int) -> np.ndarray:
    """The matrix [m, count] from landmarks to a curve through some points."""
    weights = np.zeros((len(points), count), np.float32)
    for row, point in zip(weights, points, strict=True):
        for index, weight in ({point: 1.0} if isinstance(point, int) else point).items():
            row[index] += weight
    return curve(weights, samples=SAMPLES)


def make_polygon_matrix(
    strokes: Mapping[str, Sequence[PointWeights]], outlines: Mapping[str, Sequence[Sequence[PointWeights]]], count: int
) -> PolygonMatrix:
    """The matrix of strokes and outlines over `count` points; an outline is one curve after the other."""
    lines = [_line(points, count) for points in strokes.values()]
    filled = [np.concatenate([_line(points, count) for points in curves]) for curves in outlines.values()]
    total, order, parts = sum(map(len, lines)), [], {}
    start = end = 0
    for name, line in zip(strokes, lines, strict=True):
        left = np.arange(start, start + len(line))
        order += [left, total + left[::-1]]
        parts[name] = slice(2 * start, 2 * (start + len(line)))
        start += len(line)
    end = 2 * total
    for name, outline in zip(outlines, filled, strict=True):
        order.append(np.arange(end, end + len(outline)))
        parts[name] = slice(end, end + len(outline))
        end += len(outline)
    slopes = [np.gradient(line, axis=0) for line in lines]
    return PolygonMatrix(
        matrix=np.concatenate([*lines, *slopes, *filled]).astype(np.float32),
        tapers=np.concatenate([0.5j * taper(len(line)) for line in lines]).astype(np.complex64),
        owners=np.repeat(np.arange(len(lines)), [len(line) for line in lines]),
        order=np.concatenate(order),
        parts=parts,
    )
