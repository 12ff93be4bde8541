"""A small MobileNetV2 (Sandler et al., CVPR 2018) that regresses points, as DPR (TPAMI 2021) was published with."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.layers import Conv1x1, Conv3x3, DepthwiseConv3x3

PReLU = partial(nn.PReLU, negative_slope_init=0.25)

# Factor of expansion, channels, how many blocks, stride of the first.
_STAGES = (
    *((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 2, 2), (6, 24, 3, 2)),
    *((6, 32, 3, 2), (6, 48, 3, 2), (6, 64, 2, 2), (6, 80, 1, 1)),
)
_CONV_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Perceptron(nn.Module):
    """Dense layers with a PReLU of one slope between two: [B, C] -> [B, outputs] float32.

    It starts as a constant, its last bias, whatever the input. INFERRED: how the published networks were drawn is not
    known; on 32 faces, hidden weights from N(0, 0.01) kept the outputs constant for 150 steps, these for 60.

    Attributes:
      widths: Widths of the hidden layers.
      outputs: How many values it gives.
      bias_init: Initialiser of the last layer's bias.
      hidden_init: Initialiser of the hidden layers' kernels.
      dtype: Type of the hidden layers.
    """

    widths: tuple[int, ...]
    outputs: int
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    hidden_init: nn.initializers.Initializer = nn.initializers.he_normal()
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for index, width in enumerate(self.widths, start=1):
            x = nn.Dense(width, kernel_init=self.hidden_init, dtype=self.dtype, name=f"fc{index}")(x)
            x = PReLU(name=f"prelu{index}")(x)
        last = partial(nn.Dense, kernel_init=nn.initializers.zeros, bias_init=self.bias_init, dtype=jnp.float32)
        return last(self.outputs, name=f"fc{len(self.widths) + 1}")(x)


class InvertedResidual(nn.Module):
    """Expand, convolve each channel, project: [B, H, W, C] -> [B, H / stride, W / stride, features].

    There is no activation after the projection, no expansion where its factor is 1, and a shortcut where input and
    output have one shape. Activations are ReLU.
    """

    expansion: int
    features: int
    stride: int
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        norm = partial(_batch_norm, self.train, self.dtype)
        y = x
        if self.expansion != 1:
            y = _pointwise(self.expansion * x.shape[-1], self.dtype, name="expand_conv")(y)
            y = nn.relu(norm(name="expand_norm")(y))
        y = DepthwiseConv3x3(self.stride, dtype=self.dtype, name="depthwise_conv")(y)
        y = nn.relu(norm(name="depthwise_norm")(y))
        y = norm(name="project_norm")(_pointwise(self.features, self.dtype, name="project_conv")(y))
        return x + y if self.stride == 1 and x.shape[-1] == self.features else y


class MobileNetV2Small(nn.Module):
    """Seventeen inverted residuals at 1/128 of the image's side in the end, then three dense layers.

    The last map is not pooled, so weights belong to one size of images: 256 pixels have 2 x 2 cells, 128 have one.

    Attributes:
      num_points: N, how many landmarks it predicts.
      head_width: Width of the two hidden dense layers.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    num_points: int
    head_width: int = 256
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Raw outputs [B, 2 N] float32, in the order x0, y0, x1, y1, ..., of normalised images [B, S, S, 3]."""
        norm = partial(_batch_norm, train, self.dtype)
        stem = Conv3x3(8, stride=2, dtype=self.dtype, kernel_init=_CONV_INIT, name="stem_conv")
        x = nn.relu(norm(name="stem_norm")(stem(images)))
        number = 0
        for expansion, features, blocks, stride in _STAGES:
            for index in range(blocks):
                number += 1
                block = partial(InvertedResidual, expansion, features, train=train, dtype=self.dtype)
                x = block(stride=1 if index else stride, name=f"block{number}")(x)
        x = nn.relu(norm(name="last_norm")(_pointwise(64, self.dtype, name="last_conv")(x)))
        widths = (self.head_width, self.head_width)
        head = Perceptron(widths, 2 * self.num_points, dtype=self.dtype, name="head")
        return head(x.reshape(x.shape[0], -1))


def _pointwise(features: int, dtype: DTypeLike, name: str) -> Conv1x1:
    return Conv1x1(features, kernel_init=_CONV_INIT, dtype=dtype, name=name)


def _batch_norm(train: bool, dtype: DTypeLike, name: str) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=dtype, name=name)
