"""The task of models whose raw outputs are coordinates."""

from __future__ import annotations

import dataclasses
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from jaxlm.tasks import point_losses
from jaxlm.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class CoordinateTask(Task):
    """Direct regression: outputs [B, 2 N] are x0, y0, x1, y1, ...

    Points that are NaN, as those of other heads are, do not count in the loss.

    Attributes:
      input_size: Side of the crop in pixels.
      loss_name: A key of jaxlm.tasks.point_losses.LOSSES; losses are taken in crop pixels.
      units: `pixels`: outputs are crop pixels, as published for SepBN; `unit`: -1 and 1 are half a crop's side left and
        right of its centre, so that an untrained model starts in the middle.
    """

    input_size: int
    loss_name: str = "l1"
    units: Literal["pixels", "unit"] = "pixels"

    def __post_init__(self) -> None:
        if self.loss_name not in point_losses.LOSSES:
            raise ValueError(f"unknown loss {self.loss_name!r}; known: {', '.join(point_losses.LOSSES)}")

    def loss(self, outputs: jax.Array, points: jax.Array, visible: jax.Array) -> jax.Array:
        del visible  # Points out of sight are annotated in every scheme we read, and count in the published losses.
        annotated = jnp.isfinite(points).all(axis=-1).astype(points.dtype)
        return point_losses.LOSSES[self.loss_name](self.points(outputs), points, annotated)

    def points(self, outputs: jax.Array) -> jax.Array:
        chex.assert_rank(outputs, 2)
        points = outputs.reshape(outputs.shape[0], -1, 2)
        if self.units == "unit":
            points = 0.5 * self.input_size * points + 0.5 * (self.input_size - 1)
        return points
