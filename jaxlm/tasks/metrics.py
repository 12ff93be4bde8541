"""Landmark metrics: normalised mean error (NME), failure rate (FR), area under the error curve (AUC), CED.

Pure, jittable and masked, so that an evaluation may pad its last batch. Errors are fractions of the normaliser: 0.05 is
the 5 % of a table; only the code that prints multiplies by 100. FR and AUC belong to all the faces of a set together:
the mean over batches is not the same number, so collect the NME of every face and call `summarise` once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.landmarks import Scheme

NORMALISERS = ("inter_ocular", "inter_pupil", "box", "image")


class Summary(NamedTuple):
    """The numbers of one set of faces; NaN where the set is empty.

    Attributes:
      count: How many faces were counted, int32 [].
      nme: Mean of the faces' NME [].
      failure_rate: The share of faces whose NME exceeds each threshold [T].
      auc: Area under the cumulative error curve up to each threshold, divided by the threshold [T].
    """

    count: jax.Array  # type: ignore[assignment]  # It hides tuple.count, which nobody calls.
    nme: jax.Array
    failure_rate: jax.Array
    auc: jax.Array


def normaliser_distance(
    truth: jax.Array | np.ndarray, scheme: Scheme, kind: str, image_size: float | None = None
) -> jax.Array:
    """The length [B] in pixels by which the errors of each face are divided.

    Args:
      truth: True points [B, N, 2] in pixels; NaN where a hidden one has no place. The length is NaN where points that
        it needs have none.
      scheme: The scheme of the points.
      kind: `inter_ocular`, the distance of the outer eye corners (WFLW, 300-W); `inter_pupil`, the distance of the
        pupils, each the mean of its points in the scheme; `box`, sqrt(width * height) of the tight box of the true
        points (AFLW2000-3D); `image`, the side of the image.
      image_size: The side of the image in pixels, for `image`.

    Raises:
      ValueError: `kind` is unknown, the scheme lacks the points it needs, or `image_size` is missing.
      AssertionError: `truth` does not hold the scheme's points.
    """
    chex.assert_shape(truth, (None, scheme.num_points, 2))
    if kind == "inter_ocular":
        if scheme.eye_corners is None:
            raise ValueError(_missing(scheme, kind, "eye_corners"))
        left, right = scheme.eye_corners
        return jnp.linalg.norm(truth[:, left] - truth[:, right], axis=-1)
    if kind == "inter_pupil":
        if scheme.pupils is None:
            raise ValueError(_missing(scheme, kind, "pupils"))
        pupils = [jnp.nanmean(truth[:, np.asarray(points)], axis=1) for points in scheme.pupils]
        return jnp.linalg.norm(pupils[0] - pupils[1], axis=-1)
    if kind == "box":
        return jnp.sqrt(jnp.prod(jnp.nanmax(truth, axis=1) - jnp.nanmin(truth, axis=1), axis=-1))
    if kind == "image":
        if image_size is None:
            raise ValueError("normaliser image needs `image_size`, the side of the image in pixels")
        return jnp.full(truth.shape[:1], image_size, truth.dtype)
    raise ValueError(f"unknown normaliser {kind!r}; known: {', '.join(NORMALISERS)}")


def default_normaliser(scheme: Scheme) -> str:
    """`inter_ocular` where the scheme names eye corners, else `box`."""
    return "inter_ocular" if scheme.eye_corners else "box"


def _missing(scheme: Scheme, kind: str, field: str) -> str:
    return (
        f"normaliser {kind} needs `{field}`, which scheme {scheme.name} does not name; add them to the scheme "
        f"or choose another normaliser of {', '.join(NORMALISERS)}"
    )


def face_nme(
    predicted: jax.Array, truth: jax.Array, distance: jax.Array, visible: jax.Array | None = None
) -> jax.Array:
    """Normalised mean error of each face [B], a fraction: mean over its points of ||p - g|| / distance.

    Every point counts, occluded or not, as the protocols of WFLW and 300-W have it. With `visible` only the points it
    marks count, and the others may hold anything; a face that has none is NaN and wants masking in `summarise`.

    Args:
      predicted: Predicted points [B, N, 2] in pixels.
      truth: True points [B, N, 2] in the same pixels.
      distance: Normaliser of each face [B] in the same pixels; see `normaliser_distance`.
      visible: The points to count [B, N], true or non-zero; None counts all.

    Raises:
      AssertionError: The shapes do not agree.
    """
    chex.assert_equal_shape([predicted, truth])
    chex.assert_shape(distance, truth.shape[:1])
    error = jnp.linalg.norm(predicted - truth, axis=-1)
    if visible is None:
        return error.mean(axis=1) / distance
    chex.assert_shape(visible, truth.shape[:2])
    counted = visible.astype(bool)
    return jnp.where(counted, error, 0).sum(axis=1) / counted.sum(axis=1) / distance


def summarise(
    nme: jax.Array | np.ndarray, mask: jax.Array | np.ndarray, thresholds: Sequence[float] | jax.Array
) -> Summary:
    """Mean NME, FR and AUC over the faces that `mask` marks.

    FR at t is mean(nme > t). AUC at t is mean(max(0, t - nme)) / t, the exact area under the cumulative error curve,
    which published scripts approximate on a grid. A face whose NME is NaN fails at every threshold, and turns the
    mean and the AUC into NaN.

    Args:
      nme: NME of each face [N], a fraction.
      mask: The faces to count [N], boolean; the others (padding, other subsets) may hold anything.
      thresholds: The thresholds t [T], fractions.
    """
    chex.assert_equal_shape([nme, mask])
    limits = jnp.asarray(thresholds, nme.dtype)[:, None]
    count = mask.sum(dtype=jnp.int32)
    below = jnp.where(mask[None], jnp.maximum(0, limits - nme[None]), 0)
    return Summary(
        count=count,
        nme=jnp.where(mask, nme, 0).sum() / count,
        failure_rate=jnp.asarray((mask[None] & ~(nme[None] <= limits)).sum(axis=1) / count),
        auc=below.sum(axis=1) / count / limits[:, 0],
    )


def ced(nme: jax.Array, mask: jax.Array, thresholds: Sequence[float] | jax.Array) -> jax.Array:
    """Cumulative error distribution: the share of faces [T] whose NME is at most each threshold.

    Args:
      nme: NME of each face [N], a fraction.
      mask: The faces to count [N], boolean.
      thresholds: The thresholds t [T], fractions.
    """
    chex.assert_equal_shape([nme, mask])
    limits = jnp.asarray(thresholds, nme.dtype)[:, None]
    return (mask[None] & (nme[None] <= limits)).sum(axis=1) / mask.sum()
