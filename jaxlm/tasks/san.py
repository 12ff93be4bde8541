"""The task of SAN (Dong et al., CVPR 2018) as published: narrow peaks, a map of the background, their centroids."""

from __future__ import annotations

import dataclasses
import functools
import operator

import jax
import jax.numpy as jnp

from jaxlm.images import heatmaps
from jaxlm.tasks import heatmap_losses
from jaxlm.tasks.base import Task

Maps = tuple[jax.Array, ...]

# Standard deviation of a target in pixels; what is lower than the second is 0.
_SIGMA, _LOWEST_TARGET = 4.0, 0.01

# Cells around the highest one, along each axis, whose centroid is the point.
_WINDOW = 3

# Heights from which on a cell counts in a centroid, and what the others count.
_LOWEST_HEIGHT, _EPSILON = 1e-6, 1.2e-7


@dataclasses.dataclass(frozen=True)
class SANTask(Task):
    """Published heat-maps: outputs are maps [B, S, S, N + 1] of each stage, of S = input_size / stride cells a side.

    The target is half a cell wide at stride 8, so that its peak is as low as 0.37 between four cells; drawing it and
    reading it costs 0.19 pixels of 128 by itself, and 2 pixels within 4 pixels of the border. `HeatMapTask` costs less
    than 0.05 and is the better choice; this one is for comparisons with published figures.

    The loss of a face is half the sum of squared errors over all cells of all stages. So it is large, and the published
    learning rate is 5e-5. Points out of sight and those that are NaN do not count; those outside of the crop are taught
    as empty maps. Confidence is the height of the peak.

    Attributes:
      input_size, stride, background: The model's; `background` must be True.
    """

    input_size: int
    stride: int
    background: bool

    def __post_init__(self) -> None:
        if not self.background:
            raise ValueError("task san teaches a map of the background; set --model.options.background True")

    def loss(self, outputs: Maps, points: jax.Array, visible: jax.Array) -> jax.Array:
        target = draw_target(points, self.input_size // self.stride, self.stride)
        counts = visible & jnp.isfinite(points).all(axis=-1)
        counts = jnp.pad(counts, ((0, 0), (0, 1)), constant_values=True)
        return functools.reduce(operator.add, (heatmap_losses.half_squares(maps, target, counts) for maps in outputs))

    def points(self, outputs: Maps) -> jax.Array:
        return heatmaps.to_pixels(centroid(outputs[-1][..., :-1]), self.stride, centred=True)

    def confidence(self, outputs: Maps) -> jax.Array:
        return jnp.clip(outputs[-1][..., :-1].max(axis=(1, 2)), 0.0, 1.0)


def draw_target(points: jax.Array, size: int, stride: int) -> jax.Array:
    """Maps [B, size, size, N + 1] of points [B, N, 2] in crop pixels, the background last.

    Cell i has its centre at pixel stride i + (stride - 1) / 2. A map is exp(-d^2 / 32) of the distance d in pixels, 0
    where that is below 0.01; the background is what the highest of all maps leaves to 1.
    """
    maps = heatmaps.draw_unbiased(heatmaps.to_cells(points, stride, centred=True), size, _SIGMA / stride)
    maps = jnp.where(maps >= _LOWEST_TARGET, maps, 0.0)
    return jnp.concatenate([maps, 1.0 - maps.max(axis=-1, keepdims=True)], axis=-1)


def centroid(maps: jax.Array) -> jax.Array:
    """The mean cell [B, N, 2] of each map [B, H, W, N], weighted by height, of the 7 x 7 cells around the highest."""
    highest = heatmaps.argmax(maps)
    near_x, near_y = (
        jnp.abs(jnp.arange(size)[None, :, None] - highest[:, None, :, axis]) <= _WINDOW
        for axis, size in ((0, maps.shape[2]), (1, maps.shape[1]))
    )
    heights = jnp.where(maps > _LOWEST_HEIGHT, maps, _EPSILON) * near_y[:, :, None] * near_x[:, None]
    return heatmaps.expectation(heights / heights.sum(axis=(1, 2), keepdims=True))
