"""The stacked hourglass (Newell et al., ECCV 2016) with the units of LAB (Wu et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.layers import Conv3x3, MaxPool3x3
from jaxlm.models.layers.operators import max_pool_2x2

# Makes what turns a stack's features into its maps: `head(name=)` is called as `maps, sent = head(features, received,
# train=)`, where `received` is what the head of the stack before sent, None for the first.
Head = Callable[..., nn.Module]

CONV_INIT = nn.initializers.kaiming_uniform()

# Small, so that training starts from nearly empty maps.
MAP_INIT = nn.initializers.variance_scaling(1e-4, "fan_in", "uniform")


class NormReLU(nn.Module):
    """Batch normalisation and ReLU of x [B, H, W, C]; statistics are of the batch if `train`."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, name="norm")
        return nn.relu(norm(x))


class Bottleneck(nn.Module):
    """Pre-activation residual unit: [B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), features].

    BN-ReLU-1x1 to a quarter of the features, BN-ReLU-3x3, BN-ReLU-1x1, added to the input. Where the number of channels
    changes, x must have been through BN and ReLU: the first of these is left out, and a 1x1 convolution of the same x
    takes the shortcut's place.
    """

    features: int
    stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        projected = x.shape[-1] != self.features
        y = x if projected else NormReLU(self.dtype, name="norm1")(x, train=train)
        y = conv_1x1(self.features // 4, self.dtype, "conv1")(y)
        y = NormReLU(self.dtype, name="norm2")(y, train=train)
        y = Conv3x3(self.features // 4, self.stride, dtype=self.dtype, kernel_init=CONV_INIT, name="conv2")(y)
        y = NormReLU(self.dtype, name="norm3")(y, train=train)
        y = conv_1x1(self.features, self.dtype, "conv3")(y)
        return y + (conv_1x1(self.features, self.dtype, "shortcut", self.stride)(x) if projected else x)


class Resize(nn.Module):
    """Bilinear interpolation of x [B, H, W, C] at `size` x `size` pixels.

    Attributes:
      size: Side of the result in pixels.
      aligned_corners: Whether the centres of the corner pixels stay in place, or the corners of the image; with the
        latter pixel i of h is at (i + 0.5) / h of the side, and the border continues outwards.
    """

    size: int
    aligned_corners: bool = False

    def __call__(self, x: jax.Array) -> jax.Array:
        rows, columns = (interpolation(side, self.size, self.aligned_corners) for side in x.shape[1:3])
        x = jnp.einsum("ih,bhwc->biwc", rows.astype(x.dtype), x, precision="highest")
        return jnp.einsum("jw,biwc->bijc", columns.astype(x.dtype), x, precision="highest")

    def count_macs(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> tuple[int, int]:
        """Products and element-wise operations, for `jaxlm.summary`; published figures count none."""
        del input_shape, output_shape
        return 0, 0


class Hourglass(nn.Module):
    """Units on the way down `depth` halvings and up again, with a unit beside each level: [B, H, W, C], as x is.

    A level is unit(x) + up(unit(inner(unit(max_pool(x))))). Upsampling is bilinear with aligned corners, that of LAB.

    Attributes:
      depth: Halvings; 0 is the bottom alone.
      bottom: Whether the lowest level has a unit of its own.
      dtype: Type of the computation.
    """

    depth: int
    bottom: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        unit = partial(Bottleneck, x.shape[-1], dtype=self.dtype)
        beside = []
        for level in range(self.depth):
            beside.append(unit(name=f"beside{level}")(x, train=train))
            x = unit(name=f"down{level}")(max_pool_2x2(x), train=train)
        if self.bottom:
            x = unit(name="bottom")(x, train=train)
        for level in reversed(range(self.depth)):
            x = unit(name=f"up{level}")(x, train=train)
            x = beside[level] + Resize(beside[level].shape[1], aligned_corners=True)(x)
        return x


class MapHead(nn.Module):
    """BN, ReLU and a 1x1 convolution: features [B, H, W, C] become maps [B, H, W, num_maps]; it sends nothing on."""

    num_maps: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, received: None, *, train: bool) -> tuple[jax.Array, None]:
        del received
        x = NormReLU(self.dtype, name="norm")(features, train=train)
        return conv_1x1(self.num_maps, self.dtype, "conv", kernel_init=MAP_INIT)(x), None


class StackedHourglass(nn.Module):
    """Stacks of hourglasses on a stem at a quarter of the image's side; each sees the maps of the one before.

    The published estimator of LAB is this with 4 stacks of 13 maps, width 256 and depth 4. The build that its
    counts come from has a BN before each of the stem's two projected units and never uses it: 384 parameters that are
    not here.

    Attributes:
      head: Makes what turns features into maps; see `Head`.
      stacks: How many.
      width: Channels of the features.
      depth: Halvings in an hourglass.
      dtype: Type of the computation; parameters, statistics and maps are float32.
    """

    head: Head
    stacks: int = 4
    width: int = 256
    depth: int = 4
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps float32 [B, S / 4, S / 4, K] of each stack, linear, of images [B, S, S, C].

        Raises:
          ValueError: There is no stack, or the hourglasses cannot halve the images' sides so often.
        """
        check_sides(images, self.stacks, self.depth)
        x = self._stem(images.astype(self.dtype), train)
        maps, sent = [], None
        for stack in range(self.stacks):
            features = self._features(x, f"stack{stack}", train)
            found, sent = self.head(name=f"stack{stack}_head")(features, sent, train=train)
            maps.append(found.astype(jnp.float32))
            if stack < self.stacks - 1:
                x += self._next_input(features, found, f"stack{stack}", train)
        return tuple(maps)

    def _stem(self, x: jax.Array, train: bool) -> jax.Array:
        half, unit = self.width // 2, partial(Bottleneck, dtype=self.dtype)
        x = halving_conv(self.width // 4, self.dtype, "stem_conv")(x)
        x = NormReLU(self.dtype, name="stem_norm1")(x, train=train)
        x = MaxPool3x3(name="stem_pool")(unit(half, name="stem_unit1")(x, train=train))
        x = unit(half, name="stem_unit2")(x, train=train)
        x = NormReLU(self.dtype, name="stem_norm2")(x, train=train)
        return unit(self.width, name="stem_unit3")(x, train=train)

    def _features(self, x: jax.Array, name: str, train: bool) -> jax.Array:
        x = Hourglass(self.depth, dtype=self.dtype, name=f"{name}_hourglass")(x, train=train)
        x = Bottleneck(self.width, dtype=self.dtype, name=f"{name}_unit")(x, train=train)
        x = NormReLU(self.dtype, name=f"{name}_norm")(x, train=train)
        return conv_1x1(self.width, self.dtype, f"{name}_conv")(x)

    def _next_input(self, features: jax.Array, maps: jax.Array, name: str, train: bool) -> jax.Array:
        """The sum that makes the next stack's input of this one's: what this stack adds to it."""
        x = NormReLU(self.dtype, name=f"{name}_next_norm")(features, train=train)
        x = conv_1x1(self.width, self.dtype, f"{name}_next_features")(x)
        return x + conv_1x1(self.width, self.dtype, f"{name}_next_maps")(maps)


def check_sides(images: jax.Array, stacks: int, depth: int) -> None:
    """Raises ValueError where there is no stack, or hourglasses cannot halve a quarter of the sides `depth` times."""
    if stacks < 1:
        raise ValueError(f"a stacked hourglass has at least 1 stack, not {stacks}")
    smallest = 4 * 2**depth
    if images.shape[1] != images.shape[2] or images.shape[1] % smallest:
        raise ValueError(
            f"hourglasses of depth {depth} need square images whose side {smallest} divides, found shape {images.shape}"
        )


def halving_conv(features: int, dtype: DTypeLike, name: str) -> nn.Conv:
    """The first layer of a network: 7x7, of stride 2, without bias."""
    return nn.Conv(
        features, (7, 7), strides=(2, 2), padding=3, use_bias=False, kernel_init=CONV_INIT, dtype=dtype, name=name
    )


def conv_1x1(
    features: int,
    dtype: DTypeLike,
    name: str,
    stride: int = 1,
    kernel_init: nn.initializers.Initializer = CONV_INIT,
) -> nn.Conv:
    """A 1x1 convolution without bias."""
    return nn.Conv(
        features, (1, 1), strides=(stride, stride), use_bias=False, kernel_init=kernel_init, dtype=dtype, name=name
    )


def interpolation(old: int, new: int, aligned_corners: bool) -> np.ndarray:
    """Weights float32 [new, old] of the pixels that linear interpolation reads; see `Resize`."""
    pixel = np.arange(new)
    if aligned_corners:
        source = pixel * (old - 1) / max(new - 1, 1)
    else:
        source = np.clip((pixel + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(0, 1 - np.abs(source[:, None] - np.arange(old))).astype(np.float32)
