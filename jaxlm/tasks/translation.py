"""The task of a translator: how structures are drawn, and what its loss weighs."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import optax

from jaxlm.images import structure_maps
from jaxlm.landmarks import Scheme


@dataclasses.dataclass(frozen=True)
class TranslationTask:
    """The options of training a translator like that of AVS (Qian et al., ICCV 2019).

    Attributes:
      structure: The maps of a face's shape, see jaxlm/images/structure_maps.py: one of all landmarks (`dots`), one for
        each boundary of the scheme, both, or the map of the released AVS code (`published`).
      sigma: Standard deviation of dots and lines in pixels; a whole number where published.
      features: The feature network that the loss compares by: `laplacian`, a pyramid and colours (`ColouredPyramid`),
        an .npz file of VGG-19 that jaxlm.convert wrote, or the workdir of a trained detector. Its weights are kept with
        the checkpoints.
      gram_weight: Weight of the Gram terms of the perceptual loss.
      loss: `normalised`: each term of the perceptual loss is a share of its value for two different faces, and the KL
        divergence a mean over latent dimensions. `published`: the sums of AVS's code, 5 x the perceptual terms as they
        are, the photo among them in grey levels, and the KL divergence over all dimensions. It is meant for `features`
        of VGG-19, whose Keras weights AVS takes. Those of torchvision, which `jaxlm.convert` reads, see
        ImageNet-normalised pixels and have smaller features, so that photo and KL divergence weigh more (INFERRED).
      beta: Weight of the KL divergence after the warm-up, 1 as published.
      warmup: `linear` from 0, or `published`: almost nothing for half of the training, then linear for a quarter.
      warmup_share: Share of the training that the linear warm-up takes.
    """

    needs_all_places: ClassVar[bool] = True

    structure: Literal["dots", "boundaries", "dots_and_boundaries", "published"] = "dots_and_boundaries"
    sigma: float = 1.0
    features: str = "laplacian"
    gram_weight: float = 0.1
    loss: Literal["normalised", "published"] = "normalised"
    beta: float = 1.0
    warmup: Literal["linear", "published"] = "linear"
    warmup_share: float = 0.25

    def __post_init__(self) -> None:
        if self.sigma <= 0 or (self.structure == "published" and self.sigma % 1):
            raise ValueError(f"sigma of structure {self.structure} cannot be {self.sigma}")
        if self.beta < 0 or self.gram_weight < 0:
            raise ValueError(f"beta ({self.beta}) and gram_weight ({self.gram_weight}) must be at least 0")
        if not 0 <= self.warmup_share <= 1:
            raise ValueError(f"warmup_share must be in 0..1, not {self.warmup_share}")

    def structures(self, points: jax.Array, scheme: Scheme, size: int) -> jax.Array:
        """Structure maps [B, S, S, C] in 0..1 of points [B, N, 2] in pixels of crops of S = `size` pixels.

        Raises:
          ValueError: Boundaries are asked for, and the scheme has none.
        """
        if self.structure == "published":
            return structure_maps.published_dot_map(points, size, int(self.sigma))
        if self.structure == "dots":
            return structure_maps.dot_map(points, size, self.sigma)
        maps = structure_maps.boundary_maps(points, scheme, size, self.sigma)
        if self.structure == "boundaries":
            return maps
        return jnp.concatenate([structure_maps.dot_map(points, size, self.sigma), maps], axis=-1)

    def channels(self, scheme: Scheme) -> int:
        """Channels of the structure maps."""
        curves = len(scheme.boundaries)
        return {"published": 3, "dots": 1, "boundaries": curves, "dots_and_boundaries": 1 + curves}[self.structure]

    def kl_weight(self, total_steps: int) -> optax.Schedule:
        """Weight of the KL divergence by step of a training of `total_steps`."""
        if self.warmup == "published":
            return published_warmup(self.beta, total_steps)
        return linear_warmup(self.beta, max(1, round(self.warmup_share * total_steps)))


def linear_warmup(beta: float, steps: int) -> optax.Schedule:
    """Weight of the KL divergence that rises from 0 at step 0 to `beta` at step `steps` and stays."""
    return optax.linear_schedule(0.0, beta, steps)


def published_warmup(beta: float, total_steps: int = 50_000) -> optax.Schedule:
    """The warm-up of AVS: a millionth of `beta` for half of the training, then linear up to `beta` at three quarters.

    Nothing keeps structure out of the latents while the weight is so small; `linear_warmup` is safer.
    """
    return optax.linear_schedule(1e-6 * beta, beta, total_steps // 4, transition_begin=total_steps // 2)
