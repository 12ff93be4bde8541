"""The lines and outlines of a synthetic face, all at once, as weighted sums of its landmarks.

Hundreds of small arrays cost more than the paint. A sketch is made once; a face then takes one matrix product.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jaxlm.data_pipelines.synthetic.painting.paint import curve, taper, to_fixed

# A place: a landmark, or landmarks and their weights.
Place = int | Mapping[int, float]
# Steps from one place of a line to the next.
SAMPLES = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Sketch:
    """Strokes, which are lines that narrow towards their ends, and outlines.

    Attributes:
      matrix: [2 s + o, points], from landmarks to the strokes' points, their slopes, and the outlines' points.
      tapers: Of the strokes' points [s], a quarter turn and half the width relative to the stroke's.
      owners: To which stroke each of their points belongs [s].
      order: Where in the strokes' left sides, right sides and the outlines each corner of a polygon is.
      parts: Each polygon's corners. Those of the strokes come first.
    """

    matrix: np.ndarray
    tapers: np.ndarray
    owners: np.ndarray
    order: np.ndarray
    parts: dict[str, slice]

    def draw(self, points: np.ndarray, widths: Sequence[float], size: int) -> dict[str, np.ndarray]:
        """All polygons [n, 2] of a face, as `to_fixed` gives them for a picture of `size`.

        Args:
          points: [points, 2] in the frame.
          widths: Of the strokes, in frame widths.
          size: Of the picture, in pixels.
        """
        count = len(self.tapers)
        # Complex numbers make one array of x and y, and a quarter turn a product.
        places = (self.matrix @ points).view(np.complex64)[:, 0]
        line, along = places[:count], places[count : 2 * count]
        aside = along * (self.tapers * np.array(widths, np.float32)[self.owners] / (np.abs(along) + 1e-6))
        corners = np.concatenate([line + aside, line - aside, places[2 * count :]])[self.order]
        fixed = to_fixed(corners.view(np.float32).reshape(-1, 2), size)
        return {name: fixed[part] for name, part in self.parts.items()}


def _line(places: Sequence[Place], count: int) -> np.ndarray:
    """The matrix [m, count] from landmarks to a curve."""
    weights = np.zeros((len(places), count), np.float32)
    for row, place in zip(weights, places, strict=True):
        for index, weight in ({place: 1.0} if isinstance(place, int) else place).items():
            row[index] += weight
    return curve(weights, samples=SAMPLES)


def make_sketch(
    strokes: Mapping[str, Sequence[Place]], outlines: Mapping[str, Sequence[Sequence[Place]]], count: int
) -> Sketch:
    """A sketch over `count` points of strokes, and of outlines made of one curve after the other."""
    lines = [_line(places, count) for places in strokes.values()]
    filled = [np.concatenate([_line(places, count) for places in curves]) for curves in outlines.values()]
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
    return Sketch(
        matrix=np.concatenate([*lines, *slopes, *filled]).astype(np.float32),
        tapers=np.concatenate([0.5j * taper(len(line)) for line in lines]).astype(np.complex64),
        owners=np.repeat(np.arange(len(lines)), [len(line) for line in lines]),
        order=np.concatenate(order),
        parts=parts,
    )
