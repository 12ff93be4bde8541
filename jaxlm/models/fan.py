"""FAN: heat-maps of landmarks from a stacked hourglass, as of Bulat and Tzimiropoulos (ICCV 2017)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.hourglass import CONV_INIT, MAP_INIT, MapHead, NormReLU, StackedHourglass, check_sides, conv_1x1
from jaxlm.models.layers import Conv3x3, rescale
from jaxlm.models.resunet import double

_DEPTH = 4


class FAN(nn.Module):
    """A stacked hourglass with a heat-map for each landmark, its maps fed to the next stack.

    The authors' own network is `units = published`. It sees pixels v / 255, pools by means, repeats pixels to
    upsample, and its units join three convolutions of falling width (hierarchical, parallel and multi-scale): 23.8 M
    parameters for 4 stacks and 68 points. By default the units are the bottlenecks that the paper compares them with,
    in the form LAB has them, and upsampling is bilinear.

    Attributes:
      num_points: N, how many landmarks there are a map of.
      stacks: Hourglasses one after another; the published network has 4.
      width: Channels of the features; `published` units want a multiple of 8.
      units: `lab` or `published`.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    num_points: int
    stacks: int = 4
    width: int = 256
    units: Literal["lab", "published"] = "lab"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Raw maps float32 [B, S / 4, S / 4, N] of each stack, of normalised images [B, S, S, 3].

        Raises:
          ValueError: There is no stack, 64 does not divide the images' sides, or 8 not the width of published units.
        """
        if self.units == "published":
            stacks = PublishedStacks(self.num_points, self.stacks, self.width, self.dtype, name="published")
            return stacks(rescale(images, "unit"), train=train)
        head = partial(MapHead, self.num_points, self.dtype)
        return StackedHourglass(head, self.stacks, self.width, dtype=self.dtype, name="hourglass")(images, train=train)


class MultiScaleUnit(nn.Module):
    """Residual unit of FAN: [B, H, W, C] -> [B, H, W, features].

    Three times BN-ReLU-3x3, each of the result before, give a half, a quarter and a quarter of the features; joined,
    they are added to the input, or to BN-ReLU-1x1 of it where the number of channels changes.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        y, parts = x, []
        for number, features in enumerate((self.features // 2, self.features // 4, self.features // 4), start=1):
            y = NormReLU(self.dtype, name=f"norm{number}")(y, train=train)
            y = Conv3x3(features, dtype=self.dtype, kernel_init=CONV_INIT, name=f"conv{number}")(y)
            parts.append(y)
        if x.shape[-1] != self.features:
            x = NormReLU(self.dtype, name="shortcut_norm")(x, train=train)
            x = conv_1x1(self.features, self.dtype, "shortcut")(x)
        return jnp.concatenate(parts, axis=-1) + x


class PublishedStacks(nn.Module):
    """The authors' stacked hourglass, of pixels v / 255; fields, results and errors are those of `FAN`."""

    num_points: int
    stacks: int
    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        check_sides(images, self.stacks, _DEPTH)
        if self.width % 8:
            raise ValueError(f"published units of FAN need a width that 8 divides, not {self.width}")
        unit = partial(MultiScaleUnit, dtype=self.dtype)
        conv = partial(nn.Conv, self.width, (1, 1), kernel_init=CONV_INIT, dtype=self.dtype)
        heat_maps = partial(nn.Conv, self.num_points, (1, 1), kernel_init=MAP_INIT, dtype=self.dtype)
        x = self._stem(images.astype(self.dtype), train)
        maps = []
        for stack in range(self.stacks):
            features = unit(self.width, name=f"stack{stack}_unit")(self._hourglass(x, stack, train), train=train)
            features = conv(name=f"stack{stack}_conv")(features)
            features = NormReLU(self.dtype, name=f"stack{stack}_norm")(features, train=train)
            found = heat_maps(name=f"stack{stack}_maps")(features)
            maps.append(found.astype(jnp.float32))
            if stack < self.stacks - 1:
                x += conv(name=f"stack{stack}_next_features")(features) + conv(name=f"stack{stack}_next_maps")(found)
        return tuple(maps)

    def _stem(self, x: jax.Array, train: bool) -> jax.Array:
        unit = partial(MultiScaleUnit, dtype=self.dtype)
        x = nn.Conv(self.width // 4, (7, 7), (2, 2), 3, kernel_init=CONV_INIT, dtype=self.dtype, name="stem_conv")(x)
        x = NormReLU(self.dtype, name="stem_norm")(x, train=train)
        x = mean_pool(unit(self.width // 2, name="stem_unit1")(x, train=train))
        x = unit(self.width // 2, name="stem_unit2")(x, train=train)
        return unit(self.width, name="stem_unit3")(x, train=train)

    def _hourglass(self, x: jax.Array, stack: int, train: bool) -> jax.Array:
        """One hourglass, as `hourglass.Hourglass` has it, but for its units, pools and upsampling."""

        def unit(name: str, x: jax.Array) -> jax.Array:
            return MultiScaleUnit(self.width, self.dtype, name=f"stack{stack}_{name}")(x, train=train)

        beside = []
        for level in range(_DEPTH):
            beside.append(unit(f"beside{level}", x))
            x = unit(f"down{level}", mean_pool(x))
        x = unit("bottom", x)
        for level in reversed(range(_DEPTH)):
            x = beside[level] + double(unit(f"up{level}", x))
        return x


def mean_pool(x: jax.Array) -> jax.Array:
    """The mean of each 2 x 2 block of x [B, H, W, C], whose sides are even: [B, H / 2, W / 2, C]."""
    rows = x[:, 0::2] + x[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) / 4
