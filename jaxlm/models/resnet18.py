"""ResNet-18 (He et al., CVPR 2016) that regresses points, the network that AVS (ICCV 2019) strengthens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.layers import Conv3x3, MaxPool3x3, rescale

Norm = Callable[..., nn.Module]

_WIDTHS = (64, 128, 256, 512)
_BLOCKS = 2
_CONV_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut: [B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), features].

    Attributes:
      features: Channels of both convolutions.
      stride: Stride of the first; the shortcut is a 1 x 1 convolution of this stride where the shape changes.
      norm: Makes a normalisation of a given name.
      dtype: Type of the convolutions.
    """

    features: int
    stride: int
    norm: Norm
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(Conv3x3, self.features, kernel_init=_CONV_INIT, dtype=self.dtype)
        y = nn.relu(self.norm(name="norm1")(conv(stride=self.stride, name="conv1")(x)))
        y = self.norm(name="norm2")(conv(name="conv2")(y))
        if x.shape != y.shape:
            x = _conv(self.features, 1, self.stride, self.dtype, name="downsample_conv")(x)
            x = self.norm(name="downsample_norm")(x)
        return nn.relu(x + y)


class ResNet18(nn.Module):
    """ResNet-18 of torchvision up to its mean over the last map, then one dense layer that gives the coordinates.

    11,176,512 parameters and 513 for each coordinate: 11,277,060 in all for 98 points. The last map has a 32nd of the
    image's side; being averaged, it may have any size. Parameter paths are those of
    jaxlm/interop/torch_maps/backbones.py, so that `python -m jaxlm.convert resnet18.pth --model resnet18 --out
    resnet18.npz` makes a start for training: `--init-from resnet18.npz`, the head new.

    Weights from ImageNet expect photos (v / 255 - mean) / std with a mean and standard deviation for each channel; the
    images this project feeds its models are (v - 127.5) / 128. The model turns the one into the other by itself, with
    and without such weights.

    Attributes:
      num_points: N, how many landmarks it predicts.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    num_points: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Raw outputs [B, 2 N] float32, in the order x0, y0, x1, y1, ..., of normalised images [B, S, S, 3]."""
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)
        x = _conv(64, 7, 2, self.dtype, name="conv1")(rescale(images, "imagenet").astype(self.dtype))
        x = MaxPool3x3(name="pool")(nn.relu(norm(name="norm1")(x)))
        for stage, features in enumerate(_WIDTHS, start=1):
            for block in range(_BLOCKS):
                stride = 2 if stage > 1 and block == 0 else 1
                x = BasicBlock(features, stride, norm, self.dtype, name=f"layer{stage}_{block}")(x)
        # bfloat16 would round a coordinate near 100 px to half a pixel.
        x = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        return nn.Dense(2 * self.num_points, kernel_init=nn.initializers.normal(0.01), name="head")(x)


def _conv(features: int, side: int, stride: int, dtype: DTypeLike, name: str) -> nn.Conv:
    """A convolution of side x side pixels without bias, padding side // 2."""
    return nn.Conv(
        features,
        (side, side),
        strides=(stride, stride),
        padding=side // 2,
        use_bias=False,
        kernel_init=_CONV_INIT,
        dtype=dtype,
        name=name,
    )
