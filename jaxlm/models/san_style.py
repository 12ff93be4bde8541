"""SAN with its style branch: one network sees a face, and the same face in an average style.

SAN (Dong et al., CVPR 2018) makes the second photo by a CycleGAN between two clusters of photos, as the mean of both
directions. Here our own translator does this. A frozen detector finds the landmarks, a frozen VUNet renders a face of
that shape in several styles, and their mean is the second photo. The true landmarks are not used.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util
from jax import lax
from jax.typing import DTypeLike

from jaxlm.images import heatmaps, structure_maps
from jaxlm.landmarks import load_scheme
from jaxlm.models.san import SAN, Maps
from jaxlm.models.vunet import VUNet
from jaxlm.models.vunet.layers import MIN_INIT_IMAGES


class AverageStyle(nn.Module):
    """Photos [B, S, S, 3] of structures [B, S, S, C]: means over styles drawn from a translator's prior.

    The noise of the styles is drawn by the stream `latent`.

    Attributes:
      styles: How many renderings make a mean.
      width, max_width, dtype: The translator's, see `VUNet`.
    """

    styles: int
    width: int
    max_width: int
    dtype: DTypeLike

    def setup(self) -> None:
        self.translator = VUNet(self.width, max_width=self.max_width, dtype=self.dtype)

    def __call__(self, structures: jax.Array) -> jax.Array:
        features = self.translator.structure_encoder(structures, train=False)
        features = [jnp.repeat(feature, self.styles, axis=0) for feature in features]
        rendered = jnp.clip(self.translator.renderer(features, None, train=False)[0], -1.0, 1.0)
        return rendered.reshape(structures.shape[0], self.styles, *rendered.shape[1:]).mean(axis=1)


class SANStyle(nn.Module):
    """SAN's siamese network, and the frozen networks that make its second photo of the first.

    `detector` is a SAN of stride 4 without background, whose maps are logits, and `translator` a VUNet whose structures
    are dots and boundaries of sigma 1, the default of its task, with a factorised prior; both were trained on crops of
    the same `data.crop`. Their weights come by `init_from`, and a translator without any renders grey. No gradient
    reaches them; `optim.rates` of 0 keep the weight decay from them, too. The translator's style encoder is left out:
    styles are drawn from its prior, by the same noise for all faces at all times, so that what a face gives depends on
    that face alone.

    Attributes:
      num_points: N, how many landmarks there are a map of.
      scheme: Scheme of the landmarks, which has the boundaries that the translator sees; a built-in name or a .toml
        file.
      stride, background, width: Those of the siamese network, see `SAN`; the detector has the same width.
      styles: How many renderings make the second photo.
      seed: Draws the noise of the styles.
      translator_size: Input size of the translator in pixels.
      translator_width, translator_max_width: The translator's `width` and `max_width`.
      dtype: Type of the computation; parameters and the result are float32.
    """

    num_points: int
    scheme: str = "wflw98"
    stride: Literal[4, 8] = 4
    background: bool = False
    width: int = 64
    styles: int = 8
    seed: int = 0
    translator_size: int = 64
    translator_width: int = 16
    translator_max_width: int = 64
    dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        known = load_scheme(self.scheme).num_points
        if known != self.num_points:
            raise ValueError(
                f"the model's option scheme = {self.scheme} has {known} points and the data {self.num_points};"
                " make it the same as data.scheme"
            )
        super().__post_init__()

    def setup(self) -> None:
        self.detector = SAN(self.num_points, width=self.width, dtype=self.dtype)
        self.translator = self.param("translator", self._grey_translator)
        self.siamese = SAN(self.num_points, self.stride, self.background, self.width, dtype=self.dtype)

    def __call__(self, images: jax.Array, *, train: bool) -> Maps:
        """The four maps of `SAN.siamese`, of normalised images [B, S, S, 3]."""
        del train  # As in SAN; the frozen networks run as at evaluation.
        return self.siamese.siamese(images, self.aggregate(images))

    def aggregate(self, images: jax.Array) -> jax.Array:
        """The faces of normalised images [B, S, S, 3] in an average style, in the same shape and without gradient."""
        size = self.translator_size
        maps = self.detector(images, train=False)[-1]
        points = heatmaps.to_pixels(heatmaps.soft_argmax(maps), self.detector.stride, centred=True)
        points = (points + 0.5) * (size / images.shape[1]) - 0.5
        curves = structure_maps.boundary_maps(points, load_scheme(self.scheme), size)
        structures = jnp.concatenate([structure_maps.dot_map(points, size), curves], axis=-1)
        translator, rngs = {"params": {"translator": self.translator}}, {"latent": jax.random.key(self.seed)}

        # One face at a time, so that the noise does not depend on a face's place in the batch.
        def average(structure: jax.Array) -> jax.Array:
            return cast(jax.Array, self._average_style().apply(translator, structure, rngs=rngs))

        averages = jax.vmap(average)(structures[:, None])[:, 0]
        return lax.stop_gradient(jax.image.resize(averages, images.shape, "bilinear"))

    def _average_style(self) -> AverageStyle:
        """Unbound, since it draws from a stream of its own."""
        return AverageStyle(self.styles, self.translator_width, self.translator_max_width, self.dtype, parent=None)

    def _grey_translator(self, key: jax.Array) -> dict[str, Any]:
        """Weights that render grey, to be replaced: a translator's own initialisation wants real faces."""
        channels = 1 + len(load_scheme(self.scheme).boundaries)
        structures = jnp.zeros((MIN_INIT_IMAGES, self.translator_size, self.translator_size, channels))
        shapes = jax.eval_shape(self._average_style().init, key, structures)["params"]["translator"]
        # Directions of kernels must not vanish; lengths and biases may.
        weights = traverse_util.path_aware_map(
            lambda path, leaf: (jnp.ones if path[-1] == "v" else jnp.zeros)(leaf.shape), shapes
        )
        return dict(weights)
