"""Shuts the eyes of a photo: the upper lid comes down to the lower one, and its skin is drawn down with it."""

from __future__ import annotations

import cv2
import numpy as np

# The corner on the image's left, the upper lid, the corner on the right, and the lower lid, of each eye; and its brow.
_EYES = (((36, 37, 38, 39, 40, 41), (17, 18, 19, 20, 21)), ((42, 43, 44, 45, 46, 47), (22, 23, 24, 25, 26)))
# How much of the opening the upper lid comes down, and the lower one up; a seam is left between them.
_DOWN, _UP = 0.80, 0.12
# In widths of the eye: the line of lashes above the upper lid, which is moved and not stretched, and how far skin is
# drawn below the lower lid.
_LASHES = 0.05
_BELOW = 0.25
# Skin is drawn from this part of the way to the brow, or from this many widths of the eye.
_BROW_SHARE, _LEAST_ROOM = 0.75, 0.12
# Lashes lie over the seam: its width in widths of the eye, and how much darker it is.
_SEAM = 0.035
_DARKEN = 0.35


def close_eyes(photo: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The photo and the points with both eyes shut.

    Args:
      photo: RGB uint8 [H, W, 3].
      points: ibug68 [68, 2], in pixels.

    Returns:
      A new photo, and new points [68, 2] float32: the lids' points meet but for a seam of 8 % of the opening.
    """
    picture, moved = photo.astype(np.float32), points.astype(np.float64).copy()
    for eye, brow in _EYES:
        picture = _close(picture, points[list(eye)].astype(np.float64), points[list(brow)].astype(np.float64))
        moved[list(eye)] = _closed_points(points[list(eye)].astype(np.float64))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), moved.astype(np.float32)


def _closed_points(eye: np.ndarray) -> np.ndarray:
    """The six points of an eye when it is shut."""
    shut = eye.copy()
    for upper, lower in ((1, 5), (2, 4)):
        opening = eye[lower] - eye[upper]
        shut[upper] = eye[upper] + _DOWN * opening
        shut[lower] = eye[lower] - _UP * opening
    return shut


def _curve(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Height [n] at places [n] along an eye of the smooth line through lid points [4, 2], which are (along, height)."""
    along, height = points.T
    order = np.argsort(along)
    along = np.maximum.accumulate(along[order] + np.arange(4) * 1e-3)
    terms = np.vander(along, 4)
    exact = np.linalg.lstsq(terms, height[order], rcond=1e-6)[0]
    cubic = np.polyval(exact, places)
    straight = np.interp(places, along, height[order])
    low, high = height.min() - 0.15 * np.ptp(along), height.max() + 0.15 * np.ptp(along)
    return np.clip(0.5 * cubic + 0.5 * straight, low, high)


def _close(picture: np.ndarray, eye: np.ndarray, brow: np.ndarray) -> np.ndarray:
    """The picture float32 with one eye shut."""
    width = float(np.linalg.norm(eye[3] - eye[0]))
    if width < 2:
        return picture
    across = (eye[3] - eye[0]) / width
    down = np.array([-across[1], across[0]])
    axes = np.stack([across, down], axis=1)
    local = (eye - eye[0]) @ axes / width
    height, long = picture.shape[:2]
    reach = 1.2 * width
    middle = eye.mean(0)
    x0, y0 = np.maximum(np.floor(middle - reach), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(middle + reach) + 1, (long, height)).astype(int)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return picture
    grid = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), axis=-1).astype(np.float64)
    u, v = np.moveaxis((grid - eye[0]) @ axes / width, -1, 0)
    inside = (u > 0) & (u < 1)
    place = np.clip(u, 0, 1)
    upper, lower = (_curve(local[list(lid)], place.ravel()).reshape(u.shape) for lid in ((0, 1, 2, 3), (0, 5, 4, 3)))
    opening = np.maximum(lower - upper, 0)
    brow_height = float(((brow - eye[0]) @ axes / width)[:, 1].mean())
    room = np.maximum(_BROW_SHARE * (upper - brow_height), _LEAST_ROOM)
    drop, rise = _DOWN * opening, _UP * opening
    # From the shut picture back to the open one: heights of knots there, and here.
    there = [upper - room, upper - _LASHES, upper, lower, lower + _BELOW]
    here = [upper - room, upper - _LASHES + drop, upper + drop, lower - rise, lower + _BELOW]
    source = v.copy()
    for k in range(4):
        low, high = here[k], here[k + 1]
        t = np.clip((v - low) / np.maximum(high - low, 1e-6), 0, 1)
        within = inside & (v >= low) & (v <= high)
        source = np.where(within, there[k] + t * (there[k + 1] - there[k]), source)
    back = np.stack([u, source], axis=-1) * width @ axes.T + eye[0]
    warped = cv2.remap(
        picture,
        back[..., 0].astype(np.float32),
        back[..., 1].astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    seam = upper + 0.5 * (drop + opening - rise)
    strength = np.clip(opening / 0.15, 0, 1) * inside
    line = np.exp(-(((v - seam) / _SEAM) ** 2)) * strength
    warped *= (1 - _DARKEN * line)[..., None]
    result = picture.copy()
    result[y0:y1, x0:x1] = warped
    return result
