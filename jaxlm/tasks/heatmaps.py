"""The task of models whose raw outputs are heat-maps."""

from __future__ import annotations

import dataclasses
import functools
import operator
from typing import Literal

import jax
import jax.numpy as jnp

from jaxlm.images import heatmaps
from jaxlm.tasks import heatmap_losses
from jaxlm.tasks.base import Task

Maps = jax.Array | tuple[jax.Array, ...]


@dataclasses.dataclass(frozen=True)
class HeatMapTask(Task):
    """Heat-maps: outputs [B, S, S, N], one map for each landmark, of S = input_size / stride cells a side.

    A model of several stages gives a tuple of such outputs: all are supervised alike, the last is read.

    With the losses `mse` and `adaptive_wing` a map's heights copy those of a drawn Gaussian; with `soft_argmax` and
    `star` it holds logits whose softmax is a probability. Only the published target, 100 high, suits a model that ends
    in a ReLU: with the others that layer dies (adaptive_wing) or keeps logits from falling. Points more than three
    sigma outside of the maps do not count in the loss, nor do those of other heads, which are NaN.

    Confidence is the height of the peak as a fraction of the target's, or the probability within two sigma of the
    point along both axes (over 0.9 for a Gaussian of the target's sigma, low where a map is spread or has two peaks).

    Attributes:
      input_size: Side of the crop in pixels.
      loss_name: A loss of jaxlm/tasks/heatmap_losses.py.
      target: `unbiased`: 1 high at the point itself, half-pixel cells; `published`: that of the ShuffleNetV2
        code, stretched to 0..100, cells x / stride, for `mse` alone. The published sigma is 4, at 96 cells a side.
      sigma: Standard deviation in cells of the drawn Gaussian, or of the one that `soft_argmax` pulls towards; DARK
        smooths by it.
      decoder: How points are read, a function of jaxlm/images/heatmaps.py; `soft_argmax` reads logits alone.
      legacy_axes: Rows are x and columns are y, as in the published ShuffleNetV2 code; with the published target alone.
        It is here for the claim that shufflenet_face_synthetics is the published recipe, of which this is a part.
      stride: Side of a cell in pixels.
    """

    input_size: int
    loss_name: Literal["mse", "adaptive_wing", "soft_argmax", "star"] = "adaptive_wing"
    target: Literal["unbiased", "published"] = "unbiased"
    sigma: float = 2.0
    decoder: Literal["argmax", "quarter", "dark", "soft_argmax"] = "dark"
    legacy_axes: bool = False
    stride: int = 4

    def __post_init__(self) -> None:
        if self.target == "published" and self.loss_name != "mse":
            raise ValueError(f"the published target is for loss mse, not {self.loss_name}, which wants target unbiased")
        if self.legacy_axes and self.target != "published":
            raise ValueError("legacy_axes reproduces the published code, so it wants target published")
        if self.decoder == "soft_argmax" and not self._reads_logits:
            raise ValueError(
                f"decoder soft_argmax reads logits, and loss {self.loss_name} teaches heights;"
                " take decoder dark, quarter or argmax, or loss soft_argmax or star"
            )
        if self.sigma <= 0:
            raise ValueError(f"sigma must be above 0 cells, not {self.sigma}")
        if self.stride < 1 or self.input_size % self.stride:
            raise ValueError(f"a crop of {self.input_size} pixels cannot be cut into cells of {self.stride}")

    def loss(self, outputs: Maps, points: jax.Array, visible: jax.Array) -> jax.Array:
        del visible  # As in CoordinateTask.
        stages = self._stages(outputs)
        return functools.reduce(operator.add, (self._stage_loss(maps, points) for maps in stages)) / len(stages)

    def points(self, outputs: Maps) -> jax.Array:
        cells = self._decode(self._stages(outputs)[-1])
        return self._swap(heatmaps.to_pixels(cells, self.stride, self._centred))

    def confidence(self, outputs: Maps) -> jax.Array:
        maps = self._stages(outputs)[-1]
        if self._reads_logits:
            return heatmaps.mass_near(heatmaps.probabilities(maps), self._decode(maps), radius=2 * self.sigma)
        peak = heatmaps.PUBLISHED_PEAK if self.target == "published" else 1.0
        return jnp.clip(maps.max(axis=(1, 2)) / peak, 0.0, 1.0)

    def _stage_loss(self, maps: jax.Array, points: jax.Array) -> jax.Array:
        cells = heatmaps.to_cells(self._swap(points), self.stride, self._centred)
        weight = heatmaps.in_reach(cells, self._size, self.sigma)
        if self.loss_name == "soft_argmax":
            return heatmap_losses.soft_argmax(maps, cells, weight, sigma=self.sigma)
        if self.loss_name == "star":
            return heatmap_losses.star(maps, cells, weight)
        draw = heatmaps.draw_published if self.target == "published" else heatmaps.draw_unbiased
        compare = heatmap_losses.heatmap_mse if self.loss_name == "mse" else heatmap_losses.adaptive_wing
        return compare(maps, draw(cells, self._size, self.sigma), weight)

    def _decode(self, maps: jax.Array) -> jax.Array:
        """The point [B, N, 2] of each map in cells, along its columns and its rows."""
        if self.decoder == "argmax":
            return heatmaps.argmax(maps)
        if self.decoder == "quarter":
            return heatmaps.quarter(maps)
        if self.decoder == "soft_argmax":
            return heatmaps.soft_argmax(maps)
        return heatmaps.dark(heatmaps.probabilities(maps) if self._reads_logits else maps, self.sigma)

    @property
    def _reads_logits(self) -> bool:
        return self.loss_name in ("soft_argmax", "star")

    @property
    def _centred(self) -> bool:
        return self.target == "unbiased"

    @property
    def _size(self) -> int:
        return self.input_size // self.stride

    def _swap(self, points: jax.Array) -> jax.Array:
        """Points with x and y exchanged where rows are x."""
        return points[..., ::-1] if self.legacy_axes else points

    def _stages(self, outputs: Maps) -> tuple[jax.Array, ...]:
        stages = outputs if isinstance(outputs, tuple) else (outputs,)
        for maps in stages:
            if maps.ndim != 4 or maps.shape[1:3] != (self._size, self._size):
                raise ValueError(
                    f"heat-maps of crops of {self.input_size} pixels at stride {self.stride} are"
                    f" [B, {self._size}, {self._size}, N]; the model's outputs are {list(maps.shape)}"
                )
        return stages
