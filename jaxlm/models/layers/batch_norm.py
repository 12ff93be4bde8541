"""Batch normalisation whose running variance may be PyTorch's, and its statistics, which SepBN shares."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike


class BatchNorm(nn.Module):
    """Flax's BatchNorm bit for bit, with the running variance that PyTorch keeps as an option.

    Attributes:
      unbiased_running_var: See `running_statistics`.
      momentum: Share of the old running statistics kept in each step.
      epsilon: Added to the variance.
      dtype: Type of the result; the input's if None.
    """

    unbiased_running_var: bool = False
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool) -> jax.Array:
        """Normalises x [B, H, W, C]."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        mean, var = running_statistics(
            self, x, use_running_average, momentum=self.momentum, unbiased=self.unbiased_running_var
        )
        factor = jax.lax.rsqrt(var + self.epsilon) * scale
        y = (x - mean[None, None, None]) * factor[None, None, None] + bias[None, None, None]
        return y.astype(self.dtype or x.dtype)


def running_statistics(
    module: nn.Module, x: jax.Array, use_running_average: bool, *, momentum: float, unbiased: bool
) -> tuple[jax.Array, jax.Array]:
    """Mean [C] and biased variance [C], in float32, to normalise x [B, H, W, C] with.

    They are the running ones, `mean` and `var` in the module's collection `batch_stats`, or those of the batch, which
    then move the running ones. When the batch is sharded under jit they span the global batch.

    Args:
      module: The layer that owns the running statistics.
      x: What it normalises.
      use_running_average: Take the running statistics and leave them as they are.
      momentum: Share of the old running statistics kept.
      unbiased: Keep n / (n - 1) times the batch variance as the running one, with n = B H W, as PyTorch does. Flax
        keeps the batch variance itself. What the batch is normalised with is the same.
    """
    running_mean = module.variable("batch_stats", "mean", jnp.zeros, (x.shape[-1],), jnp.float32)
    running_var = module.variable("batch_stats", "var", jnp.ones, (x.shape[-1],), jnp.float32)
    if use_running_average:
        return running_mean.value, running_var.value
    mean, var = batch_statistics(x)
    if not module.is_initializing():
        count = x.size // x.shape[-1]
        kept_var = var * (count / max(count - 1, 1)) if unbiased else var
        running_mean.value = momentum * running_mean.value + (1 - momentum) * mean
        running_var.value = momentum * running_var.value + (1 - momentum) * kept_var
    return mean, var


def batch_statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean [C] and biased variance [C] of x [B, H, W, C], in float32.

    The variance is E[x^2] - E[x]^2, as in Flax's BatchNorm: one pass, and exact enough while the mean of a channel is
    not many times its deviation, which holds for convolutions of normalised images.
    """
    x = x.astype(jnp.float32)
    mean = x.mean((0, 1, 2))
    return mean, jnp.maximum(0.0, jnp.square(x).mean((0, 1, 2)) - jnp.square(mean))
