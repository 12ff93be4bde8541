"""Losses of the style translator, AVS (Qian et al., ICCV 2019) after VUNet (Esser et al., CVPR 2018).

Losses are per-face values [B]. Photos are [B, S, S, 3], normalised. By default two things differ from the published
losses. Each term of the perceptual loss is divided by its value for two different faces: no layer counts more because
its values are large. The KL divergence is a mean over latent dimensions: its weight does not depend on how many there
are. `published_scales`, and `summed` in `translation_loss`, make the published losses of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import chex
import flax.serialization
import jax
import jax.numpy as jnp

from jaxlm.models.vunet import Latents, VUNetOutputs

Features = dict[str, jax.Array]

# Weight of the published perceptual loss.
_PUBLISHED_WEIGHT = 5

# A dimension counts as active where its posterior mean varies by more than this (Burda et al., ICLR 2016).
ACTIVE_VARIANCE = 0.01


class FeatureNetwork(Protocol):
    """Gives the features that the perceptual loss compares; a pytree of its weights.

    The networks are in jaxlm/styles/feature_networks.py.
    """

    def __call__(self, images: jax.Array) -> Features:
        """Named feature maps [B, h, w, C] of normalised photos [B, S, S, 3]."""


class LayerTerms(NamedTuple):
    """Distances of two batches of photos in each layer of a feature network.

    Attributes:
      content: Mean absolute difference of features, by layer.
      gram: Mean absolute difference of their Gram matrices, by layer.
    """

    content: dict[str, jax.Array]
    gram: dict[str, jax.Array]


def layer_terms(predicted: Features, truth: Features) -> LayerTerms:
    """Distances [B] of feature maps [B, h, w, C], layer by layer: mean |F - F'| and mean |G(F) - G(F')|."""
    pairs = {layer: (predicted[layer].astype(jnp.float32), truth[layer].astype(jnp.float32)) for layer in truth}
    return LayerTerms(
        content={layer: _mean_difference(ours, theirs) for layer, (ours, theirs) in pairs.items()},
        gram={layer: _mean_difference(gram(ours), gram(theirs)) for layer, (ours, theirs) in pairs.items()},
    )


def gram(features: jax.Array) -> jax.Array:
    """Gram matrices [B, C, C] of feature maps [B, h, w, C], F^T F / (h w) (Gatys et al., CVPR 2016)."""
    product = jnp.einsum("bhwc,bhwd->bcd", features, features, precision="highest")
    return product / (features.shape[1] * features.shape[2])


def layer_scales(network: FeatureNetwork, images: jax.Array) -> LayerTerms:
    """The value of each term for two different faces, a scalar: its mean over neighbours in a batch of real photos.

    The scales are taken once, before training, and kept. A loss of 1 then means "as unlike as any other face".

    Raises:
      ValueError: There are fewer than two photos.
    """
    if len(images) < 2:
        raise ValueError(f"the scales of a perceptual loss are distances between photos; {len(images)} are too few")
    features = network(images)
    terms = layer_terms(jax.tree.map(lambda feature: jnp.roll(feature, 1, axis=0), features), features)
    return jax.tree.map(lambda term: jnp.maximum(jnp.mean(term), 1e-8), terms)


def published_scales(network: FeatureNetwork, images: jax.Array) -> LayerTerms:
    """The scales by which `perceptual`, with a `gram_weight` of 0.1, is the loss that AVS publishes.

    That is 5 x the sum over layers of mean |F - F'| + 0.1 mean |G - G'|, with G = F^T F / (4 h w); `perceptual` is a
    mean over layers of such terms, and `gram` divides by h w. Of the photos only their shape matters.
    """
    layers = jax.eval_shape(network, images)
    content = jnp.float32(1 / (_PUBLISHED_WEIGHT * len(layers)))
    return LayerTerms(dict.fromkeys(layers, content), dict.fromkeys(layers, 4 * content))


def pack_perception(network: FeatureNetwork, scales: LayerTerms) -> dict[str, Any]:
    """A feature network and its scales as they are kept in `batch_stats`, where no gradient reaches them.

    `features` are the weights of the network, `scales` are those of `layer_scales`.
    """
    return {"features": flax.serialization.to_state_dict(network), "scales": scales._asdict()}


def unpack_perception(network: FeatureNetwork, batch_stats: Mapping[str, Any]) -> tuple[FeatureNetwork, LayerTerms]:
    """The network with the weights that `pack_perception` kept, and the scales."""
    kept = flax.serialization.from_state_dict(network, batch_stats["features"])
    return kept, LayerTerms(**batch_stats["scales"])


def perceptual(
    predicted: jax.Array, truth: jax.Array, network: FeatureNetwork, scales: LayerTerms, gram_weight: float = 0.1
) -> jax.Array:
    """Perceptual loss [B]: mean over layers of content + gram_weight x Gram terms, each divided by its scale.

    Args:
      predicted: Rendered photos [B, S, S, 3].
      truth: The photos they should be [B, S, S, 3].
      network: Whose features are compared.
      scales: What `layer_scales` or `published_scales` gives for this network.
      gram_weight: Weight of the Gram terms, which compare styles wherever they are in the photo.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    chex.assert_equal_shape([predicted, truth])
    terms = layer_terms(network(predicted), network(truth))
    terms = jax.tree.map(lambda term, scale: term / scale, terms, scales)
    return sum(terms.content[layer] + gram_weight * terms.gram[layer] for layer in terms.content) / len(terms.content)


def l1(predicted: jax.Array, truth: jax.Array) -> jax.Array:
    """Mean absolute difference [B] of normalised photos [B, S, S, 3], as a fraction of the 255 grey levels.

    Raises:
      AssertionError: The shapes do not agree; nothing is broadcast.
    """
    chex.assert_equal_shape([predicted, truth])
    return _mean_difference(predicted, truth) * 128 / 255


def kl_divergences(posterior: Latents, prior: Latents) -> tuple[jax.Array, ...]:
    """KL(posterior || prior) [B] in nats of each latent: sum of (mu_q - mu_p)^2 / 2, as all variances are 1.

    Raises:
      AssertionError: The means of a latent differ in shape.
    """
    chex.assert_trees_all_equal_shapes(posterior, prior)
    return tuple(0.5 * jnp.sum((q - p) ** 2, axis=(1, 2, 3)) for q, p in zip(posterior, prior, strict=True))


def active_units(means: jax.Array) -> jax.Array:
    """Share of the dimensions of a latent whose posterior means [B, h, w, C] vary over the batch by more than 0.01."""
    return jnp.mean(jnp.var(means, axis=0) > ACTIVE_VARIANCE, dtype=jnp.float32)


def translation_loss(
    outputs: VUNetOutputs,
    images: jax.Array,
    network: FeatureNetwork,
    scales: LayerTerms,
    beta: jax.Array | float,
    gram_weight: float = 0.1,
    summed: bool = False,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss [B] that trains a translator, perceptual + beta x KL, and scalars to log.

    Args:
      outputs: What the translator gives.
      images: The photos it was given [B, S, S, 3].
      network: Whose features `perceptual` compares.
      scales: What `layer_scales` or `published_scales` gives for this network.
      beta: Weight of the KL divergence; see `TranslationTask.kl_weight`.
      gram_weight: Weight of the Gram terms of `perceptual`.
      summed: The KL divergence is the sum over all dimensions of the latents, as published, in place of their mean.

    Returns:
      The loss, and means over the batch: `perceptual`, and of the latent of side k `kl_kpx` in nats and `active_kpx`,
      the share of `active_units`.
    """
    likeness = perceptual(outputs.images, images, network, scales, gram_weight)
    divergences = kl_divergences(outputs.posterior, outputs.prior)
    dimensions = 1 if summed else sum(means[0].size for means in outputs.posterior)
    metrics = {"perceptual": jnp.mean(likeness)}
    for means, divergence in zip(outputs.posterior, divergences, strict=True):
        side = means.shape[1]
        metrics |= {f"kl_{side}px": jnp.mean(divergence), f"active_{side}px": active_units(means)}
    return likeness + beta * sum(divergences) / dimensions, metrics


def _mean_difference(ours: jax.Array, theirs: jax.Array) -> jax.Array:
    return jnp.mean(jnp.abs(ours - theirs), axis=tuple(range(1, ours.ndim)))
