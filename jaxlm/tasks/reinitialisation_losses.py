"""Losses that train DPR (TPAMI 2021); one value per face [B].

The authors released networks, but not how they were trained. The paper names a landmark-weighted loss: landmarks of
larger errors have larger weights, and no hyper-parameter sets these. INFERRED: every formula below.
"""

from __future__ import annotations

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxlm.images import cropping
from jaxlm.models.dpr import coordinates

Weighting = Literal["none", "sample", "batch"]

# Where all errors are 0 all weights are 1.
_TINY = 1e-12


def landmark_weights(errors: jax.Array, weighting: Weighting) -> jax.Array:
    """Weights [B, N] of landmarks by their errors [B, N]; a face's weights have mean 1, and pass no gradient.

    INFERRED: `sample`, e_ij / mean_l e_il for landmark j of face i; `batch`, the same of mean_i e_ij, one set of
    weights for all faces; `none`, 1.
    """
    errors = lax.stop_gradient(errors) + _TINY
    if weighting == "none":
        return jnp.ones_like(errors)
    if weighting == "batch":
        errors = jnp.broadcast_to(errors.mean(axis=0, keepdims=True), errors.shape)
    return errors / errors.mean(axis=1, keepdims=True)


def landmark_weighted(
    predicted: jax.Array, truth: jax.Array, distance: jax.Array, weighting: Weighting = "sample"
) -> jax.Array:
    """The landmark-weighted loss [B]: mean_j w_ij e_ij^2, with e_ij = ||p_ij - g_ij|| / d_i.

    Args:
      predicted: Predicted points p [B, N, 2].
      truth: True points g [B, N, 2].
      distance: Normaliser d of each face [B], in the same unit as its points.
      weighting: How the weights w follow from the errors e; see `landmark_weights`.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    chex.assert_equal_shape([predicted, truth])
    chex.assert_shape(distance, truth.shape[:1])
    squared = jnp.sum((predicted - truth) ** 2, axis=-1) / distance[:, None] ** 2
    weights = landmark_weights(jnp.sqrt(lax.stop_gradient(squared)), weighting)
    return jnp.mean(weights * squared, axis=-1)


def theta_loss(theta: jax.Array, target: jax.Array, points: jax.Array, mean: np.ndarray, size: int) -> jax.Array:
    """Squared distance [B] of thetas, plus that of the points they move from the mean shape, averaged.

    INFERRED: ||theta - theta*||^2 + mean_j ||theta s_j - m_j||^2, the second term in fractions of the frame's side.

    Args:
      theta: Predicted theta [B, 2, 3].
      target: What it should be, theta* [B, 2, 3].
      points: True points s [B, N, 2] in pixels of the frame that theta maps from.
      mean: Mean shape m [N, 2] as fractions of the frame's side.
      size: Side of the frame that theta maps to, in pixels.
    """
    moved = cropping.move(points, coordinates.theta_to_map(theta, size)) / size
    spread = jnp.mean(jnp.sum((moved - mean[None]) ** 2, axis=-1), axis=-1)
    return jnp.sum((theta - target) ** 2, axis=(1, 2)) + spread


def affine_fit(source: jax.Array, target: jax.Array) -> jax.Array:
    """The affine map [B, 2, 3] that best takes `source` to `target` [B, N, 2] in the least-squares sense.

    Points on a line give NaN; see `affine_maps.similarity_fit` for the similarity.
    """
    source_mean, target_mean = source.mean(axis=1, keepdims=True), target.mean(axis=1, keepdims=True)
    x, y = source - source_mean, target - target_mean
    covariance = jnp.einsum("bni,bnj->bij", x, x, precision="highest")
    (a, b), (c, d) = jnp.moveaxis(covariance, 0, -1)
    inverse = jnp.stack([d, -b, -c, a], axis=-1).reshape(-1, 2, 2) / (a * d - b * c)[:, None, None]
    linear = jnp.einsum("bni,bnj,bjk->bik", y, x, inverse, precision="highest")
    shift = target_mean[:, 0] - jnp.einsum("bij,bj->bi", linear, source_mean[:, 0], precision="highest")
    return jnp.concatenate([linear, shift[:, :, None]], axis=-1)
