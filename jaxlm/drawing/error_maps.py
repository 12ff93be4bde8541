"""Mean errors of points and parts, and their drawing on a mean face."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from jaxlm.landmarks import Scheme, geometry

_COLUMNS = 3
# The indices of this many points, those of the largest errors, are written beside them.
_NAMED = 3
# Area of the largest disc, in square points of typography.
_LARGEST = 190


def mean_by_point(errors: np.ndarray) -> np.ndarray:
    """Mean error of each point [N], from the errors of faces [n, N]; NaN does not count."""
    return np.nanmean(errors, axis=0)


def mean_by_part(errors: np.ndarray, scheme: Scheme) -> dict[str, float]:
    """Mean error of each part of the scheme, over its points, from the errors of faces [n, N]; NaN does not count."""
    return {part: float(np.nanmean(errors[:, points])) for part, points in scheme.parts.items()}


def mean_shape(points: np.ndarray) -> np.ndarray:
    """The mean [N, 2] of shapes [n, N, 2] after similarity alignment: two rounds of Procrustes analysis (Gower, 1975).

    The first round aligns all shapes to the first one, the second round to the mean of the first round. Shapes with NaN
    do not count; where all have some, the mean is that of the points as they are.
    """
    whole = points[np.isfinite(points).all((1, 2))]
    if not len(whole):
        return np.nanmean(points, axis=0)
    points, mean = whole, whole[0]
    for _ in range(2):
        mean = geometry.transform(points, geometry.similarity_fit(points, mean)).mean(axis=0)
    return mean


def error_map(errors: Mapping[str, np.ndarray], shape: np.ndarray, scheme: Scheme) -> Figure:
    """A face for each run, its points drawn as discs: a larger and darker disc means a larger mean error.

    Discs of all runs have one scale.

    Args:
      errors: Mean error of each point [N], a fraction, by the run's label.
      shape: Position of each point [N, 2], y downwards.
      scheme: Scheme of the points; its edges are drawn.
    """
    rows, columns = -(-len(errors) // _COLUMNS), min(len(errors), _COLUMNS)
    figure = Figure(figsize=(3.5 * columns + 1.1, 3.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    largest = max(np.nanmax(values) for values in errors.values())
    for axes, (label, values) in zip(grid.flat, errors.items(), strict=False):
        discs = _draw(axes, shape, values, largest, scheme)
        axes.set_title(f"{label}: {100 * np.nanmean(values):.2f} %", fontsize=11)
    figure.colorbar(discs, ax=grid, label="mean error of the point (%)", shrink=0.8, aspect=30, pad=0.02)
    return figure


def _draw(axes: Axes, shape: np.ndarray, errors: np.ndarray, largest: float, scheme: Scheme) -> PathCollection:
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.margins(0.1)
    axes.add_collection(LineCollection([shape[list(edge)] for edge in scheme.edges], colors="0.75"))
    # Areas and colours start at 0, so areas are proportional to errors. Cividis suits people with any colour vision.
    discs = axes.scatter(
        shape[:, 0],
        shape[:, 1],
        s=_LARGEST * errors / largest,
        c=100 * errors,
        cmap="cividis_r",
        vmin=0,
        vmax=100 * largest,
        zorder=2,
    )
    discs.set(edgecolor="white", linewidth=0.6)
    centre = shape.mean(axis=0)
    for point in np.argsort(-errors)[:_NAMED]:
        outwards = (shape[point] - centre) / max(np.linalg.norm(shape[point] - centre), 1e-6) * (12, -12)
        number = axes.annotate(
            str(point), shape[point], outwards, textcoords="offset points", ha="center", va="center", fontsize=8
        )
        number.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    return discs
