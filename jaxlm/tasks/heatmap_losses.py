"""Losses of predicted heat-maps [B, H, W, N]: one value per face [B].

`half_squares`, `heatmap_mse` and `adaptive_wing` compare heights with a drawn target. `soft_argmax` and `star` read a
map as logits whose softmax over the cells is a probability, and compare that with true points in cells (see
jaxlm/images/heatmaps.py). Weights [B, N] are as in point_losses.py: points of weight 0 may hold anything, and a face
that has only such points costs 0.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxlm.images import heatmaps
from jaxlm.tasks.point_losses import weighted_mean

# Keeps logarithms and square roots of what may underflow finite, and their gradients.
_TINY = 1e-24


def half_squares(predicted: jax.Array, target: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """Half the sum of squared errors over the cells and maps of each face [B], in squared units of the maps' heights.

    Args:
      predicted: Predicted maps [B, H, W, N].
      target: Drawn maps [B, H, W, N].
      weight: Weight of each map [B, N]; None weighs all alike.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    squares = (predicted - _checked_target(predicted, target, weight)) ** 2
    weighted = squares if weight is None else weight[:, None, None] * squares
    return 0.5 * jnp.sum(weighted, axis=(1, 2, 3))


def heatmap_mse(predicted: jax.Array, target: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """Mean squared error over the cells and points of each face [B], in squared units of the maps' heights.

    Args:
      predicted: Predicted maps [B, H, W, N].
      target: Drawn maps [B, H, W, N].
      weight: Weight of each point [B, N]; None weighs all alike.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    error = predicted - _checked_target(predicted, target, weight)
    return weighted_mean(jnp.mean(error**2, axis=(1, 2)), weight)


def adaptive_wing(
    predicted: jax.Array,
    target: jax.Array,
    weight: jax.Array | None = None,
    omega: float = 14.0,
    theta: float = 0.5,
    epsilon: float = 1.0,
    alpha: float = 2.1,
    foreground: float = 10.0,
) -> jax.Array:
    """Weighted Adaptive Wing loss (Wang et al., ICCV 2019, arXiv 1904.07399) [B], for targets between 0 and 1.

    With d = |predicted - y| and p = alpha - y it is omega ln(1 + (d / epsilon)^p) where d < theta, else A d - C: nearly
    quadratic on the background (y = 0), a Wing loss at the peak (y = 1). A and C join the two smoothly. Cells whose
    target, dilated by 3 x 3 cells, is above 0.2 count 1 + `foreground` times, the paper's loss map with W = 10.

    Args:
      predicted: Predicted maps [B, H, W, N].
      target: Drawn maps [B, H, W, N] with a peak of 1.
      weight: Weight of each point [B, N]; None weighs all alike.
      omega: Height of the logarithm.
      theta: Where the logarithm meets the line.
      epsilon: Curvature of the logarithm.
      alpha: The exponent on the background; above 2, so that small errors there are let be.
      foreground: W of the loss map; 0 counts all cells alike.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    target = _checked_target(predicted, target, weight)
    size = jnp.abs(predicted - target)
    power = alpha - target
    join = (theta / epsilon) ** power
    slope = omega * power * join / (theta * (1.0 + join))
    offset = theta * slope - omega * jnp.log1p(join)
    # Each side of the choice sees only sizes that are its own, so that neither spoils the gradient of the other.
    logarithm = omega * jnp.log1p((jnp.minimum(size, theta) / epsilon) ** power)
    loss = jnp.where(size < theta, logarithm, slope * size - offset)
    loss *= 1.0 + foreground * (_dilate(target) > 0.2)
    return weighted_mean(loss.mean(axis=(1, 2)), weight)


def soft_argmax(
    logits: jax.Array,
    cells: jax.Array,
    weight: jax.Array | None = None,
    sigma: float = 1.0,
    divergence_weight: float = 1.0,
) -> jax.Array:
    """Distance of the mean cell and a pull towards a Gaussian (DSNT, Nibali et al., 2018, arXiv 1801.07372) [B].

    ||mean - truth|| + divergence_weight * JS(p, q), averaged over points. The distance is in units of half a map's
    side, as in the paper; JS is the Jensen-Shannon divergence in nats, between 0 and ln 2, of the softmax p from a
    Gaussian q around the true point.

    Args:
      logits: Predicted maps [B, S, S, N].
      cells: True points [B, N, 2] in cells.
      weight: Weight of each point [B, N]; None weighs all alike.
      sigma: Standard deviation of q in cells.
      divergence_weight: The paper's lambda.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    cells = _checked_cells(logits, cells, weight)
    size = logits.shape[1]
    log_p = jax.nn.log_softmax(logits, axis=(1, 2))
    p = jnp.exp(log_p)
    log_q = heatmaps.log_gaussian_probabilities(cells, size, sigma)
    q = jnp.exp(log_q)
    log_middle = jnp.log(0.5 * (p + q) + _TINY)
    divergence = 0.5 * jnp.sum(p * (log_p - log_middle) + q * (log_q - log_middle), axis=(1, 2))
    distance = optax.safe_norm(heatmaps.expectation(p) - cells, 0.0, axis=-1) * 2.0 / size
    return weighted_mean(distance + divergence_weight * divergence, weight)


def star(
    logits: jax.Array,
    cells: jax.Array,
    weight: jax.Array | None = None,
    restriction: float = 1.0,
    beta: float = 0.01,
) -> jax.Array:
    """Self-adaptive ambiguity reduction (STAR, Zhou et al., CVPR 2023, arXiv 2306.02763) [B].

    The error of the mean cell is split along the principal axes of the softmax's covariance; each part counts by its
    smooth L1 divided by the square root of its axis' eigenvalue, so that an error along the direction in which the map
    is spread, an edge's say, costs less. `restriction` times the sum of the eigenvalues keeps maps from spreading for
    that reason alone. Coordinates run from -1 at the first cell to 1 at the last.

    From the released code: smooth L1 with beta = 0.01, restriction 1, the unbiased covariance, and eigenvalues that
    pass the gradient. INFERRED: the axes do not pass it, as their gradient is unbounded where both eigenvalues are
    equal.

    Args:
      logits: Predicted maps [B, S, S, N].
      cells: True points [B, N, 2] in cells.
      weight: Weight of each point [B, N]; None weighs all alike.
      restriction: The paper's omega, the weight of the eigenvalues.
      beta: Where the parabola of smooth L1 meets the line, in half sides of the map.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    cells = _checked_cells(logits, cells, weight)
    half_side = 0.5 * (logits.shape[1] - 1)
    p = heatmaps.probabilities(logits)
    mean = heatmaps.expectation(p)
    xx, xy, yy = _covariance(p, mean) / half_side**2
    middle, difference = 0.5 * (xx + yy), 0.5 * (xx - yy)
    radius = jnp.sqrt(difference**2 + xy**2 + _TINY)
    eigenvalues = jnp.stack([middle + radius, jnp.maximum(middle - radius, 0.0)], axis=-1)
    angle = lax.stop_gradient(0.5 * jnp.arctan2(xy, difference))
    x, y = jnp.moveaxis((cells - mean) / half_side, -1, 0)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    errors = jnp.stack([cosine * x + sine * y, cosine * y - sine * x], axis=-1)
    scaled = optax.losses.huber_loss(errors, delta=beta) / beta / jnp.sqrt(eigenvalues + 1e-5)
    return weighted_mean(jnp.sum(scaled + restriction * eigenvalues, axis=-1), weight)


def _checked_target(predicted: jax.Array, target: jax.Array, weight: jax.Array | None) -> jax.Array:
    """Target maps, and zeros for points of weight 0, where a NaN would reach the gradient."""
    chex.assert_rank(target, 4)
    chex.assert_equal_shape([predicted, target])
    if weight is None:
        return target
    chex.assert_shape(weight, (target.shape[0], target.shape[3]))
    return jnp.where(weight[:, None, None] > 0, target, 0.0)


def _checked_cells(logits: jax.Array, cells: jax.Array, weight: jax.Array | None) -> jax.Array:
    """True points, and (0, 0) for those of weight 0, where a NaN would reach the gradient."""
    chex.assert_shape(logits, (None, logits.shape[1], logits.shape[1], None))
    chex.assert_shape(cells, (logits.shape[0], logits.shape[3], 2))
    if weight is None:
        return cells
    chex.assert_shape(weight, cells.shape[:2])
    return jnp.where(weight[..., None] > 0, cells, 0.0)


def _dilate(maps: jax.Array) -> jax.Array:
    """The highest of the 3 x 3 cells around each cell of maps [B, H, W, N]."""
    for axis in (1, 2):
        edges = [(0, 0)] * 4
        edges[axis] = (1, 1)
        padded = jnp.pad(maps, edges, mode="edge")
        neighbours = [lax.slice_in_dim(padded, i, i + maps.shape[axis], axis=axis) for i in (0, 2)]
        maps = jnp.maximum(maps, jnp.maximum(*neighbours))
    return maps


def _covariance(p: jax.Array, mean: jax.Array) -> jax.Array:
    """Unbiased covariance xx, xy, yy [3, B, N] in cells of probabilities [B, H, W, N] around mean cells [B, N, 2]."""
    x = jnp.arange(p.shape[2], dtype=p.dtype)[None, :, None] - mean[:, None, :, 0]
    y = jnp.arange(p.shape[1], dtype=p.dtype)[None, :, None] - mean[:, None, :, 1]
    moment_x = jnp.sum(p * x[:, None], axis=2)
    xx, xy = jnp.sum(p.sum(axis=1) * x**2, axis=1), jnp.sum(moment_x * y, axis=1)
    yy = jnp.sum(p.sum(axis=2) * y**2, axis=1)
    correction = 1.0 - jnp.sum(p**2, axis=(1, 2)) + 1e-5
    return jnp.stack([xx, xy, yy]) / correction[None]
