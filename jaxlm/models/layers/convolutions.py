"""Layers that several models share: the operators of jaxlm/models/layers/operators.py as modules.

Each has the parameters of its Flax counterpart, so that weights fit either form of the operator.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.layers import operators

Shape = tuple[int, ...]

_INIT = nn.initializers.kaiming_normal()
# Each output pixel of a 4 x 4 transposed convolution with stride 2 meets a quarter of the kernel.
_TRANSPOSED_INIT = nn.initializers.variance_scaling(8.0, "fan_in", "truncated_normal", in_axis=-1, out_axis=-2)


class Conv3x3(nn.Module):
    """3 x 3 convolution, padding 1: [B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), features].

    Parameters are those of `nn.Conv(features, (3, 3), strides=stride, padding=1, use_bias=use_bias)`.
    """

    features: int
    stride: int = 1
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = _INIT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (3, 3, x.shape[-1], self.features), jnp.float32)
        x = operators.conv_3x3(x.astype(self.dtype), kernel.astype(self.dtype), self.stride)
        if not self.use_bias:
            return x
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        return x + bias.astype(self.dtype)[None, None, None]

    def count_macs(self, input_shape: Shape, output_shape: Shape) -> tuple[int, int]:
        """Products and element-wise operations, for `jaxlm.summary`; a bias is one for each output element."""
        size = math.prod(output_shape)
        return 9 * input_shape[-1] * size, size if self.use_bias else 0


class Conv1x1(nn.Module):
    """Convolution of single pixels: [B, H, W, C] -> [B, H, W, features].

    Parameters and their first values are those of `nn.Conv(features, (1, 1), use_bias=use_bias)`.
    """

    features: int
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (1, 1, x.shape[-1], self.features), jnp.float32)
        x = operators.conv(x.astype(self.dtype), kernel.astype(self.dtype))
        if not self.use_bias:
            return x
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        return x + bias.astype(self.dtype)[None, None, None]

    def count_macs(self, input_shape: Shape, output_shape: Shape) -> tuple[int, int]:
        """Products and element-wise operations, for `jaxlm.summary`; a bias is one for each output element."""
        size = math.prod(output_shape)
        return input_shape[-1] * size, size if self.use_bias else 0


class DepthwiseConv3x3(nn.Module):
    """3 x 3 convolution of each channel by itself, no bias, padding 1: [B, H, W, C] -> [B, ceil(H / stride), ..., C].

    Parameters are those of `nn.Conv(C, (3, 3), strides=stride, padding=1, feature_group_count=C, use_bias=False)`.
    """

    stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", _INIT, (3, 3, 1, x.shape[-1]), jnp.float32)
        return operators.depthwise_conv_3x3(x.astype(self.dtype), kernel.astype(self.dtype), self.stride)

    def count_macs(self, input_shape: Shape, output_shape: Shape) -> tuple[int, int]:
        """Products and element-wise operations, for `jaxlm.summary`."""
        del input_shape
        return 9 * math.prod(output_shape), 0


class ConvTranspose4x4(nn.Module):
    """4 x 4 transposed convolution without bias, stride 2, padding 1: [B, H, W, C] -> [B, 2 H, 2 W, features].

    Equal to PyTorch's `ConvTranspose2d(C, features, 4, 2, 1, bias=False)`. Parameters are those of
    `nn.ConvTranspose(features, (4, 4), strides=(2, 2), padding="SAME", transpose_kernel=True, use_bias=False)`: the
    kernel [4, 4, features, C] is PyTorch's [C, features, 4, 4] with its axes in another order, nothing mirrored.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", _TRANSPOSED_INIT, (4, 4, self.features, x.shape[-1]), jnp.float32)
        return operators.conv_transpose_4x4(x.astype(self.dtype), kernel.astype(self.dtype))

    def count_macs(self, input_shape: Shape, output_shape: Shape) -> tuple[int, int]:
        """Products and element-wise operations, for `jaxlm.summary`; every input pixel meets the whole kernel."""
        return math.prod(input_shape) * 16 * output_shape[-1], 0


class MaxPool3x3(nn.Module):
    """Maximum over 3 x 3 pixels, stride 2, padding 1: [B, H, W, C] -> [B, ceil(H / 2), ceil(W / 2), C]."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return operators.max_pool_3x3(x)

    def count_macs(self, input_shape: Shape, output_shape: Shape) -> tuple[int, int]:
        """Products and element-wise operations, for `jaxlm.summary`."""
        del output_shape
        return 0, math.prod(input_shape)
