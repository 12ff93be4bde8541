"""Coordinates of progressive reinitialisation (DPR, TPAMI 2021): affine maps, mean shapes, facial parts.

DPR has three kinds of coordinate frame. The first is the photo, or any image of the face. The second is the face frame,
256 pixels wide, where the global networks have brought the face to a normal state. The third is the part frame, 128
pixels wide, one for each facial part. Points are
(x, y) in pixels of their frame, pixel centres at integers. A map [..., 2, 3] takes points of one frame to points of
another. A `theta` [..., 2, 3], which the networks predict, is a map whose shift is a fraction of the frame's side. A
residual is twice the distance from the frame's mean shape as a fraction of its side.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlm.images.affine_maps import determinant, similarity_fit
from jaxlm.landmarks import Scheme

CROP_SIZE = 128
"""Side in pixels of the box's crop, which global reinitialisation looks at."""
FACE_SIZE = 256
"""Side of the face frame in pixels."""
PART_SIZE = 128
"""Side of a part frame in pixels."""

PARTS = ("left_eye", "right_eye", "nose", "mouth")

# A map that shrinks areas more than this is degenerate.
_MIN_DETERMINANT = 0.01

# The longer extent of a mean part, in sides of its frame.
_PART_EXTENT = 5 / 6


def box_to_crop(boxes: ArrayLike) -> jax.Array:
    """Maps [B, 2, 3] from image pixels to square crops of the boxes, whatever the boxes' shapes.

    Args:
      boxes: [B, 4], the pixels (x1, y1, x2, y2) that become the crop's first and last ones.
    """
    boxes = jnp.asarray(boxes, jnp.float32)
    low, high = boxes[:, :2], boxes[:, 2:]
    scale = (CROP_SIZE - 1) / (high - low)
    return jnp.concatenate([scale[:, :, None] * jnp.eye(2)[None], (-scale * low)[:, :, None]], axis=-1)


def theta_to_map(theta: jax.Array, size: int) -> jax.Array:
    """The map [..., 2, 3] in pixels that `theta` stands for in a frame of `size` pixels."""
    return jnp.concatenate([theta[..., :2], size * theta[..., 2:]], axis=-1)


def map_to_theta(matrix: jax.Array, size: int) -> jax.Array:
    """The inverse of `theta_to_map`."""
    return jnp.concatenate([matrix[..., :2], matrix[..., 2:] / size], axis=-1)


def crop_to_face(theta: jax.Array) -> jax.Array:
    """The map [..., 2, 3] from the box's crop to the face frame: that of `theta`, then twice as large."""
    return FACE_SIZE / CROP_SIZE * theta_to_map(theta, CROP_SIZE)


def is_degenerate(theta: jax.Array) -> jax.Array:
    """Whether each theta [..., 2, 3] shrinks areas to under 1 %, mirrors them or is not finite: [...] bool."""
    # A comparison with NaN is false; an infinite shift leaves the determinant alone.
    usable = (determinant(theta) >= _MIN_DETERMINANT) & jnp.isfinite(theta).all((-2, -1))
    return ~usable


def closed_form_thetas(points: jax.Array, scheme: Scheme) -> dict[str, jax.Array]:
    """Thetas [B, 2, 3] that bring each part of points [B, N, 2] of the face frame to the part's mean shape.

    The released local reinitialisation network computes this least-squares similarity to within 1.3 % (median).
    """
    means = mean_parts(scheme)
    return {
        part: map_to_theta(similarity_fit(points[:, indices], PART_SIZE * jnp.asarray(means[part])[None]), PART_SIZE)
        for part, indices in facial_parts(scheme).items()
    }


def residual_to_points(residuals: jax.Array, mean: np.ndarray, size: int) -> jax.Array:
    """Points [B, N, 2] of a frame of `size` pixels from residuals [B, N, 2] and its mean shape [N, 2]."""
    return (0.5 * residuals + mean[None]) * size


def points_to_residual(points: jax.Array, mean: np.ndarray, size: int) -> jax.Array:
    """The inverse of `residual_to_points`: what a network should predict for true points."""
    return 2 * (points / size - mean[None])


def facial_parts(scheme: Scheme) -> dict[str, np.ndarray]:
    """Indices of the points of each of `PARTS`; an eye has its brow and its pupil with it.

    Raises:
      ValueError: The scheme has fewer than two points of a part.
    """
    pupils = scheme.pupils or ((), ())
    points = {part: set(scheme.parts.get(part, ())) for part in PARTS}
    points["left_eye"] |= {*scheme.parts.get("left_brow", ()), *pupils[0]}
    points["right_eye"] |= {*scheme.parts.get("right_brow", ()), *pupils[1]}
    for part, members in points.items():
        if len(members) < 2:
            raise ValueError(
                f"scheme {scheme.name} has {len(members)} points of the {part.replace('_', ' ')}; reinitialisation"
                f" of parts needs at least two of each of {', '.join(PARTS)}"
            )
    return {part: np.asarray(sorted(members)) for part, members in points.items()}


def mean_face(scheme: Scheme) -> np.ndarray:
    """Mean shape float32 [N, 2] of the face as fractions of the face frame's side.

    Raises:
      ValueError: The scheme has none.
    """
    if not scheme.mean_face:
        raise ValueError(f"scheme {scheme.name} has no mean face; give its file `mean_face`, a list of points in 0..1")
    return np.asarray(scheme.mean_face, np.float32)


def mean_parts(scheme: Scheme) -> dict[str, np.ndarray]:
    """Mean shape float32 [n, 2] of each part as fractions of its frame's side.

    It is the part of the mean face, centred and enlarged until 1/12 of the frame is left on each side of its longer
    extent.
    """
    face = mean_face(scheme)
    return {part: _fill_frame(face[indices]) for part, indices in facial_parts(scheme).items()}


def _fill_frame(points: np.ndarray) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    return 0.5 + (points - (low + high) / 2) * np.float32(_PART_EXTENT / (high - low).max())
