"""Losses of predicted points: one value per face [B].

Points are [B, N, 2] in pixels of the crop that the network sees, and so are the constants below.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp


def l1(predicted: jax.Array, truth: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """Mean absolute error over the 2N coordinates of each face [B].

    Args:
      predicted: Predicted points [B, N, 2].
      truth: True points [B, N, 2].
      weight: Weight of each point [B, N], for example its visibility; the mean is weighted by it. Points of weight 0
        may hold anything, and a face that has only such points costs 0. None weighs all points alike.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    return _mean_over_coordinates(jnp.abs(_residual(predicted, truth, weight)), weight)


def smooth_l1(predicted: jax.Array, truth: jax.Array, weight: jax.Array | None = None, beta: float = 1.0) -> jax.Array:
    """Smooth L1 (Girshick, ICCV 2015) [B]: x^2 / (2 beta) where |x| < beta, else |x| - beta / 2.

    Args:
      predicted: Predicted points [B, N, 2].
      truth: True points [B, N, 2].
      weight: Weight of each point [B, N]; see `l1`.
      beta: Where the parabola meets the line, in pixels.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    size = jnp.abs(_residual(predicted, truth, weight))
    return _mean_over_coordinates(jnp.where(size < beta, 0.5 * size**2 / beta, size - 0.5 * beta), weight)


def wing(
    predicted: jax.Array, truth: jax.Array, weight: jax.Array | None = None, width: float = 10.0, epsilon: float = 2.0
) -> jax.Array:
    """Wing loss (Feng et al., CVPR 2018, equation 5) [B], which weighs small errors more than L1 does.

    With w = `width`: w ln(1 + |x| / epsilon) where |x| < w, else |x| - C; C = w - w ln(1 + w / epsilon) joins the two.

    Args:
      predicted: Predicted points [B, N, 2].
      truth: True points [B, N, 2].
      weight: Weight of each point [B, N]; see `l1`.
      width: Where the logarithm meets the line, in pixels.
      epsilon: Curvature of the logarithm, in pixels.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    size = jnp.abs(_residual(predicted, truth, weight))
    logarithm = width * jnp.log1p(size / epsilon)
    offset = width - width * jnp.log1p(width / epsilon)
    return _mean_over_coordinates(jnp.where(size < width, logarithm, size - offset), weight)


def weighted_mean(per_point: jax.Array, weight: jax.Array | None) -> jax.Array:
    """Mean [B] of values [B, N], weighted by [B, N] unless that is None; 0 for a face without weight."""
    if weight is None:
        return per_point.mean(axis=-1)
    total = weight.sum(axis=-1)
    return (per_point * weight).sum(axis=-1) / jnp.where(total > 0, total, 1)


LOSSES: dict[str, Callable[..., jax.Array]] = {"l1": l1, "smooth_l1": smooth_l1, "wing": wing}


def _residual(predicted: jax.Array, truth: jax.Array, weight: jax.Array | None) -> jax.Array:
    """Predicted - truth [B, N, 2], and 0 at points of weight 0, where a NaN would reach the gradient."""
    chex.assert_equal_shape([predicted, truth])
    chex.assert_shape(truth, (None, None, 2))
    if weight is None:
        return predicted - truth
    chex.assert_shape(weight, truth.shape[:2])
    return jnp.where(weight[..., None] > 0, predicted - truth, 0)


def _mean_over_coordinates(values: jax.Array, weight: jax.Array | None) -> jax.Array:
    """Mean [B] of values [B, N, 2] over coordinates and points; 0 for a face without weight."""
    return weighted_mean(values.mean(axis=-1), weight)
