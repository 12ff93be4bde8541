"""The six-convolution network that SepBN was published with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike, DTypeLike

from jaxlm.models.layers import BatchNorm, Conv3x3, SeparableBatchNorm
from jaxlm.models.layers.operators import max_pool_2x2

Norm = Callable[[jax.Array], jax.Array]


class ConvBlock(nn.Module):
    """3 x 3 convolution, normalisation, LeakyReLU(0.01), 2 x 2 maximum: [B, H, W, C] -> [B, H/2, W/2, features]."""

    features: int
    norm: Norm
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.kaiming_uniform()
        x = Conv3x3(self.features, use_bias=True, kernel_init=init, dtype=self.dtype, name="conv")(x)
        return max_pool_2x2(nn.leaky_relu(self.norm(x)))


class CNN(nn.Module):
    """The "Vanilla CNN" of SepBN (arXiv 2101.06663): convolution blocks, then two dense layers give the coordinates.

    Attributes:
      num_points: N, how many landmarks it predicts.
      widths: Channels of each block; every block halves the image.
      head_width: Width of the hidden dense layer.
      norm: Normalisation after each convolution: none (the paper's baseline), batch normalisation, or SepBN.
      sets, groups, attention, ratio, pool: Options of SepBN; see `SeparableBatchNorm`.
      unbiased_running_var: Option of both normalisations, as PyTorch has it; see `layers.batch_norm`.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    num_points: int
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    head_width: int = 2048
    norm: Literal["none", "batch", "sepbn"] = "none"
    sets: int = 3
    groups: int = 1
    attention: Literal["code", "grouped"] = "code"
    ratio: float = 0.1
    pool: int = 1
    unbiased_running_var: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool, temperature: ArrayLike = 1.0) -> jax.Array:
        """Raw outputs [B, 2 N] float32, in the order x0, y0, x1, y1, ..., of normalised images [B, S, S, 3].

        Raises:
          ValueError: The images are too small for the number of blocks.
        """
        smallest = 2 ** len(self.widths)
        if min(images.shape[1:3]) < smallest:
            raise ValueError(f"{len(self.widths)} blocks need images of {smallest} px, found shape {images.shape}")
        x = images.astype(self.dtype)
        for index, width in enumerate(self.widths, start=1):
            x = ConvBlock(width, self._norm(train, temperature), self.dtype, name=f"block{index}")(x)
        x = x.reshape(x.shape[0], -1)
        dense = partial(nn.Dense, kernel_init=nn.initializers.kaiming_uniform())
        x = nn.leaky_relu(dense(self.head_width, dtype=self.dtype, name="fc1")(x))
        # bfloat16 would round a coordinate near 100 px to half a pixel.
        return dense(2 * self.num_points, dtype=jnp.float32, name="fc2")(x)

    def _norm(self, train: bool, temperature: ArrayLike) -> Norm:
        """The normalisation of a block, between convolution and activation."""
        if self.norm == "batch":
            batch_norm = partial(BatchNorm, self.unbiased_running_var, dtype=self.dtype, name="norm")
            return lambda x: batch_norm()(x, use_running_average=not train)
        if self.norm == "sepbn":
            norm = partial(
                SeparableBatchNorm,
                sets=self.sets,
                groups=self.groups,
                attention=self.attention,
                ratio=self.ratio,
                pool=self.pool,
                unbiased_running_var=self.unbiased_running_var,
                dtype=self.dtype,
                name="norm",
            )
            return lambda x: norm()(x, use_running_average=not train, temperature=temperature)
        return lambda x: x
