"""Losses of LAB's adversary (Wu et al., CVPR 2018), which judges how effective boundary maps are.

`BoundaryObjective` plays the game; here are its terms, means over a batch.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from jaxlm.landmarks import Scheme

# INFERRED: the paper's value is unknown; this is that of a later build.
_EFFECTIVE_SHARE = 0.8

# Keeps the logarithm of what the estimator minimises finite.
_TINY = 1e-6


def is_effective(predicted: jax.Array, truth: jax.Array, scheme: Scheme, near: float) -> jax.Array:
    """1 for each boundary [B, K] of which at least 0.8 of the landmarks are well predicted, else 0.

    Args:
      predicted: Predicted points [B, N, 2].
      truth: True points [B, N, 2].
      scheme: The scheme whose boundaries these are.
      near: How far from the truth a landmark may be, in the unit of the points.
    """
    is_near = jnp.sum((predicted - truth) ** 2, axis=-1) <= near**2
    share = jnp.stack([is_near[:, list(curve)].mean(axis=1) for curve in scheme.boundaries.values()], axis=1)
    # A share that is the limit passes, whatever rounding does to it.
    return (share > _EFFECTIVE_SHARE - 1e-4).astype(jnp.float32)


def discriminator_loss(real: jax.Array, fake: jax.Array, effective: jax.Array) -> jax.Array:
    """What the discriminator minimises, a scalar, from its logits [B, K] of true and of estimated maps.

    -mean log D(M) - mean log(1 - |D(G) - effective|), with M the true maps, G the estimated ones and `effective` [B, K]
    that of `is_effective`. As it is 0 or 1, this is the binary cross-entropy of true maps with 1 and of the others with
    `effective`.
    """
    cross_entropy = optax.losses.sigmoid_binary_cross_entropy
    return jnp.mean(cross_entropy(real, jnp.ones_like(real))) + jnp.mean(cross_entropy(fake, effective))


def adversarial_loss(logits: jax.Array) -> jax.Array:
    """What the estimator minimises, a scalar: mean log(1 - D(G)), from the logits [B, K] of its maps."""
    return jnp.mean(jnp.log(jax.nn.sigmoid(-logits) + _TINY))
