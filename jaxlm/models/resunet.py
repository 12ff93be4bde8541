"""A compact network for heat-maps: a residual encoder and a decoder that adds what each scale saw on the way down."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.layers import Conv1x1, Conv3x3
from jaxlm.models.resnet18 import BasicBlock, Norm


class ResUNet(nn.Module):
    """Maps [B, S / 4, S / 4, N] of images [B, S, S, 3]; S is a multiple of 4 times 2^(stages - 1).

    The blocks are those of ResNet-18 (He et al., CVPR 2016), the decoder is that of feature pyramids (Lin et al., CVPR
    2017), one map of `decoder_width` channels: from the coarsest scale on it is doubled in size, a 1 x 1 convolution of
    the encoder's map of that scale is added, and a 3 x 3 convolution smooths the sum. Made for this project: two
    convolutions of stride 2 instead of a 7 x 7 one and a pool, so that most of the work is done by convolutions of
    middling width at small sizes, which a CPU runs fast.

    Attributes:
      num_points: N, how many landmarks it predicts.
      widths: Channels of the stages, from a side of S / 4 on, each of half the side of the one before.
      blocks: Residual blocks of a stage.
      decoder_width: Channels of the decoder.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    num_points: int
    widths: tuple[int, ...] = (48, 96, 192, 192)
    blocks: int = 2
    decoder_width: int = 64
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Raw maps, heights or logits as the task has it, of normalised images."""
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)
        conv = partial(Conv3x3, dtype=self.dtype)
        x = images.astype(self.dtype)
        for number, features in enumerate((self.widths[0] // 2, self.widths[0]), start=1):
            x = nn.relu(norm(name=f"stem_norm{number}")(conv(features, stride=2, name=f"stem_conv{number}")(x)))
        scales = []
        for stage, features in enumerate(self.widths, start=1):
            for block in range(self.blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                x = BasicBlock(features, stride, norm, self.dtype, name=f"stage{stage}_{block}")(x)
            scales.append(x)
        return decode(scales, self.num_points, self.decoder_width, norm, self.dtype)


def decode(
    scales: Sequence[jax.Array], num_points: int, width: int, norm: Norm, dtype: DTypeLike, first: int = 1
) -> jax.Array:
    """The decoder: raw maps [B, h, w, N] float32 of the size of the finest of an encoder's maps, which come first.

    Its layers belong to the module that calls it, and are numbered from the finest scale on, which is `first`. `norm`
    makes a normalisation of a given name.
    """
    conv = partial(Conv3x3, width, dtype=dtype)
    lateral = partial(Conv1x1, width, dtype=dtype)
    x = scales[-1]
    for stage, scale in reversed(list(enumerate(scales, start=first))):
        beside = norm(name=f"lateral_norm{stage}")(lateral(name=f"lateral{stage}")(scale))
        x = nn.relu(beside if scale is scales[-1] else beside + double(x))
        x = nn.relu(norm(name=f"smooth_norm{stage}")(conv(name=f"smooth{stage}")(x)))
    head = Conv1x1(num_points, use_bias=True, kernel_init=nn.initializers.normal(0.01), dtype=dtype, name="head")
    return head(x).astype(jnp.float32)


def double(x: jax.Array) -> jax.Array:
    """Each pixel of x [B, H, W, C] four times: [B, 2 H, 2 W, C]."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return x.reshape(batch, 2 * height, 2 * width, channels)
