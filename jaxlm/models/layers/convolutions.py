"""Layers that several models share: the operators of jaxlm/models/layers/operators.py as modules.

Each has the parameters of its Flax counterpart, so that weights fit either form of the operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.layers import operators

Shape = tuple[int, ...]
Operator = Callable[[jax.Array, jax.Array], jax.Array]

_INIT = nn.initializers.kaiming_normal()
# Each output pixel of a 4 x 4 transposed convolution with stride 2 meets a quarter of the kernel.
_TRANSPOSED_INIT = nn.initializers.variance_scaling(8.0, "fan_in", "truncated_normal", in_axis=-1, out_axis=-2)


def _convolve(module: Conv1x1 | Conv3x3, side: int, operator: Operator, x: jax.Array) -> jax.Array:
    """Convolves x with the module's kernel [side, side, C, features], and adds its bias, if it has one."""
    shape = (side, side, x.shape[-1], module.features)
    kernel = module.param("kernel", module.kernel_init, shape, jnp.float32)
    x = operator(x.astype(module.dtype), kernel.astype(module.dtype))
    if not module.use_bias:
        return x
    bias = module.param("bias", nn.initializers.zeros_init(), (module.features,), jnp.float32)
    return x + bias.astype(module.dtype)[None, None, None]


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
        return _convolve(self, 3, partial(operators.conv_3x3, stride=self.stride), x)

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
        return _convolve(self, 1, operators.conv, x)

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
