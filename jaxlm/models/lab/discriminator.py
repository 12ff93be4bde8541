"""The boundary effectiveness discriminator of LAB (Wu et al., CVPR 2018), for training alone."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.hourglass import CONV_INIT, NormReLU
from jaxlm.models.layers import Conv3x3, MaxPool3x3


class EffectivenessDiscriminator(nn.Module):
    """Says of each of K boundary maps [B, S, S, K] whether it leads to good landmarks: logits [B, K] float32.

    Five convolutions and three dense layers after AlexNet, 6,912,013 parameters for 13 maps of 64 x 64 (INFERRED: the
    authors' layers are unknown; these are of a later build).

    Attributes:
      width: Channels of the first convolution.
      dtype: Type of the computation; parameters, statistics and the result are float32.
    """

    width: int = 64
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: jax.Array, *, train: bool) -> jax.Array:
        """Logits of maps of any even side."""
        width, boundaries = self.width, maps.shape[-1]
        norm, pool = partial(NormReLU, self.dtype), MaxPool3x3()
        conv = partial(nn.Conv, use_bias=False, kernel_init=CONV_INIT, dtype=self.dtype)
        conv_3x3 = partial(Conv3x3, dtype=self.dtype, kernel_init=CONV_INIT)
        x = conv(width, (2, 2), strides=(2, 2), padding="VALID", name="conv1")(maps.astype(self.dtype))
        x = pool(norm(name="norm1")(x, train=train))
        x = pool(norm(name="norm2")(conv(3 * width, (5, 5), padding=2, name="conv2")(x), train=train))
        for number, features in ((3, 6 * width), (4, 4 * width), (5, 4 * width)):
            x = norm(name=f"norm{number}")(conv_3x3(features, name=f"conv{number}")(x), train=train)
        x = pool(x)
        x = x.reshape(x.shape[0], -1)
        dense = partial(nn.Dense, kernel_init=CONV_INIT, dtype=self.dtype)
        x = nn.relu(dense(16 * width, name="fc1")(x))
        x = nn.relu(dense(4 * width, name="fc2")(x))
        return nn.Dense(boundaries, kernel_init=CONV_INIT, name="fc3")(x)
