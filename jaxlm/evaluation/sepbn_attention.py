"""What SepBN learnt: its affine sets and its attention for some faces, as arrays and as pictures."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from jaxlm.checkpoints import runs
from jaxlm.data_pipelines.input import Faces
from jaxlm.drawing import plots
from jaxlm.images import cropping

_FACES_A_ROW = 3


class Layer(NamedTuple):
    """What one SepBN layer learnt and how it treats the faces given.

    Attributes:
      scale: The K affine sets' scales [K, C].
      bias: Their shifts [K, C].
      attention: Weight of each set for each face and channel group [B, G, K].
    """

    scale: np.ndarray
    bias: np.ndarray
    attention: np.ndarray


class NoAttentionError(ValueError):
    """A model has no SepBN layer."""


def collect(model: nn.Module, variables: Mapping[str, Any], images: jax.Array) -> dict[str, Layer]:
    """The SepBN layers of `model` by their paths, from the first to the last, for normalised images [B, S, S, 3].

    The layers run in evaluation mode, at temperature 1.

    Raises:
      NoAttentionError: The model has no SepBN layer.
    """

    @jax.jit
    def sown(variables: Mapping[str, Any], images: jax.Array) -> Mapping[str, Any]:
        return model.apply(variables, images, train=False, mutable=["intermediates"])[1]

    intermediates = flax.traverse_util.flatten_dict(sown(variables, images).get("intermediates", {}))
    params = flax.traverse_util.flatten_dict(variables["params"])
    layers = {
        "/".join(path): Layer(*map(np.asarray, (params[*path, "scale"], params[*path, "bias"], weights[0])))
        for (*path, name), weights in intermediates.items()
        if name == "attention"
    }
    if not layers:
        raise NoAttentionError("the model has no SepBN layer; train one, for example with --experiment sepbn_wflw")
    return {path: layers[path] for path in sorted(layers, key=_natural_order)}


def look(trained: runs.Trained, faces: Faces, count: int) -> tuple[np.ndarray, dict[str, Layer]]:
    """The crops uint8 [count, S, S, 3] of `count` of the faces, evenly spread, and what `collect` finds for them."""
    chosen = np.unique(np.linspace(0, len(faces) - 1, count).round().astype(int))
    size, crop = trained.config.model.input_size, trained.config.data.crop
    cut = jax.jit(functools.partial(cropping.plain_images, size=size, margin=faces.margin, crop=crop))
    crops = cut(jnp.asarray(faces.images(chosen)))
    layers = collect(trained.model, trained.variables, cropping.normalise(crops))
    return np.asarray(crops).round().astype(np.uint8), layers


def _natural_order(path: str) -> list[int | str]:
    """A key that puts block2 before block10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)]


def plot_parameters(file: plots.File, layers: Mapping[str, Layer]) -> None:
    """The scale and bias [K, C] of each SepBN layer as curves over the channels, one colour a set."""
    figure = Figure(figsize=(12, 1.9 * len(layers) + 0.6), layout="constrained")
    grid = figure.subplots(len(layers), 2, squeeze=False)
    for row, (path, layer) in zip(grid, layers.items(), strict=True):
        for axes, values in zip(row, (layer.scale, layer.bias), strict=True):
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


def plot_attention(file: plots.File, images: Sequence[np.ndarray], layers: Mapping[str, Layer]) -> None:
    """Writes `attention_figure`."""
    attention_figure(images, layers).savefig(file, dpi=110)


def attention_figure(images: Sequence[np.ndarray], layers: Mapping[str, Layer]) -> Figure:
    """Each face beside its attention weights: one column a layer, one row a set, the groups below one another.

    `images` are RGB uint8, and the layers have the same numbers of groups and of sets.
    """
    weights = np.stack([layer.attention.reshape(len(images), -1) for layer in layers.values()], axis=-1)
    groups, sets = next(iter(layers.values())).attention.shape[1:]
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
    columns = ", ".join(f"{index} = {path}" for index, path in enumerate(layers, start=1))
    figure.suptitle(
        f"Attention of SepBN: weight of each affine set (rows) in each layer (columns)\n{columns}", fontsize=11
    )
    figure.colorbar(picture, ax=grid, shrink=0.8, aspect=40, pad=0.01)
    return figure


def _draw_weights(axes: Axes, matrix: np.ndarray, labels: Sequence[str]) -> AxesImage:
    """Weights [G K, layers] as coloured cells with their values."""
    axes.set_axis_on()
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_xticks(range(matrix.shape[1]), range(1, matrix.shape[1] + 1), fontsize=8)
    axes.tick_params(length=0)
    axes.set_box_aspect(1)
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if value < 0.55 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=colour)
    return axes.imshow(matrix, cmap="cividis", vmin=0, vmax=1, aspect="auto")
