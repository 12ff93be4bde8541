"""The regressor of LAB (Wu et al., CVPR 2018): boundary maps fused into the image and into features."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.hourglass import CONV_INIT, Bottleneck, Hourglass, NormReLU, Resize, conv_1x1, halving_conv
from jaxlm.models.layers import MaxPool3x3
from jaxlm.models.layers.operators import max_pool_2x2

_STAGES = 4


class FeatureFusion(nn.Module):
    """Features F [B, H, W, C] become F + F x tanh(T), T a small hourglass of the maps [B, h, w, K] and F.

    INFERRED: the paper concatenates F and F x T; the sum fits the published number of parameters and operations.

    Attributes:
      depth: Halvings in the hourglass, which has no unit beside its first level and none at its bottom.
      dtype: Type of the computation.
    """

    depth: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, maps: jax.Array, *, train: bool) -> jax.Array:
        channels, side = features.shape[-1], features.shape[1]
        norm, conv = partial(NormReLU, self.dtype), partial(conv_1x1, channels, self.dtype)
        unit = partial(Bottleneck, channels, dtype=self.dtype)
        x = jnp.concatenate([Resize(side)(maps), features], axis=-1)
        x = conv(name="conv1")(norm(name="norm1")(x, train=train))
        x = unit(name="down")(max_pool_2x2(x), train=train)
        x = Hourglass(self.depth - 1, bottom=False, dtype=self.dtype, name="hourglass")(x, train=train)
        x = Resize(side, aligned_corners=True)(unit(name="up")(x, train=train))
        x = conv(name="conv2")(norm(name="norm2")(x, train=train))
        x = conv(name="conv3")(norm(name="norm3")(x, train=train))
        return features + features * jnp.tanh(x)


class BoundaryRegressor(nn.Module):
    """Four stages of two bottlenecks and three dense layers, with boundary maps fused into the image and three stages.

    4,628,494 + 514 N parameters for grey images of 256 px and 13 maps. The published count, 480 higher, is of a build
    with a BN before each of the four projected units that it never uses.

    Published weights have dropout before the first dense layer, at an unknown rate. There is none here.

    Attributes:
      num_points: N, how many landmarks it predicts.
      width: Channels of the first convolution; the stages have 2, 4, 8 and 16 times as many, the dense layers 16 times.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    num_points: int
    width: int = 16
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, maps: jax.Array, *, train: bool) -> jax.Array:
        """Coordinates [B, 2 N] float32 from images [B, S, S, C], 32 dividing S, and maps [B, S / 4, S / 4, K]."""
        norm = partial(NormReLU, self.dtype)
        maps = maps.astype(self.dtype)
        x = fuse_input(images.astype(self.dtype), Resize(images.shape[1])(maps))
        x = halving_conv(self.width, self.dtype, "conv")(x)
        x = MaxPool3x3(name="pool")(norm(name="norm")(x, train=train))
        for stage in range(1, _STAGES + 1):
            x = norm(name=f"stage{stage}_norm")(x, train=train)
            features, stride = self.width * 2**stage, 1 if stage == 1 else 2
            x = Bottleneck(features, stride, self.dtype, name=f"stage{stage}_unit1")(x, train=train)
            x = Bottleneck(features, dtype=self.dtype, name=f"stage{stage}_unit2")(x, train=train)
            if stage < _STAGES:
                fusion = FeatureFusion(_STAGES - stage, self.dtype, name=f"stage{stage}_fusion")
                x = fusion(x, maps, train=train)
        x = norm(name="last_norm")(x, train=train)
        x = x.reshape(x.shape[0], -1)
        for number in (1, 2):
            x = nn.relu(nn.Dense(16 * self.width, kernel_init=CONV_INIT, dtype=self.dtype, name=f"fc{number}")(x))
        # bfloat16 would round a coordinate near 100 px to half a pixel.
        return nn.Dense(2 * self.num_points, kernel_init=nn.initializers.normal(0.01), name="fc3")(x)


def fuse_input(images: jax.Array, maps: jax.Array) -> jax.Array:
    """Images [B, S, S, C] times each of the maps [B, S, S, K], then the images: [B, S, S, (K + 1) C]."""
    products = maps[..., None] * images[:, :, :, None]
    return jnp.concatenate([products.reshape(*images.shape[:3], -1), images], axis=-1)
