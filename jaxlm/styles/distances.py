"""Distances of photos: MS-SSIM; and of their colours and textures, wherever these are in the photo."""

from __future__ import annotations

from typing import NamedTuple

import chex
import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxlm.tasks.translation_losses import FeatureNetwork, gram, layer_scales

_WINDOW, _SIGMA = 11, 1.5
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class Colours(NamedTuple):
    """The colours of photos, as a normal distribution in CIE Lab.

    Attributes:
      mean: [..., 3].
      covariance: [..., 3, 3].
    """

    mean: np.ndarray
    covariance: np.ndarray


def num_scales(side: int) -> int:
    """How many scales of `multi_scale_ssim` a photo of `side` pixels has room for, five at most."""
    return min(len(_SCALE_WEIGHTS), (side // _WINDOW).bit_length())


@jax.jit
def multi_scale_ssim(images: jax.Array, truth: jax.Array) -> jax.Array:
    """Multi-scale structural similarity [B] of photos [B, H, W, C] in 0..255; 1 where they are equal.

    Wang, Simoncelli and Bovik (Asilomar 2003): luminance of the coarsest scale, contrast and structure of each, in
    Gaussian windows of 11 pixels; a mean over channels. Photos with a side under 176 pixels have fewer than the five
    scales, `num_scales`, and the published exponents of those are divided by their sum.

    Raises:
      AssertionError: The shapes differ, or a side is shorter than a window.
    """
    chex.assert_equal_shape([images, truth])
    scales = num_scales(min(images.shape[1:3]))
    chex.assert_scalar_positive(scales)
    weights = np.asarray(_SCALE_WEIGHTS[:scales]) / sum(_SCALE_WEIGHTS[:scales])
    product = 1.0
    for scale, weight in enumerate(weights):
        similarity, contrast = _ssim(images, truth)
        last = scale == scales - 1
        product *= jnp.maximum(similarity if last else contrast, 0.0) ** weight
        if not last:
            images, truth = (lax.reduce_window(x, 0.0, lax.add, *_HALVE) / 4 for x in (images, truth))
    return jnp.mean(product, axis=-1)


# Window, strides and padding of a mean over 2 x 2 pixels that leaves out an odd last row or column.
_HALVE = ((1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _ssim(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """SSIM, and its factor of contrast and structure, both [B, C]: means over all windows inside of the photos."""
    offset = jnp.arange(_WINDOW) - _WINDOW // 2
    bell = jnp.exp(-0.5 * (offset / _SIGMA) ** 2)
    bell = bell / bell.sum()
    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def blur(image: jax.Array) -> jax.Array:
        batch, height, width, channels = image.shape
        planes = jnp.moveaxis(image, -1, 1).reshape(-1, height, width, 1)
        for kernel in (bell[:, None, None, None], bell[None, :, None, None]):
            planes = lax.conv_general_dilated(
                planes, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
            )
        return planes.reshape(batch, channels, *planes.shape[1:3])

    mean_x, mean_y = blur(x), blur(y)
    variance = blur(x**2) - mean_x**2 + blur(y**2) - mean_y**2
    contrast = (2 * (blur(x * y) - mean_x * mean_y) + high) / (variance + high)
    luminance = (2 * mean_x * mean_y + low) / (mean_x**2 + mean_y**2 + low)
    return jnp.mean(luminance * contrast, axis=(2, 3)), jnp.mean(contrast, axis=(2, 3))


def colours_of(images: np.ndarray) -> Colours:
    """The colours of photos, RGB uint8 [B, S, S, 3]."""
    batch, side = images.shape[:2]
    tall = images.reshape(batch * side, side, 3).astype(np.float32) / 255
    lab = cv2.cvtColor(tall, cv2.COLOR_RGB2Lab).reshape(batch, -1, 3)
    mean = lab.mean(axis=1)
    centred = lab - mean[:, None]
    return Colours(mean, np.einsum("bpi,bpj->bij", centred, centred) / centred.shape[1])


def colour_distance(one: Colours, other: Colours) -> np.ndarray:
    """Frechet distance [...] of the normal distributions, in units of Lab (Dowson and Landau, 1982).

    Its square is |m - m'|^2 + trace(C + C' - 2 (C C')^(1/2)); leading axes are broadcast.
    """
    # The eigenvalues of a product of two covariances are real and not negative, but for rounding.
    shared = np.sqrt(np.maximum(np.linalg.eigvals(one.covariance @ other.covariance).real, 0)).sum(axis=-1)
    traces = np.trace(one.covariance + other.covariance, axis1=-2, axis2=-1)
    return np.sqrt(np.maximum(np.sum((one.mean - other.mean) ** 2, axis=-1) + traces - 2 * shared, 0))


def texture_scales(network: FeatureNetwork, photos: jax.Array) -> dict[str, jax.Array]:
    """The mean distance of the Gram matrices of neighbours in a batch of normalised photos [B, S, S, 3], by layer."""
    return layer_scales(network, photos).gram


def textures_of(network: FeatureNetwork, scales: dict[str, jax.Array], images: jax.Array) -> jax.Array:
    """The Gram matrices of normalised photos [B, S, S, 3] as vectors [B, D] for `texture_distance`."""
    features = network(images)
    matrices = [gram(features[layer]) / (scales[layer] * len(scales)) for layer in scales]
    return jnp.concatenate([(m / m[0].size).reshape(len(images), -1) for m in matrices], axis=-1)


def texture_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distance [...] of textures [..., D], about 1 for two different photos: a mean over layers; axes are broadcast."""
    return np.abs(one - other).sum(axis=-1)
