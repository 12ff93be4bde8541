"""Renders all pairs of styles and structures, measures them, and makes the checks of `styles.checks`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.checkpoints import Trained
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import inference
from jaxlm.images import cropping
from jaxlm.styles import checks, distances, translation
from jaxlm.styles.checks import Checks
from jaxlm.styles.distances import Colours
from jaxlm.styles.translation import Translator

PROBE_FACES = 512
"""The probe is fitted on at most 512 faces and judged on at most 512."""


class Measured(NamedTuple):
    """What is measured of photos [...].

    Attributes:
      points: Landmarks that the judge finds [..., N, 2], in pixels of the crop.
      colours: See `distances.colours_of`.
      textures: [..., D]; see `distances.textures_of`.
      codes: The style encoder's means [..., K].
    """

    points: np.ndarray
    colours: Colours
    textures: np.ndarray
    codes: np.ndarray


class Measures(NamedTuple):
    """The functions that measure photos [B, S, S, 3].

    Attributes:
      find: Gives the landmarks [B, N, 2] of uint8 photos, in their pixels.
      texture: Gives the textures [B, D] of normalised photos.
      encode: Gives the style codes [B, K] of normalised photos.
    """

    find: Callable[[np.ndarray], np.ndarray]
    texture: Callable[[jax.Array], jax.Array]
    encode: Callable[[jax.Array], jax.Array]


def landmark_finder(trained: Trained, translator: Translator) -> Callable[[np.ndarray], np.ndarray]:
    """A function that finds landmarks [B, N, 2] in a translator's crops uint8 [B, S, S, 3], in their pixels.

    For the detector a crop is a frame, which shows as many face boxes as the translator sees.
    """
    config, crop, size = trained.config, translator.config.data.crop, translator.config.model.input_size
    to_crop = cropping.crop_affine(size, config.model.input_size, crop, config.data.crop)
    step = jax.jit(
        functools.partial(inference.predict_step, model=trained.model, task=trained.task, size=config.model.input_size)
    )
    return lambda images: step(trained.variables, jnp.asarray(images), to_crop).points


def codes_of(translator: Translator, images: jax.Array) -> jax.Array:
    """The style of normalised photos [B, S, S, 3] as vectors [B, K]: the means of all latents."""
    return jnp.concatenate([means.reshape(len(images), -1) for means in translation.encode(translator, images)], axis=1)


def render_pairs(translator: Translator, images: jax.Array, structures: jax.Array) -> np.ndarray:
    """All pairs uint8 [n, n, S, S, 3] of photos [n, S, S, 3] and structures [n, S, S, C]: (i, j) has the style of i."""
    count = len(images)
    latents = jax.tree.map(np.asarray, translation.encode(translator, images))
    maps = np.asarray(structures)

    def render(style: np.ndarray, structure: np.ndarray) -> np.ndarray:
        chosen = jax.tree.map(lambda means: means[style], latents)
        return translation.to_uint8(translation.decode(translator, chosen, maps[structure]))

    pairs = translation.in_batches(render, *np.divmod(np.arange(count**2), count))
    return pairs.reshape(count, count, *pairs.shape[1:])


def measure(images: np.ndarray, measures: Measures) -> Measured:
    """Measures photos uint8 [B, S, S, 3]."""

    def batch(images: np.ndarray) -> Measured:
        normalised = cropping.normalise(jnp.asarray(images, jnp.float32))
        return Measured(
            points=measures.find(images),
            colours=distances.colours_of(images),
            textures=np.asarray(measures.texture(normalised)),
            codes=np.asarray(measures.encode(normalised)),
        )

    return translation.in_batches(batch, images)


def check_pairs(
    photos: np.ndarray, pairs: np.ndarray, truth: np.ndarray, distance: np.ndarray, measures: Measures
) -> Checks:
    """The checks that need photos and rendered pairs, but not the translator; see `jaxlm.styles.checks`.

    Args:
      photos: uint8 [n, S, S, 3].
      pairs: Style of photo i in structure of photo j, uint8 [n, n, S, S, 3].
      truth: Landmarks of the photos [n, N, 2], in pixels of the crop.
      distance: Normaliser [n] of the photos, in pixels of the crop.
      measures: What measures both.
    """
    count = len(photos)
    of_photos, of_pairs = measure(photos, measures), measure(pairs.reshape(-1, *photos.shape[1:]), measures)
    of_pairs = jax.tree.map(lambda leaf: leaf.reshape(count, count, *leaf.shape[1:]), of_pairs)
    of_styles = jax.tree.map(lambda leaf: leaf[:, None], of_photos)
    by_colour, by_texture = distances.colour_distance, distances.texture_distance
    rebuilt = pairs[np.arange(count), np.arange(count)].astype(np.float32)
    similarity = translation.in_batches(distances.multi_scale_ssim, rebuilt, photos.astype(np.float32))
    return {
        **checks.structure_checks(of_pairs.points, of_photos.points, truth, distance),
        **checks.style_checks(
            "colour",
            by_colour(of_pairs.colours, of_styles.colours),
            by_colour(of_pairs.colours, of_photos.colours),
        ),
        **checks.style_checks(
            "texture",
            by_texture(of_pairs.textures, of_styles.textures),
            by_texture(of_pairs.textures, of_photos.textures),
        ),
        **checks.code_checks(of_pairs.codes, of_photos.codes),
        "diversity": checks.diversity(of_pairs.colours, of_photos.colours),
        "l1": np.abs(rebuilt - photos).mean(),
        "ms_ssim": similarity.mean(),
    }


def check_codes(translator: Translator, training: Faces, held_out: Faces) -> Checks:
    """R^2 of landmarks in pixels of the crop, predicted by a linear probe; see `checks.ridge_probe`.

    The probe is fitted on training faces and judged on held-out ones. It predicts from style codes (`probe_code`) and
    from pixels of crops of at most 64 pixels a side (`probe_pixels`). `probe_mean` is the mean of the landmarks.
    """

    def known(indices: np.ndarray, faces: Faces) -> tuple[jax.Array, jax.Array, jax.Array]:
        images, points = translation.crops_of(faces, indices, translator)
        side = min(images.shape[1], 64)
        pixels = jax.image.resize(images, (len(images), side, side, 3), "linear")
        codes = codes_of(translator, images)
        return codes, pixels.reshape(len(images), -1), points.reshape(len(images), -1)

    (codes, pixels, points), (other_codes, other_pixels, other_points) = (
        translation.in_batches(functools.partial(known, faces=faces), spread(len(faces), PROBE_FACES))
        for faces in (training, held_out)
    )
    return {
        "probe_code": checks.ridge_probe(codes, points, other_codes, other_points),
        "probe_pixels": checks.ridge_probe(pixels, points, other_pixels, other_points),
        "probe_mean": checks.r_squared(points.mean(axis=0), other_points),
    }


def spread(count: int, most: int) -> np.ndarray:
    """Indices of at most `most` of `count` faces, evenly spaced."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)


def check_swap(translator: Translator, images: jax.Array, structures: jax.Array, pairs: np.ndarray) -> float:
    """Largest difference in grey levels between the pairs (i, i) and the model's own reconstructions."""
    reconstruct = jax.jit(functools.partial(translator.model.apply, translator.variables, method="reconstruct"))
    rebuilt = translation.in_batches(lambda *batch: translation.to_uint8(reconstruct(*batch)), images, structures)
    index = np.arange(len(images))
    return float(np.abs(rebuilt - pairs[index, index].astype(int)).max())
