"""Draws what SepBN learnt: its affine sets as curves, and its attention as a matrix beside each face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from jaxlm.drawing import plots
from jaxlm.drawing.pictures import Arrays

_FACES_A_ROW = 3
_PUBLISHED_LAYERS = 5
"""How many layers the authors' picture of the attention has. Their code has six; that it lacks the last is INFERRED."""


def affine_sets_plot(file: plots.File, layers: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Draws the scale and bias [K, C] of each SepBN layer as curves over the channels, one colour a set."""
    figure = Figure(figsize=(12, 1.9 * len(layers) + 0.6), layout="constrained")
    grid = figure.subplots(len(layers), 2, squeeze=False)
    for row, (path, sets) in zip(grid, layers.items(), strict=True):
        for axes, values in zip(row, sets, strict=True):
            for index, curve in enumerate(values):
                colour = plots.LINE_COLOURS[index % len(plots.LINE_COLOURS)]
                axes.plot(curve, color=colour, linewidth=0.7, alpha=0.8, label=f"set {index + 1}")
            axes.set_xlim(0, values.shape[1] - 1)
            plots.style(axes)
        row[0].set_ylabel(path)
    grid[0, 0].set_title("scale")
    grid[0, 1].set_title("bias")
    for axes in grid[-1]:
        axes.set_xlabel("channel")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=7, frameon=False)
    figure.savefig(file, dpi=120)


def attention_plot(file: plots.File, images: Arrays, layers: Mapping[str, np.ndarray]) -> None:
    """Writes `attention_figure` to a file."""
    attention_figure(images, layers).savefig(file, dpi=110)


def attention_figure(images: Arrays, layers: Mapping[str, np.ndarray]) -> Figure:
    """Each face beside its attention weights: one column a layer, one row a set, the groups below one another.

    Columns beyond those of the authors' picture stand apart, with a star.

    Args:
      images: The faces, RGB uint8 [B][S, S, 3].
      layers: The weights [B, G, K] of each layer, by its path; all with the same numbers of groups and of sets.
    """
    weights = np.stack([attention.reshape(len(images), -1) for attention in layers.values()], axis=-1)
    groups, sets = next(iter(layers.values())).shape[1:]
    prefixes = [f"group {group + 1}, " for group in range(groups)] if groups > 1 else [""]
    labels = [f"{prefix}set {index + 1}" for prefix in prefixes for index in range(sets)]
    rows = -(-len(images) // _FACES_A_ROW)
    figure = Figure(figsize=(5 * _FACES_A_ROW, 2.4 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, 2 * _FACES_A_ROW, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, matrix in zip(grid.reshape(-1, 2), images, weights, strict=False):
        axes[0].imshow(image)
        picture = _draw_weights(axes[1], matrix, labels)
    columns = ", ".join(f"{label} = {path}" for label, path in zip(_columns(len(layers)), layers, strict=True))
    if len(layers) > _PUBLISHED_LAYERS:
        columns += f"\n* not in the authors' picture, which has {_PUBLISHED_LAYERS} layers"
    figure.suptitle(
        f"Attention of SepBN: weight of each affine set (rows) in each layer (columns)\n{columns}", fontsize=11
    )
    figure.colorbar(picture, ax=grid, shrink=0.8, aspect=40, pad=0.01)
    return figure


def _columns(layers: int) -> list[str]:
    """The numbers of the layers."""
    return [f"{number}{'*' * (number > _PUBLISHED_LAYERS)}" for number in range(1, layers + 1)]


def _draw_weights(axes: Axes, matrix: np.ndarray, labels: Sequence[str]) -> AxesImage:
    """Weights [G K, layers] as coloured cells with their values."""
    axes.set_axis_on()
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_xticks(range(matrix.shape[1]), _columns(matrix.shape[1]), fontsize=8)
    if matrix.shape[1] > _PUBLISHED_LAYERS:
        axes.axvline(_PUBLISHED_LAYERS - 0.5, color="white", linewidth=4)
    axes.tick_params(length=0)
    axes.set_box_aspect(1)
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if value < 0.55 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=colour)
    return axes.imshow(matrix, cmap="cividis", vmin=0, vmax=1, aspect="auto")
