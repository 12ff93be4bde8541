"""The detector of SAN (Dong et al., CVPR 2018): a convolutional pose machine of three stages on features of VGG-16.

The pose machine (Wei et al., CVPR 2016) draws maps of all landmarks from the features, then twice draws them again from
the features and the maps before. SAN looks at two photos of a face at once, the crop and the same face in an average
style. `SAN.siamese` does that, and jaxlm/models/san_style.py makes the second photo for it.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.layers import Conv3x3
from jaxlm.models.vgg import STAGES, VGG, imagenet_normalise

Maps = tuple[jax.Array, ...]

# Up to conv4_3.
_VGG_STAGES = STAGES["vgg16"][:4]

_HE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
# As published; small, so that training starts from nearly empty maps.
_OUTPUT_INIT = nn.initializers.normal(0.01)


class Stage(nn.Module):
    """Maps [B, H, W, channels] float32 from features, or features and maps, [B, H, W, C].

    Convolutions of `wide` x `wide` pixels, then of 3 x 3 pixels, then two of one pixel; a ReLU after all but the last.

    Attributes:
      channels: How many maps.
      wide: Side of the first convolutions.
      num_wide: How many of these there are.
      width: Channels of these and of those of 3 x 3 pixels.
      hidden: Channels of the last but one.
      dtype: Type of the computation; parameters are float32.
    """

    channels: int
    wide: int
    num_wide: int
    width: int
    hidden: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(nn.Conv, kernel_init=_HE, dtype=self.dtype)
        for number in range(1, self.num_wide + 1):
            x = nn.relu(conv(self.width, (self.wide, self.wide), name=f"wide{number}")(x))
        for number in range(1, 5):
            x = nn.relu(Conv3x3(self.width, use_bias=True, dtype=self.dtype, kernel_init=_HE, name=f"conv{number}")(x))
        x = nn.relu(conv(self.hidden, (1, 1), name="hidden")(x))
        return conv(self.channels, (1, 1), kernel_init=_OUTPUT_INIT, name="maps")(x).astype(jnp.float32)


class SAN(nn.Module):
    """SAN's network: a call sees the crop alone, `siamese` a second photo, too, by more channels in stages 2 and 3.

    For 98 points and a background 17,116,137 parameters, 19,342,697 as siamese network, whatever the stride. Parameter
    paths of the features are those of jaxlm/interop/torch_maps.py, at the top, so that the weights of
    `python -m jaxlm.convert vgg16.pth --model vgg16 --out vgg16.npz` make a start for training:
    `--init-from vgg16.npz`, all else new.

    A stride of 4 leaves out the last pool and changes nothing else: the parameters, those of ImageNet included, fit
    either stride, and the maps are drawn from features of their own resolution; it costs 2.7 times the operations. A
    transposed convolution after conv4_3 would cost 2.2 times as many, and only upsample what the pool has left.

    Kernels are drawn as He et al. (ICCV 2015) do, so that training from nothing works, too. Those published, of
    standard deviation 0.01 beyond VGG, shrink what they are given by 4 times a layer of 128 channels.

    Attributes:
      num_points: N, how many landmarks there are a map of.
      stride: Side of a cell of the maps in pixels: 8 as published, or 4.
      background: Draw one map more, of the cells without a landmark, as published.
      width: Channels of the first convolutions of VGG, 64 as published; all others follow in proportion.
      pixels: What VGG sees. `imagenet` is (v / 255 - mean) / std, for which its ImageNet weights were made; `signed` is
        (v / 255 - 0.5) / 0.5, which SAN's code gives to these weights.
      dtype: Type of the computation; parameters and the result are float32.
    """

    num_points: int
    stride: Literal[4, 8] = 4
    background: bool = False
    width: int = 64
    pixels: Literal["imagenet", "signed"] = "imagenet"
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        pools = self.stride.bit_length() - 1
        self.vgg = VGG(_VGG_STAGES, width=self.width, pools=pools, dtype=self.dtype)
        nn.share_scope(self, self.vgg)
        conv = partial(Conv3x3, use_bias=True, dtype=self.dtype, kernel_init=_HE)
        self.feature1, self.feature2 = conv(4 * self.width), conv(2 * self.width)
        stage = partial(Stage, self.num_points + self.background, width=2 * self.width, dtype=self.dtype)
        self.stage1 = stage(wide=3, num_wide=0, hidden=8 * self.width)
        self.stage2 = stage(wide=7, num_wide=3, hidden=2 * self.width)
        self.stage3 = stage(wide=7, num_wide=3, hidden=2 * self.width)

    def __call__(self, images: jax.Array, *, train: bool) -> Maps:
        """Maps [B, S / stride, S / stride, N] of the three stages, of normalised images [B, S, S, 3].

        With `background` there are N + 1, the background last.

        Raises:
          ValueError: The images' sides are no multiples of the stride.
        """
        del train  # There is no normalisation in it.
        features = self._features(images)
        first = self.stage1(features)
        second = self.stage2(_join(features, first))
        return first, second, self.stage3(_join(features, second))

    def siamese(self, images: jax.Array, aggregated: jax.Array) -> Maps:
        """Four maps, of stage 1 for `images` and for `aggregated`, the same faces in another style, and of both later.

        With F the features and S1 the maps of stage 1, stage 2 sees F(images), F(aggregated), S1(images) and
        S1(aggregated); stage 3 both features and the maps of stage 2. Shapes and errors are as for a single image.
        """
        features = self._features(jnp.concatenate([images, aggregated]))
        firsts = jnp.split(self.stage1(features), 2)
        features = _join(*jnp.split(features, 2))
        second = self.stage2(_join(features, *firsts))
        return *firsts, second, self.stage3(_join(features, second))

    def _features(self, images: jax.Array) -> jax.Array:
        """Features [B, S / stride, S / stride, 2 width] of normalised images [B, S, S, 3]."""
        if images.shape[1] % self.stride or images.shape[2] % self.stride:
            raise ValueError(
                f"SAN with a stride of {self.stride} needs image sides that it divides, found {images.shape}"
            )
        pixels = imagenet_normalise(images) if self.pixels == "imagenet" else images * (128 / 127.5)
        x = self.vgg(pixels)["conv4_3"]
        return nn.relu(self.feature2(nn.relu(self.feature1(x))))


def _join(*maps: jax.Array) -> jax.Array:
    return jnp.concatenate(maps, axis=-1)
