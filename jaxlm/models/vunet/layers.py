"""Layers of the variational U-Net: weight-normalised convolutions, residual blocks, and priors of its latents."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from jaxlm.models.layers.operators import conv_3x3

# Statistics of fewer images say little of those that follow; the published recipe takes 16.
MIN_INIT_IMAGES = 4

_NHWC = ("NHWC", "HWIO", "NHWC")


class WeightNormConv(nn.Module):
    """Weight-normalised convolution (Salimans and Kingma, NeurIPS 2016): its kernel is g v / ||v||, plus a bias b.

    [B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), features]. Norms are taken of what makes up one output
    channel. `init` starts g and b from its own input: each output channel then has mean 0 and variance 1 over that
    batch. So `init` wants normalised images of real faces, at least `MIN_INIT_IMAGES`, best 16 as published.

    Attributes:
      features: Output channels.
      size: Side of the kernel, 3 or 1.
      stride: 1 or 2; for 2, even sides are padded below and on the right alone, as in TensorFlow.
      dtype: Type of the computation; parameters and norms are float32.
    """

    features: int
    size: int = 3
    stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        v = self.param("v", nn.initializers.normal(0.05), shape, jnp.float32)
        kernel = v / jnp.sqrt(jnp.sum(v**2, axis=(0, 1, 2), keepdims=True))
        x = _convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.stride)
        # Flax looks at the shapes of initial values whenever the layer runs.
        mean, scale = jnp.zeros((2, self.features))
        if self.is_initializing():
            _check_init_batch(x.shape[0])
            mean = jnp.mean(x, axis=(0, 1, 2), dtype=jnp.float32)
            scale = lax.rsqrt(jnp.var(x, axis=(0, 1, 2), dtype=jnp.float32) + 1e-8)
        g = self.param("g", lambda _: scale)
        b = self.param("b", lambda _: -mean * scale)
        return x * g[None, None, None].astype(self.dtype) + b[None, None, None].astype(self.dtype)


class Upsample(nn.Module):
    """Sub-pixel convolution (Shi et al., CVPR 2016): [B, H, W, C] -> [B, 2 H, 2 W, features]."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return depth_to_space(WeightNormConv(4 * self.features, dtype=self.dtype, name="conv")(x))


class ResidualBlock(nn.Module):
    """x + conv(dropout(ELU([x, a]))), where a is an ELU and a 1 x 1 convolution of `extra`, if that is given.

    `x` is [B, H, W, C] and so is the result; `extra` is [B, H, W, D]. With train = True it draws from the stream
    `dropout`.
    """

    dropout: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, extra: jax.Array | None = None, *, train: bool) -> jax.Array:
        residual = x
        if extra is not None:
            extra = WeightNormConv(x.shape[-1], size=1, dtype=self.dtype, name="extra")(nn.elu(extra))
            residual = jnp.concatenate([x, extra], axis=-1)
        residual = nn.Dropout(self.dropout)(nn.elu(residual), deterministic=not train)
        return x + WeightNormConv(x.shape[-1], dtype=self.dtype, name="conv")(residual)


class FactorisedPrior(nn.Module):
    """Means [B, H, W, features] of a prior whose elements are independent, given x [B, H, W, C], and the latents.

    Latents that are not given are drawn, from the stream `latent`.
    """

    features: int
    dropout: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, latents: jax.Array | None, *, train: bool) -> tuple[jax.Array, jax.Array]:
        x = ResidualBlock(self.dropout, self.dtype, name="block")(x, train=train)
        means = WeightNormConv(self.features, dtype=self.dtype, name="mean")(x).astype(jnp.float32)
        return means, draw_latents(self, means) if latents is None else latents


class AutoregressivePrior(nn.Module):
    """The published prior: the four sub-lattices of the latents one after another, each given those before it.

    See `FactorisedPrior` for what it takes and returns; H and W are even.
    """

    features: int
    dropout: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, latents: jax.Array | None, *, train: bool) -> tuple[jax.Array, jax.Array]:
        block = partial(ResidualBlock, self.dropout, self.dtype)
        x = space_to_depth(block(name="block")(x, train=train))
        given = None if latents is None else split_groups(latents)
        means, values = [], []
        for group in range(4):
            mean = WeightNormConv(self.features, dtype=self.dtype, name=f"mean{group}")(x).astype(jnp.float32)
            means.append(mean)
            values.append(draw_latents(self, mean) if given is None else given[group])
            if group < 3:
                x = block(name=f"feedback{group}")(x, values[-1], train=train)
        return merge_groups(means), merge_groups(values)


def draw_latents(module: nn.Module, means: jax.Array) -> jax.Array:
    """A draw from the Gaussian of these means and variance 1, float32, by the stream `latent` of the module."""
    return means + jax.random.normal(module.make_rng("latent"), means.shape, jnp.float32)


def space_to_depth(x: jax.Array) -> jax.Array:
    """[B, 2 H, 2 W, C] -> [B, H, W, 4 C]: channel (2 i + j) C + c is channel c of row i, column j of a 2 x 2 block."""
    batch, height, width, channels = x.shape
    blocks = x.reshape(batch, height // 2, 2, width // 2, 2, channels).swapaxes(2, 3)
    return blocks.reshape(batch, height // 2, width // 2, 4 * channels)


def depth_to_space(x: jax.Array) -> jax.Array:
    """[B, H, W, 4 C] -> [B, 2 H, 2 W, C], the inverse of `space_to_depth`."""
    batch, height, width, channels = x.shape
    blocks = x.reshape(batch, height, width, 2, 2, channels // 4).swapaxes(2, 3)
    return blocks.reshape(batch, 2 * height, 2 * width, channels // 4)


def split_groups(x: jax.Array) -> list[jax.Array]:
    """The sub-lattices [B, H, W, C] of [B, 2 H, 2 W, C] that start at (row, column) (0, 0), (0, 1), (1, 0), (1, 1)."""
    return jnp.split(space_to_depth(x), 4, axis=-1)


def merge_groups(groups: list[jax.Array]) -> jax.Array:
    """The inverse of `split_groups`."""
    return depth_to_space(jnp.concatenate(groups, axis=-1))


def _convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    if kernel.shape[0] == 1:
        return jnp.dot(x, kernel[0, 0])
    if stride == 1:
        return conv_3x3(x, kernel)
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=_NHWC)


def _check_init_batch(count: int) -> None:
    if count < MIN_INIT_IMAGES:
        raise ValueError(
            f"weight-normalised layers start from the statistics of real images: init wants {MIN_INIT_IMAGES} different"
            f" ones at least, best 16, and got {count}"
        )
