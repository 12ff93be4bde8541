"""LAB, "Look at Boundary" (Wu et al., CVPR 2018, arXiv 1805.10483): landmarks by way of the boundaries they lie on."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.images import appearance
from jaxlm.landmarks import load_scheme
from jaxlm.models.hourglass import Head, MapHead, StackedHourglass
from jaxlm.models.lab.discriminator import EffectivenessDiscriminator
from jaxlm.models.lab.messages import MessagePassing, edges_of
from jaxlm.models.lab.regressor import BoundaryRegressor


class LABOutputs(NamedTuple):
    """What LAB predicts.

    Attributes:
      maps: Boundary maps [B, S / 4, S / 4, K] of each stack, in the order of the scheme.
      coordinates: Raw outputs [B, 2 N], x0, y0, x1, y1, ...
    """

    maps: tuple[jax.Array, ...]
    coordinates: jax.Array


class LAB(nn.Module):
    """A stacked hourglass that draws boundaries, then a regressor that sees them beside the image.

    With `grey` and the 13 boundaries of 68 points, as published, the estimator has 7,575,840 parameters at 4 stacks,
    4,569,536 without message passing; published counts are 384 higher, see `StackedHourglass`. The regressor is
    `BoundaryRegressor`. The authors' layers were not released: these are of a later build, whose parameters and
    operations agree with published figures (INFERRED). Estimator and regressor are trained jointly, as theirs are.

    Unlike in the published network images are RGB unless `grey`, and maps are resized about pixel centres at half
    integers on their way to the regressor, since they are drawn so.

    Attributes:
      num_points: N, how many landmarks it predicts.
      scheme: Scheme of the landmarks, which has K boundaries; a built-in name or a .toml file.
      stacks: Hourglasses one after another.
      width: Channels of the estimator's features.
      depth: Halvings in an hourglass.
      message_passing: Whether boundaries exchange messages; see `MessagePassing`.
      grey: Look at the luma of the images.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    num_points: int
    scheme: str = "wflw98"
    stacks: int = 4
    width: int = 256
    depth: int = 4
    message_passing: bool = True
    grey: bool = False
    dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        scheme = load_scheme(self.scheme)
        if scheme.num_points != self.num_points:
            raise ValueError(
                f"the model's option scheme = {self.scheme} has {scheme.num_points} points and the data"
                f" {self.num_points}; make it the same as data.scheme"
            )
        if not scheme.boundaries:
            raise ValueError(
                f"LAB draws boundaries, and scheme {scheme.name} has none;"
                " list them in the table `boundaries` of a .toml file"
            )
        if self.message_passing:
            edges_of(scheme)
        super().__post_init__()

    def setup(self) -> None:
        scheme = load_scheme(self.scheme)
        head: Head = partial(MapHead, len(scheme.boundaries), self.dtype)
        if self.message_passing:
            head = partial(MessagePassing, tuple(scheme.boundaries), edges_of(scheme), self.dtype)
        self.estimator = StackedHourglass(head, self.stacks, self.width, self.depth, self.dtype)
        self.regressor = BoundaryRegressor(self.num_points, dtype=self.dtype)
        self.discriminator = EffectivenessDiscriminator(self.width // 4, self.dtype)

    def __call__(self, images: jax.Array, *, train: bool) -> LABOutputs:
        """Boundary maps and coordinates of normalised images [B, S, S, 3].

        Raises:
          ValueError: The hourglasses cannot halve the images' sides so often.
        """
        if self.grey:
            images = appearance.luma(images)
        maps = self.estimator(images, train=train)
        return LABOutputs(maps, self.regressor(images, maps[-1], train=train))

    def discriminate(self, maps: jax.Array, *, train: bool) -> jax.Array:
        """Logits [B, K] of how effective boundary maps [B, S / 4, S / 4, K] are, for training; see `BoundaryObjective`.

        Its parameters, `discriminator`, are no part of what `init` draws.
        """
        return self.discriminator(maps, train=train)
