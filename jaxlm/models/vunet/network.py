"""VUNet: a variational U-Net that draws a face of given structure in the style of another photo.

Esser et al., CVPR 2018, in the form of AVS (Qian et al., ICCV 2019). A style encoder sees the photo alone and gives two
latents, at 4 x 4 and 8 x 8 cells; a structure encoder sees the structure map alone (jaxlm/images/structure_maps.py) and
reaches the renderer through skips at every scale. The latents' prior is given the structure: style need not repeat it.

Photos are [B, S, S, 3], normalised, with S a power of two from 8 on; structures are [B, S, S, C] in 0..1. Randomness is
in the streams `latent` (of latents that are drawn) and `dropout` (while training).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.models.vunet import layers
from jaxlm.models.vunet.layers import ResidualBlock, Upsample, WeightNormConv

Latents = tuple[jax.Array, ...]

# Sides of the latents' maps, coarsest first; both encoders end at the first.
LATENT_SIDES = (4, 8)

# Options of the form that AVS was published with: 47,253,894 parameters for photos of 256 px and structures of three
# channels. Its code builds 902,656 more, of two layers that reach neither the photo nor the loss.
PUBLISHED: Mapping[str, Any] = {"encoder_width": 128, "prior": "autoregressive", "trailing_block": True}


class VUNetOutputs(NamedTuple):
    """What a VUNet gives in training: rendered photos, and the means of the latents.

    Attributes:
      images: Rendered photos [B, S, S, 3], normalised, float32; they may leave the range.
      posterior: Means of the latents given the photo, [B, 4, 4, C] and [B, 8, 8, C]; their variance is 1.
      prior: Means of the latents given the structure, and given the latents before them; same shapes, same variance.
    """

    images: jax.Array
    posterior: Latents
    prior: Latents


class Pyramid(nn.Module):
    """Two feature maps a scale, finest first, of images [B, S, S, C]: sides S, S, S / 2, S / 2, ..., 4, 4.

    Attributes:
      width: Channels of the finest scale; each coarser one has twice as many, up to `max_width`.
      max_width: Most channels of a scale.
      dropout: Rate in residual blocks.
      dtype: Type of the computation.
    """

    width: int
    max_width: int
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> list[jax.Array]:
        conv = partial(WeightNormConv, dtype=self.dtype)
        side = _check_side(images)
        width = self.width
        x = conv(width, size=1, name="input")(images)
        features = []
        while True:
            for index in (1, 2):
                x = ResidualBlock(self.dropout, self.dtype, name=f"block{index}_{side}px")(x, train=train)
                features.append(x)
            if side == LATENT_SIDES[0]:
                return features
            width, side = min(2 * width, self.max_width), side // 2
            x = conv(width, stride=2, name=f"down_{side}px")(x)


class StyleEncoder(nn.Module):
    """Means of the latents given photos [B, S, S, 3]; the finer mean is given the coarser latent, too.

    Attributes:
      width, max_width, dropout, dtype: Those of the `Pyramid`; latents have `max_width` channels.
      trailing_block: See `VUNet`.
    """

    width: int
    max_width: int
    trailing_block: bool
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool, draw: bool) -> tuple[Latents, Latents]:
        """Means, and the latents: draws, or without `draw` the means."""
        block = partial(ResidualBlock, self.dropout, self.dtype)
        features = Pyramid(self.width, self.max_width, self.dropout, self.dtype, name="pyramid")(images, train=train)
        x = WeightNormConv(features[-1].shape[-1], size=1, dtype=self.dtype, name="bottleneck")(features[-1])
        means, latents = [], []
        for side in LATENT_SIDES:
            x = block(name=f"block1_{side}px")(x, features.pop(), train=train)
            mean = WeightNormConv(self.max_width, dtype=self.dtype, name=f"mean_{side}px")(x)
            means.append(mean.astype(jnp.float32))
            latents.append(layers.draw_latents(self, means[-1]) if draw else means[-1])
            extra = jnp.concatenate([features.pop(), latents[-1].astype(self.dtype)], axis=-1)
            if side != LATENT_SIDES[-1]:
                x = block(name=f"block2_{side}px")(x, extra, train=train)
                x = Upsample(features[-1].shape[-1], self.dtype, name=f"up_{2 * side}px")(x)
            elif self.trailing_block:
                block(name=f"block2_{side}px")(x, extra, train=train)
        return tuple(means), tuple(latents)


class Renderer(nn.Module):
    """Photos [B, S, S, 3] from the features of structures and latents, and the means of the latents' prior.

    Attributes:
      latent_width: Channels of the latents.
      prior: See `VUNet`.
      dropout: Rate in residual blocks.
      dtype: Type of the computation.
    """

    latent_width: int
    prior: Literal["factorised", "autoregressive"]
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, features: list[jax.Array], latents: Latents | None, *, train: bool) -> tuple[jax.Array, Latents]:
        """Features are those of a `Pyramid`; latents that are not given are drawn from the prior."""
        block = partial(ResidualBlock, self.dropout, self.dtype)
        conv = partial(WeightNormConv, dtype=self.dtype)
        prior = layers.AutoregressivePrior if self.prior == "autoregressive" else layers.FactorisedPrior
        features, means = list(features), list[jax.Array]()
        x = conv(features[-1].shape[-1], size=1, name="bottleneck")(features[-1])
        while features:
            side = x.shape[1]
            x = block(name=f"block1_{side}px")(x, features.pop(), train=train)
            if side in LATENT_SIDES:
                given = None if latents is None else latents[len(means)]
                layer = prior(self.latent_width, self.dropout, self.dtype, name=f"prior_{side}px")
                mean, latent = layer(x, given, train=train)
                means.append(mean)
                joined = jnp.concatenate([x, latent.astype(self.dtype)], axis=-1)
                x = conv(x.shape[-1], size=1, name=f"latent_{side}px")(joined)
            x = block(name=f"block2_{side}px")(x, features.pop(), train=train)
            if features:
                x = Upsample(features[-1].shape[-1], self.dtype, name=f"up_{2 * side}px")(x)
        return conv(3, name="output")(x).astype(jnp.float32), tuple(means)


class VUNet(nn.Module):
    """The variational U-Net; see the head of this file.

    `init` needs a batch of real faces, as `WeightNormConv` does, and train = True as published.

    The default encodes styles with a quarter of the published width at the finest scale, which halves the cost, and has
    a prior of elements that are independent given the structure; `PUBLISHED` holds the options of the published form.

    Attributes:
      width: Channels at the finest scale of the structure encoder and the renderer, doubled with each coarser scale.
      encoder_width: The same of the style encoder.
      max_width: Most channels of a scale, and those of the latents.
      prior: `factorised` or, as published, `autoregressive` over four sub-lattices of each latent, which takes 70 % of
        the published parameters and serves `sample` and the KL term alone.
      trailing_block: Keep the last residual block of the published style encoder, whose output nothing reads.
      dropout: Rate in residual blocks.
      dtype: Type of the computation; parameters, latents and photos are float32.
    """

    width: int = 32
    encoder_width: int = 32
    max_width: int = 128
    prior: Literal["factorised", "autoregressive"] = "factorised"
    trailing_block: bool = False
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        self.style_encoder = StyleEncoder(
            width=self.encoder_width,
            max_width=self.max_width,
            trailing_block=self.trailing_block,
            dropout=self.dropout,
            dtype=self.dtype,
        )
        self.structure_encoder = Pyramid(self.width, self.max_width, self.dropout, self.dtype)
        self.renderer = Renderer(self.max_width, self.prior, self.dropout, self.dtype)

    def __call__(self, images: jax.Array, structures: jax.Array, *, train: bool) -> VUNetOutputs:
        """Photos [B, S, S, 3] drawn again from their own structures [B, S, S, C] and styles.

        Latents are drawn while training, and are the posterior's means otherwise.

        Raises:
          ValueError: Sides are no power of two from 8 on, photos and structures differ in size, or `init` got too few.
        """
        if images.shape[:3] != structures.shape[:3]:
            raise ValueError(f"photos {images.shape} and structures {structures.shape} differ in number or size")
        posterior, latents = self.style_encoder(images, train=train, draw=train)
        rendered, prior = self.renderer(self.structure_encoder(structures, train=train), latents, train=train)
        return VUNetOutputs(rendered, posterior, prior)

    def reconstruct(self, images: jax.Array, structures: jax.Array) -> jax.Array:
        """Photos [B, S, S, 3] drawn again from their own structures and the means of their styles."""
        return self(images, structures, train=False).images

    def encode(self, images: jax.Array, *, draw: bool = False) -> Latents:
        """The style of photos [B, S, S, 3]: means of the latents, [B, 4, 4, max_width] and [B, 8, 8, max_width].

        The second is that given the first one's mean or, as the published code has it for transfers, given a `draw`.
        """
        return self.style_encoder(images, train=False, draw=draw)[0]

    def decode(self, style: Latents, structures: jax.Array) -> jax.Array:
        """Photos [B, S, S, 3] of structures [B, S, S, C], each in its style."""
        return self.renderer(self.structure_encoder(structures, train=False), style, train=False)[0]

    def sample(self, structures: jax.Array) -> jax.Array:
        """Photos [B, S, S, 3] of structures [B, S, S, C] in styles drawn from the prior, by the stream `latent`."""
        return self.renderer(self.structure_encoder(structures, train=False), None, train=False)[0]

    def transfer(self, styles: jax.Array, structures: jax.Array) -> jax.Array:
        """All pairs [M, N, S, S, 3]: element (i, j) has the style of photo i and structure j.

        Every photo [M, S, S, 3] and every structure [N, S, S, C] is encoded once; all pairs are rendered at once, so
        memory grows with M N.
        """
        features = self.structure_encoder(structures, train=False)
        features = [jnp.tile(feature, (len(styles), 1, 1, 1)) for feature in features]
        latents = tuple(jnp.repeat(latent, len(structures), axis=0) for latent in self.encode(styles))
        rendered = self.renderer(features, latents, train=False)[0]
        return rendered.reshape(len(styles), len(structures), *rendered.shape[1:])


@partial(jax.jit, static_argnames="model")
def transfer(model: VUNet, variables: Mapping[str, Any], styles: jax.Array, structures: jax.Array) -> jax.Array:
    """`VUNet.transfer` in one compiled call: [M, N, S, S, 3], (i, j) of style i and structure j."""
    return cast(jax.Array, model.apply(variables, styles, structures, method="transfer"))


def _check_side(images: jax.Array) -> int:
    """The side of square images that can be halved down to the coarsest latents."""
    height, width = images.shape[1:3]
    if height != width or height < LATENT_SIDES[-1] or height & (height - 1):
        raise ValueError(f"VUNet needs square images with a power of two from 8 on as side, found shape {images.shape}")
    return height
