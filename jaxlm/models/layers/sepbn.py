"""Separable batch normalisation: one normalisation, several affine maps, mixed for each face by attention."""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike, DTypeLike

from jaxlm.models.layers.batch_norm import running_statistics


class SeparableBatchNorm(nn.Module):
    """Batch normalisation whose scale and shift are chosen for each sample (SepBN, arXiv 2101.06663).

    With channel c in group g(c), statistics shared by all sets, and attention p that looks at the raw input:

        p[b, g, :] = softmax(attention(x[b])[g, :] / temperature)
        y[b, ..., c] = sum_k p[b, g(c), k] scale[k, c] * (x[b, ..., c] - mean[c]) / sqrt(var[c] + epsilon)
                       + sum_k p[b, g(c), k] bias[k, c]

    This equals the authors' mean of K whole BatchNorms, which share their statistics, without K copies of x. The
    statistics are float32 and span the global batch when the batch is sharded under jit. p [B, G, K] is sown as
    `attention` into the collection `intermediates`.

    Attributes:
      sets: K, how many affine maps there are.
      groups: G, how many blocks of neighbouring channels have their own attention.
      attention: "code" is the authors' released form, for one group: average pool, C -> int(ratio C), LeakyReLU, -> K.
        "grouped" follows the figure of the BMVC 2021 paper: average pool to T x T, C -> G, LeakyReLU, -> G K; that the
        softmax runs within each group, and the activation, are INFERRED. No map has a bias.
      ratio: Hidden width of the "code" form as a part of C, at least 1.
      pool: T of the "grouped" form; divides the height and the width of the input.
      unbiased_running_var: See `batch_norm.running_statistics`. PyTorch keeps the unbiased one, and so does the
        authors' code, whose training steps this option reproduces.
      momentum: Share of the old running statistics kept in each step.
      epsilon: Added to the variance.
      dtype: Type of the result; the input's if None.
    """

    sets: int = 3
    groups: int = 1
    attention: Literal["code", "grouped"] = "code"
    ratio: float = 0.1
    pool: int = 1
    unbiased_running_var: bool = False
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool, temperature: ArrayLike = 1.0) -> jax.Array:
        """Normalises x [B, H, W, C]; a higher `temperature` makes the mixture more even.

        Raises:
          ValueError: The options contradict each other or the input's shape.
        """
        self._check(x.shape)
        channels = x.shape[-1]
        weights = nn.softmax(self._attention_logits(x) / temperature)
        self.sow("intermediates", "attention", weights)
        scale = mix(weights, self.param("scale", nn.initializers.ones, (self.sets, channels)))
        bias = mix(weights, self.param("bias", nn.initializers.zeros, (self.sets, channels)))
        mean, var = running_statistics(
            self, x, use_running_average, momentum=self.momentum, unbiased=self.unbiased_running_var
        )
        factor = jax.lax.rsqrt(var + self.epsilon)[None] * scale
        y = (x - mean[None, None, None]) * factor[:, None, None] + bias[:, None, None]
        return y.astype(self.dtype or x.dtype)

    def count_macs(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> tuple[int, int]:
        """Products and element-wise operations, for `jaxlm.summary`: the attention; pool and normalisation."""
        batch, channels = input_shape[0], input_shape[-1]
        cells = self.pool**2
        first, second = self._attention_widths(channels)
        products = batch * (channels * first * cells + first * cells * second)
        return products, math.prod(input_shape) + 2 * math.prod(output_shape)

    def _attention_widths(self, channels: int) -> tuple[int, int]:
        if self.attention == "code":
            return max(1, int(self.ratio * channels)), self.sets
        return self.groups, self.groups * self.sets

    def _attention_logits(self, x: jax.Array) -> jax.Array:
        """[B, G, K] from the raw input [B, H, W, C], in float32."""
        batch, height, width, channels = x.shape
        cells = x.reshape(batch, self.pool, height // self.pool, self.pool, width // self.pool, channels)
        pooled = cells.mean((2, 4), dtype=jnp.float32)
        first, second = self._attention_widths(channels)
        init = nn.initializers.kaiming_uniform()
        # A matrix of all cells, as TFLite has no product of a matrix and an array of four axes.
        hidden = nn.Dense(first, use_bias=False, kernel_init=init, name="fc1")(pooled.reshape(-1, channels))
        hidden = nn.leaky_relu(hidden).reshape(batch, -1)
        logits = nn.Dense(second, use_bias=False, kernel_init=init, name="fc2")(hidden)
        return logits.reshape(batch, self.groups, self.sets)

    def _check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 4:
            raise ValueError(f"SeparableBatchNorm wants images [B, H, W, C], found shape {shape}")
        if self.attention not in ("code", "grouped"):
            raise ValueError(f"SeparableBatchNorm: attention is 'code' or 'grouped', not {self.attention!r}")
        if self.attention == "code" and (self.groups, self.pool) != (1, 1):
            raise ValueError(
                f"SeparableBatchNorm: attention 'code' has groups = 1 and pool = 1, found groups = {self.groups} and "
                f"pool = {self.pool}; use attention 'grouped'"
            )
        if self.sets < 1 or self.groups < 1 or self.pool < 1:
            raise ValueError(f"SeparableBatchNorm: sets, groups and pool start at 1, found {self}")
        if shape[-1] % self.groups:
            raise ValueError(f"SeparableBatchNorm: {shape[-1]} channels cannot be cut into {self.groups} groups")
        if shape[1] % self.pool or shape[2] % self.pool:
            raise ValueError(f"SeparableBatchNorm: pool = {self.pool} does not divide a map of {shape[1]} x {shape[2]}")


def mix(weights: jax.Array, sets: jax.Array) -> jax.Array:
    """One row of affine parameters [B, C] for each sample: weights [B, G, K] applied to sets [K, C]."""
    batch, groups, count = weights.shape
    grouped = sets.reshape(count, groups, -1)
    return jnp.einsum("bgk,kgc->bgc", weights, grouped, precision=jax.lax.Precision.HIGHEST).reshape(batch, -1)
