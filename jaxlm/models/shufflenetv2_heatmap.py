"""ShuffleNetV2 (Ma et al., ECCV 2018) cut after its third stage, with a transposed-convolution head for heat-maps."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.layers import Conv3x3, ConvTranspose4x4, DepthwiseConv3x3, MaxPool3x3, rescale


class ShuffleUnit(nn.Module):
    """One unit of ShuffleNetV2: [B, H, W, C] -> [B, H / stride, W / stride, features], channels shuffled by two.

    With stride 1 half of the channels pass unchanged and C is `features`; with stride 2 both branches convolve all.
    """

    features: int
    stride: int
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        norm = partial(_batch_norm, self.train, self.dtype)
        pointwise = partial(
            nn.Conv,
            self.features // 2,
            (1, 1),
            use_bias=False,
            kernel_init=nn.initializers.kaiming_normal(),
            dtype=self.dtype,
        )
        depthwise = partial(DepthwiseConv3x3, stride=self.stride, dtype=self.dtype)
        if self.stride == 1:
            left, right = jnp.split(x, 2, axis=-1)
        else:
            left = norm(name="left_norm1")(depthwise(name="left_conv1")(x))
            left = nn.relu(norm(name="left_norm2")(pointwise(name="left_conv2")(left)))
            right = x
        right = nn.relu(norm(name="right_norm1")(pointwise(name="right_conv1")(right)))
        right = norm(name="right_norm2")(depthwise(name="right_conv2")(right))
        right = nn.relu(norm(name="right_norm3")(pointwise(name="right_conv3")(right)))
        return interleave_channels(left, right)


class ShuffleNetV2HeatMap(nn.Module):
    """ShuffleNetV2 1.0x to stage 3 (1/16 of the image), then two transposed convolutions and two convolutions at 1/4.

    The published model also builds stage 4 of ShuffleNetV2, and never calls it; here it does not exist.

    Attributes:
      num_points: N, how many landmarks there are a map of.
      width: Factor of all channel counts, which stay even.
      relu_output: End in a ReLU, as published; losses on logits want False.
      pixels: What the first convolution sees; the released code trains on `imagenet_grey`, see `layers.rescale`.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    num_points: int
    width: float = 1.0
    relu_output: bool = True
    pixels: Literal["centred", "imagenet_grey"] = "centred"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Raw maps [B, S / 4, S / 4, N] float32 of normalised images [B, S, S, 3].

        Raises:
          ValueError: The images' sides are no multiples of 16.
        """
        if images.shape[1] % 16 or images.shape[2] % 16:
            raise ValueError(f"ShuffleNetV2 heat-maps need image sides that 16 divides, found shape {images.shape}")

        def norm_relu(x: jax.Array, name: str) -> jax.Array:
            return nn.relu(_batch_norm(train, self.dtype, name=name)(x))

        conv = partial(Conv3x3, dtype=self.dtype)
        transposed = partial(ConvTranspose4x4, dtype=self.dtype)
        x = rescale(images, self.pixels)
        x = norm_relu(conv(self._channels(64), stride=2, name="stem_conv1")(x), "stem_norm1")
        x = norm_relu(conv(self._channels(24), name="stem_conv2")(x), "stem_norm2")
        x = MaxPool3x3(name="stem_pool")(x)
        for stage, features, units in ((2, 116, 4), (3, 232, 8)):
            for unit in range(units):
                block = partial(ShuffleUnit, self._channels(features), train=train, dtype=self.dtype)
                x = block(stride=1 if unit else 2, name=f"stage{stage}_unit{unit + 1}")(x)
        x = norm_relu(transposed(self._channels(324), name="head_conv1")(x), "head_norm1")
        x = norm_relu(transposed(self._channels(256), name="head_conv2")(x), "head_norm2")
        x = norm_relu(conv(self._channels(128), name="head_conv3")(x), "head_norm3")
        # Small, so that training starts from nearly empty maps.
        small = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")
        x = conv(self.num_points, kernel_init=small, name="head_conv4")(x).astype(jnp.float32)
        return nn.relu(x) if self.relu_output else x

    def _channels(self, count: int) -> int:
        return 2 * max(1, round(self.width * count / 2))


def interleave_channels(left: jax.Array, right: jax.Array) -> jax.Array:
    """Concatenation and channel shuffle by two groups: channels left 0, right 0, left 1, right 1, ..."""
    return jnp.stack((left, right), axis=-1).reshape(*left.shape[:-1], -1)


def _batch_norm(train: bool, dtype: DTypeLike, name: str) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=dtype, name=name)
