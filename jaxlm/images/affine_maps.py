"""Affine maps [..., 2, 3] of points (x, y): composed, inverted, fitted; all differentiable."""

from __future__ import annotations

import jax
import jax.numpy as jnp

_HIGHEST = jax.lax.Precision.HIGHEST


def determinant(matrix: jax.Array) -> jax.Array:
    """Determinant [...] of the linear part of maps [..., 2, 3]: by how much they enlarge areas."""
    return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]


def compose(second: jax.Array, first: jax.Array) -> jax.Array:
    """The map [..., 2, 3] that applies `first` and then `second`."""
    linear = jnp.matmul(second[..., :2], first[..., :2], precision=_HIGHEST)
    shift = jnp.matmul(second[..., :2], first[..., 2:], precision=_HIGHEST) + second[..., 2:]
    return jnp.concatenate([linear, shift], axis=-1)


def invert(matrix: jax.Array) -> jax.Array:
    """The inverse of maps [..., 2, 3]; infinite or NaN where a map flattens the plane."""
    (a, b), (c, d) = (matrix[..., 0, 0], matrix[..., 0, 1]), (matrix[..., 1, 0], matrix[..., 1, 1])
    adjugate = jnp.stack([jnp.stack([d, -b], axis=-1), jnp.stack([-c, a], axis=-1)], axis=-2)
    linear = adjugate / determinant(matrix)[..., None, None]
    return jnp.concatenate([linear, -jnp.matmul(linear, matrix[..., 2:], precision=_HIGHEST)], axis=-1)


def similarity_fit(source: jax.Array, target: jax.Array) -> jax.Array:
    """The similarity [..., 2, 3] that best takes `source` to `target` [..., N, 2] in the least-squares sense.

    The differentiable form of `jaxlm.landmarks.geometry.similarity_fit`; points that coincide give NaN.
    """
    source_mean, target_mean = source.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    x, y = jnp.moveaxis(source - source_mean, -1, 0)
    u, v = jnp.moveaxis(target - target_mean, -1, 0)
    spread = jnp.sum(x * x + y * y, axis=-1)
    a, b = jnp.sum(x * u + y * v, axis=-1) / spread, jnp.sum(x * v - y * u, axis=-1) / spread
    linear = jnp.stack([jnp.stack([a, -b], axis=-1), jnp.stack([b, a], axis=-1)], axis=-2)
    shift = jnp.swapaxes(target_mean, -1, -2) - jnp.matmul(
        linear, jnp.swapaxes(source_mean, -1, -2), precision=_HIGHEST
    )
    return jnp.concatenate([linear, shift], axis=-1)
