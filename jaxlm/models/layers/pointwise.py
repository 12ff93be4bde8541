"""Convolutions of single pixels as products of matrices, with gradients of the same form.

XLA's CPU backend runs the kernel gradient of a 1 x 1 convolution as one whose window is the whole map;
benchmarks/README.md has the measurements.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

Residuals = tuple[jax.Array, jax.Array]


@jax.custom_vjp
def by_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves x [B, H, W, C] with kernel [1, 1, C, D]."""
    return x @ kernel[0, 0]


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Residuals]:
    return by_product(x, kernel), (x, kernel)


def _backward(residuals: Residuals, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Without the barrier XLA computes the gradient of a normalisation that follows anew for each of both products."""
    x, kernel = residuals
    gradient = jax.lax.optimization_barrier(gradient)
    return gradient @ kernel[0, 0].T, jnp.einsum("bhwc,bhwd->cd", x, gradient)[None, None]


by_product.defvjp(_forward, _backward)
