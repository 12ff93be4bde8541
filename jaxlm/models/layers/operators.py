"""Operators in forms that XLA's CPU backend runs fast.

XLA:CPU is slow at depthwise and transposed convolutions, at the kernel gradient of large dense ones, at dense ones that
give 2 x 2 pixels, at those of single pixels, and at the gradient of max-pooling; benchmarks/README.md has the
measurements. Each such operator is a function here with two forms that agree to rounding.
jaxlm/models/layers/convolutions.py has the modules.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from functools import reduce
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxlm.models.layers import depthwise, pointwise
from jaxlm.models.layers.depthwise import Padding, same_padding, shifts

Target = Literal["cpu", "accelerator"]
Residuals = tuple[jax.Array, jax.Array]

# What programs are being traced for; None: this process's device.
_TARGET: ContextVar[Target | None] = ContextVar("target", default=None)

# Products for each tap of a convolution from which on XLA's kernel gradient is the slower one, by measurement.
_LARGE = 2**30

# Channels that are too few for XLA's convolutions of stride 2: those of a photo.
_FEW = 4

_NHWC = ("NHWC", "HWIO", "NHWC")
_PAD_ONE = ((1, 1), (1, 1))


def rewritten() -> bool:
    """The one rule for all operators: the rewritten form on a CPU, XLA's own operator on any other device."""
    return (_TARGET.get() or jax.default_backend()) == "cpu"


@contextlib.contextmanager
def traced_for(target: Target) -> Iterator[None]:
    """Operators traced while entered take the form for `target`, whatever device this process has."""
    token = _TARGET.set(target)
    try:
        yield
    finally:
        _TARGET.reset(token)


def conv_3x3(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolves x [B, H, W, C] with kernel [3, 3, C, D], padding 1.

    The CPU form of a result of at most 2 x 2 pixels is one product of all patches with the kernel; for stride 1 that of
    a large convolution has a kernel gradient of its own, value and input gradient being XLA's; for stride 2 that of
    a photo sees blocks of 2 x 2 pixels as channels.
    """
    if not rewritten():
        return _convolve(x, kernel, stride)
    if max(x.shape[1:3]) <= 2 * stride:
        return _conv_3x3_of_tiny(x, kernel, stride)
    if stride == 1:
        return _conv_3x3(x, kernel)
    if stride == 2 and x.shape[-1] <= _FEW and x.shape[1] % 2 == x.shape[2] % 2 == 0:
        return _conv_3x3_of_blocks(x, kernel)
    return _convolve(x, kernel, stride)


def conv(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolves x [B, H, W, C] with kernel [k, k, C, D], padding "SAME" as TensorFlow has it.

    The CPU form of a kernel of one pixel, with stride 1, is a product of matrices; other kernels have one form.
    """
    if rewritten() and kernel.shape[:2] == (1, 1) and stride == 1:
        return pointwise.by_product(x, kernel)
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=_NHWC)


def depthwise_conv(x: jax.Array, kernel: jax.Array, stride: int = 1, padding: Padding | None = None) -> jax.Array:
    """Convolves each channel of x [B, H, W, C] with its own part of kernel [k, k, 1, C], by default with "SAME".

    The CPU form is shifted multiply-adds.
    """
    padding = padding or same_padding(x.shape, kernel.shape[0], stride)
    if rewritten():
        return depthwise.by_shifts(x, kernel, stride, padding)
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=_NHWC, feature_group_count=x.shape[-1]
    )


def depthwise_conv_3x3(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """`depthwise_conv` with kernel [3, 3, 1, C], padding 1."""
    return depthwise_conv(x, kernel, stride, _PAD_ONE)


def conv_transpose_4x4(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Transposed convolution of x [B, H, W, C] with kernel [4, 4, D, C], stride 2, padding 1: [B, 2 H, 2 W, D].

    The CPU form computes the four phases of the output as 2 x 2 convolutions, without the zeros that a transposed
    convolution puts between pixels, and interleaves them.
    """
    if rewritten():
        return _conv_transpose_4x4(x, kernel)
    return lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=_NHWC, transpose_kernel=True)


def max_pool_3x3(x: jax.Array) -> jax.Array:
    """Maximum of x [B, H, W, C] over 3 x 3 pixels, stride 2, padding 1: [B, ceil(H / 2), ceil(W / 2), C].

    Of equal elements the first in reading order takes the gradient, in both forms.
    """
    if not rewritten():
        return nn.max_pool(x, (3, 3), (2, 2), _PAD_ONE)
    height, width = x.shape[1:3]
    padded = _pad(x, -jnp.inf)
    x = reduce(_first_maximum, (padded[:, :, start : start + width : 2] for start in range(3)))
    return reduce(_first_maximum, (x[:, start : start + height : 2] for start in range(3)))


@jax.jit
def max_pool_2x2(x: jax.Array) -> jax.Array:
    """Maximum of each 2 x 2 block: [B, H, W, C] -> [B, H // 2, W // 2, C]; an odd last row or column is dropped.

    Equal to `flax.linen.max_pool(x, (2, 2), (2, 2))`, whose gradient takes 3.6 times as long on XLA's CPU backend.
    Where several elements are the maximum, they share its gradient.
    """
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    rows = jnp.maximum(x[:, 0:height:2], x[:, 1:height:2])
    return jnp.maximum(rows[:, :, 0:width:2], rows[:, :, 1:width:2])


def _convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (stride, stride), _PAD_ONE, dimension_numbers=_NHWC)


def _conv_3x3_of_tiny(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    return jnp.concatenate([*shifts(x, 3, stride, _PAD_ONE)], axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def _conv_3x3_of_blocks(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stride 2: output pixel m sees rows 2 m - 1 to 2 m + 1, the second row of block m - 1 and both of block m."""
    batch, height, width, inputs = x.shape
    blocks = x.reshape(batch, height // 2, 2, width // 2, 2, inputs).swapaxes(2, 3)
    blocks = blocks.reshape(batch, height // 2, width // 2, 4 * inputs)
    kernel = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0))).reshape(2, 2, 2, 2, inputs, -1).swapaxes(1, 2)
    kernel = kernel.reshape(2, 2, 4 * inputs, -1)
    return lax.conv_general_dilated(blocks, kernel, (1, 1), ((1, 0), (1, 0)), dimension_numbers=_NHWC)


@jax.custom_vjp
def _conv_3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _convolve(x, kernel)


def _conv_3x3_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Residuals]:
    return _convolve(x, kernel), (x, kernel)


def _conv_3x3_backward(residuals: Residuals, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A large kernel's gradient is products of x with the nine shifts of the output's gradient, three at a time.

    Shifting the gradient lets XLA transpose x once for all products.
    """
    x, kernel = residuals
    inputs, outputs = kernel.shape[2:]
    if inputs <= 2 * outputs and x.size * outputs < _LARGE:
        return jax.vjp(_convolve, x, kernel)[1](gradient)
    (x_gradient,) = jax.linear_transpose(lambda x: _convolve(x, kernel), x)(gradient)
    height, width = x.shape[1:3]
    padded = _pad(gradient)
    columns = jnp.concatenate([padded[:, :, 2 - column : 2 - column + width] for column in range(3)], axis=-1)
    rows = [_product(x, columns[:, 2 - row : 2 - row + height]) for row in range(3)]
    return x_gradient, jnp.stack(rows).reshape(3, inputs, 3, outputs).swapaxes(1, 2)


_conv_3x3.defvjp(_conv_3x3_forward, _conv_3x3_backward)


@jax.custom_vjp
def _conv_transpose_4x4(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Output row 2 m is x[m - 1] kernel[3] + x[m] kernel[1], row 2 m + 1 is x[m] kernel[2] + x[m + 1] kernel[0]."""
    kernel = kernel.swapaxes(2, 3)
    phases = ((slice(3, None, -2), (1, 0)), (slice(2, None, -2), (0, 1)))
    rows = []
    for row, row_pad in phases:
        columns = [
            lax.conv_general_dilated(x, kernel[row, column], (1, 1), (row_pad, column_pad), dimension_numbers=_NHWC)
            for column, column_pad in phases
        ]
        rows.append(jnp.stack(columns, axis=3))
    batch, height, width, _ = x.shape
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, -1)


def _conv_transpose_4x4_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Residuals]:
    return _conv_transpose_4x4(x, kernel), (x, kernel)


def _conv_transpose_4x4_backward(residuals: Residuals, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The input's gradient is a convolution with stride 2; the kernel's are four products with 2 x 2 blocks.

    Kernel row 2 i + j carries x[m] to padded output row 2 (m + i) + j, row j of block m + i; and so for columns.
    """
    x, kernel = residuals
    batch, height, width, inputs = x.shape
    blocks = _pad(gradient).reshape(batch, height + 1, 2, width + 1, 2, -1).swapaxes(2, 3)
    blocks = blocks.reshape(batch, height + 1, width + 1, -1)
    products = [
        _product(x, blocks[:, row : row + height, column : column + width]) for row in range(2) for column in range(2)
    ]
    stacked = jnp.stack(products).reshape(2, 2, inputs, 2, 2, -1)
    return _convolve(gradient, kernel, stride=2), stacked.transpose(0, 3, 1, 4, 5, 2).reshape(kernel.shape)


_conv_transpose_4x4.defvjp(_conv_transpose_4x4_forward, _conv_transpose_4x4_backward)


def _pad(x: jax.Array, value: float = 0.0) -> jax.Array:
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=value)


def _product(x: jax.Array, y: jax.Array) -> jax.Array:
    """Sum over images and pixels of x [B, H, W, C] times y [B, H, W, D]: [C, D]."""
    return jnp.einsum("bhwc,bhwd->cd", x, y)


def _first_maximum(x: jax.Array, y: jax.Array) -> jax.Array:
    """`jnp.maximum`, but of equal elements x takes the whole gradient."""
    return jnp.where(x >= y, x, y)
