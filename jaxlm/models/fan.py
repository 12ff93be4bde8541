"""FAN: heat-maps of landmarks from a stacked hourglass, as of Bulat and Tzimiropoulos (ICCV 2017)."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.hourglass import MapHead, StackedHourglass


class FAN(nn.Module):
    """A stacked hourglass with a heat-map for each landmark, its maps fed to the next stack.

    Unlike in the paper, which has blocks of its own (hierarchical, parallel and multi-scale), the units are the
    bottlenecks that it compares them with, in the form LAB has them, and upsampling is bilinear.

    Attributes:
      num_points: N, how many landmarks there are a map of.
      stacks: Hourglasses one after another; the published network has 4.
      width: Channels of the features.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    num_points: int
    stacks: int = 4
    width: int = 256
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Raw maps float32 [B, S / 4, S / 4, N] of each stack, of normalised images [B, S, S, 3].

        Raises:
          ValueError: There is no stack, or 64 does not divide the images' sides.
        """
        head = partial(MapHead, self.num_points, self.dtype)
        return StackedHourglass(head, self.stacks, self.width, dtype=self.dtype, name="hourglass")(images, train=train)
