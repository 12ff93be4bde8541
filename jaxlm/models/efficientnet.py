"""EfficientNet-Lite as the encoder of a U-Net for heat-maps; ImageNet weights of the encoder are free.

EfficientNet: Tan and Le, ICML 2019. Its Lite form (Google, 2020) leaves out squeeze-and-excitation and has ReLU6 in
place of swish, so that phones run it well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.layers import operators
from jaxlm.models.layers.batch_norm import running_statistics
from jaxlm.models.resunet import decode

STEM_FEATURES = 32

_EPSILON = 1e-3
_CONV_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Stage(NamedTuple):
    """Blocks of one shape: how many, the side of the depthwise kernel, the stride of the first, expansion, channels."""

    blocks: int
    side: int
    stride: int
    expansion: int
    features: int


STAGES = {
    "lite0": (
        *(Stage(1, 3, 1, 1, 16), Stage(2, 3, 2, 6, 24), Stage(2, 5, 2, 6, 40), Stage(3, 3, 2, 6, 80)),
        *(Stage(3, 5, 1, 6, 112), Stage(4, 5, 2, 6, 192), Stage(1, 3, 1, 6, 320)),
    ),
    "lite1": (
        *(Stage(1, 3, 1, 1, 16), Stage(3, 3, 2, 6, 24), Stage(3, 5, 2, 6, 40), Stage(4, 3, 2, 6, 80)),
        *(Stage(4, 5, 1, 6, 112), Stage(5, 5, 2, 6, 192), Stage(1, 3, 1, 6, 320)),
    ),
}


class NormedConv(nn.Module):
    """A convolution without bias and its batch normalisation: [B, H, W, C] -> [B, ceil(H / stride), ..., features].

    Padding is TensorFlow's "SAME": with stride 2 and an even side one pixel more below and right than above and left.
    Where the running statistics normalise, they are one factor and one summand a channel, and the factor is made part
    of the kernel.

    Attributes:
      features: Channels of the result; None convolves each channel by itself.
      side: Side of the kernel.
      stride: Its stride.
      use_running_average: Normalise by running statistics, which stay as they are, not by those of the batch.
      dtype: Type of the computation.
    """

    features: int | None
    side: int = 1
    stride: int = 1
    use_running_average: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inputs = x.shape[-1]
        features = self.features or inputs
        shape = (self.side, self.side, inputs if self.features else 1, features)
        kernel = self.param("kernel", _CONV_INIT, shape, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, (features,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        convolve = operators.depthwise_conv if self.features is None else operators.conv
        statistics = partial(running_statistics, self, momentum=0.9, unbiased=False)
        x = x.astype(self.dtype)
        if self.use_running_average:
            mean, var = statistics(kernel, True)  # Only the number of channels counts.
            factor = scale * jax.lax.rsqrt(var + _EPSILON)
            x = convolve(x, (kernel * factor[None, None, None]).astype(self.dtype), self.stride)
            return x + (bias - mean * factor).astype(self.dtype)[None, None, None]
        x = convolve(x, kernel.astype(self.dtype), self.stride)
        mean, var = statistics(x, False)
        factor = scale * jax.lax.rsqrt(var + _EPSILON)
        return (x * factor[None, None, None] + (bias - mean * factor)[None, None, None]).astype(self.dtype)

    def count_macs(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> tuple[int, int]:
        """Products and element-wise operations, for `jaxlm.summary`; a normalisation is two for each output element."""
        size = math.prod(output_shape)
        return self.side**2 * (input_shape[-1] if self.features else 1) * size, 2 * size


class Block(nn.Module):
    """An inverted residual: expand, convolve each channel, project; a shortcut where input and output have one shape.

    There is no activation after the projection, and no expansion where its factor is 1. `conv` makes a `NormedConv`.
    """

    stage: Stage
    stride: int
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = x
        if self.stage.expansion != 1:
            y = nn.relu6(self.conv(self.stage.expansion * x.shape[-1], name="expand")(y))
        y = nn.relu6(self.conv(None, self.stage.side, self.stride, name="depthwise")(y))
        y = self.conv(self.stage.features, name="project")(y)
        return x + y if x.shape == y.shape else y


class Encoder(nn.Module):
    """EfficientNet-Lite without its last convolution, pool and classifier.

    Lite0 has 2,958,848 parameters.
    """

    size: str
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, images: jax.Array) -> list[jax.Array]:
        """The last maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the side of images [B, S, S, 3], (v - 127) / 128."""
        x = nn.relu6(self.conv(STEM_FEATURES, 3, 2, name="stem")(images))
        scales: list[jax.Array] = []
        number = 0
        for stage in STAGES[self.size]:
            for index in range(stage.blocks):
                number += 1
                stride = stage.stride if index == 0 else 1
                if stride == 2:
                    scales.append(x)
                x = Block(stage, stride, self.conv, name=f"block{number}")(x)
        return [*scales, x]


class EfficientNet(nn.Module):
    """Maps [B, S / stride, S / stride, N] of images [B, S, S, 3]; S is a multiple of 32.

    The encoder is EfficientNet-Lite, the decoder that of `ResUNet`. ImageNet weights of the encoder:
    `jaxlm convert efficientnet-lite0.pth --model efficientnet_lite0 --out efficientnet_lite0.npz`, and then
    `--init-from efficientnet_lite0.npz`. They expect pixels (v - 127) / 128; the model makes them of its images,
    (v - 127.5) / 128.

    Attributes:
      num_points: N, how many landmarks it predicts.
      size: Of the encoder: lite0 has 16 blocks, lite1 has 21.
      decoder_width: Channels of the decoder.
      stride: Side of a cell of the maps in pixels, as `task.options.stride` has it; 2 is one more level of the decoder,
        beside which a model of 4 has the same weights.
      kept_statistics: The encoder normalises by its running statistics in training, too, and so they stay those of
        the weights that it starts from.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    num_points: int
    size: Literal["lite0", "lite1"] = "lite0"
    decoder_width: int = 64
    stride: Literal[2, 4] = 4
    kept_statistics: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Raw maps, heights or logits as the task has it, of normalised images."""
        conv = partial(NormedConv, use_running_average=self.kept_statistics or not train, dtype=self.dtype)
        scales = Encoder(self.size, conv, name="encoder")(images + 0.5 / 128)
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)
        finest = {2: 0, 4: 1}[self.stride]
        return decode(scales[finest:], self.num_points, self.decoder_width, norm, self.dtype, first=finest)
