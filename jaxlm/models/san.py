"""The detector of SAN (Dong et al., CVPR 2018): a convolutional pose machine of three stages on features of VGG-16.

The pose machine (Wei et al., CVPR 2016) draws maps of all landmarks from the features, then twice draws them again from
the features and the maps before. SAN looks at two photos of a face at once, the crop and the same face in an average
style. `SAN.siamese` does that. The second photo is made by the authors' generators, as their released weights want it,
or, in jaxlm/models/san_style.py, by our own translator.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.layers import Conv3x3, operators, rescale
from jaxlm.models.vgg import STAGES, VGG

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


class Generator(nn.Module):
    """A generator of CycleGAN (Zhu et al., ICCV 2017) in SAN's form: photos [B, S, S, 3] in another style, -1..1.

    Photos are in this project's range, and the result has pixels (v - 127.5) / 127.5. 4 divides S. No normalisation has
    weights: it is over the pixels of each channel of each photo. 7,837,699 parameters of width 64.

    Attributes:
      width: Channels after the first convolution.
      dtype: Type of the computation; parameters and the result are float32.
    """

    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        wide = partial(nn.Conv, kernel_size=(7, 7), padding="VALID", dtype=self.dtype)
        conv = partial(nn.Conv, kernel_size=(3, 3), dtype=self.dtype)
        x = _normalise_relu(wide(self.width, name="first")(_reflect(x, 3)))
        for number in (1, 2):
            x = conv(2**number * self.width, strides=(2, 2), padding=1, name=f"down{number}")(x)
            x = _normalise_relu(x)
        for number in range(1, 7):
            block = partial(conv, 4 * self.width, padding="VALID")
            y = _normalise_relu(block(name=f"block{number}_conv1")(_reflect(x, 1)))
            x += _normalise(block(name=f"block{number}_conv2")(_reflect(y, 1)))
        for number in (2, 1):
            x = DoublingConv(2 ** (number - 1) * self.width, self.dtype, name=f"up{number}")(x)
            x = _normalise_relu(x)
        return jnp.tanh(wide(3, name="last")(_reflect(x, 3)).astype(jnp.float32))


class DoublingConv(nn.Module):
    """3 x 3 transposed convolution of stride 2: [B, H, W, C] -> [B, 2 H, 2 W, features].

    That of PyTorch's `ConvTranspose2d(C, features, 3, 2, 1, output_padding=1)`, which is one of 4 x 4 whose last row
    and column of weights are 0.
    """

    features: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", _HE, (3, 3, self.features, x.shape[-1]), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        kernel = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
        x = operators.conv_transpose_4x4(x.astype(self.dtype), kernel.astype(self.dtype))
        return x + bias.astype(self.dtype)[None, None, None]


class SAN(nn.Module):
    """SAN's network: a call sees the crop alone, `siamese` a second photo, too, by more channels in stages 2 and 3.

    For 98 points and a background 17,116,137 parameters, 19,342,697 as siamese network, whatever the stride. Parameter
    paths of the features are those of jaxlm/interop/torch_maps/backbones.py, at the top, so that the weights of
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
      pixels: What the features see: `imagenet`, as weights of ImageNet expect it; `signed`, as SAN's code has it; or
        `centred`, as they are, for kernels that hold the factor between the two; see `layers.rescale`.
      generators: As published, a call makes the second photo by two frozen generators, as the mean of theirs, and is
        then `siamese`. Drawn weights make noise; they are to come from a file.
      dtype: Type of the computation; parameters and the result are float32.
    """

    num_points: int
    stride: Literal[4, 8] = 4
    background: bool = False
    width: int = 64
    pixels: Literal["centred", "signed", "imagenet"] = "imagenet"
    generators: bool = False
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
        if self.generators:
            self.generator_a, self.generator_b = (Generator(self.width, self.dtype) for _ in range(2))

    def __call__(self, images: jax.Array, *, train: bool) -> Maps:
        """Maps [B, S / stride, S / stride, N] of the three stages, of normalised images [B, S, S, 3].

        With `background` there are N + 1, the background last; with `generators` the maps are those of `siamese`.

        Raises:
          ValueError: The images' sides are no multiples of the stride.
        """
        del train  # There is no normalisation over the batch in it.
        if self.generators:
            aggregated = (self.generator_a(images) + self.generator_b(images)) / 2
            return self.siamese(images, jax.lax.stop_gradient(aggregated) * (127.5 / 128))
        features = self._features(images)
        first = self.stage1(features)
        second = self.stage2(_join(features, first))
        return first, second, self.stage3(_join(features, second))

    def siamese(self, images: jax.Array, aggregated: jax.Array) -> Maps:
        """Four maps, of stage 1 for `images` and for `aggregated`, the same faces in another style, and of both later.

        With F the features and S1 the maps of stage 1, stage 2 sees F(images), F(aggregated), S1(images) and
        S1(aggregated); stage 3 both features and the maps of stage 2. Shapes and errors are as for a single image.
        """
        each = [self._features(photos) for photos in (images, aggregated)]
        firsts = [self.stage1(features) for features in each]
        both = _join(*each)
        second = self.stage2(_join(both, *firsts))
        return *firsts, second, self.stage3(_join(both, second))

    def _features(self, images: jax.Array) -> jax.Array:
        """Features [B, S / stride, S / stride, 2 width] of normalised images [B, S, S, 3]."""
        if images.shape[1] % self.stride or images.shape[2] % self.stride:
            raise ValueError(
                f"SAN with a stride of {self.stride} needs image sides that it divides, found {images.shape}"
            )
        x = self.vgg(rescale(images, self.pixels))["conv4_3"]
        return nn.relu(self.feature2(nn.relu(self.feature1(x))))


def _reflect(x: jax.Array, count: int) -> jax.Array:
    """Pads x [B, H, W, C] by `count` pixels on each side, mirrored about the border's pixels."""
    return jnp.pad(x, ((0, 0), (count, count), (count, count), (0, 0)), mode="reflect")


def _normalise(x: jax.Array) -> jax.Array:
    """Instance normalisation: mean 0 and variance 1 over the pixels of each channel of x [B, H, W, C]."""
    x32 = x.astype(jnp.float32)
    centred = x32 - x32.mean(axis=(1, 2), keepdims=True)
    return (centred * jax.lax.rsqrt((centred**2).mean(axis=(1, 2), keepdims=True) + 1e-5)).astype(x.dtype)


def _normalise_relu(x: jax.Array) -> jax.Array:
    return nn.relu(_normalise(x))


def _join(*maps: jax.Array) -> jax.Array:
    return jnp.concatenate(maps, axis=-1)
