"""Boxes, affine maps and similarity fits of points in images.

A turned box has a fifth number, the roll: by how many degrees the box, and the face in it, is turned clockwise about
its centre, as one sees the picture.

Coordinates are (x, y) in pixels, with pixel centres at integers: the first pixel has its centre at (0, 0) and covers
-0.5 to 0.5. An affine map is an array [2, 3] that takes source points to destination points, x first. Every function
of points and affine maps accepts leading batch dimensions. This module needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Square(NamedTuple):
    """A square of whole pixels.

    Attributes:
      left: Column of the first pixel.
      top: Row of the first pixel.
      side: Side in pixels.
    """

    left: int
    top: int
    side: int


def box_around(points: np.ndarray, scale: float) -> np.ndarray:
    """The tight bounding box [x1, y1, x2, y2] of `points` [N, 2], its sides multiplied by `scale` about its centre."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre, half = (low + high) / 2, (high - low) / 2 * scale
    return np.concatenate([centre - half, centre + half])


def square_box(box: np.ndarray) -> Square:
    """The square of a face box, made as the SepBN data preparation makes it.

    The shorter side grows to the length of the longer one: by the smaller half of the difference on the left or top,
    by the larger half on the right or bottom. An odd side then grows by one pixel on the right and at the bottom.

    Args:
      box: Face box [x1, y1, x2, y2], its first and its last pixel; it is rounded to whole pixels.

    Returns:
      The square, of an even side.
    """
    x1, y1, x2, y2 = (int(value) for value in np.rint(box))
    width, height = x2 - x1 + 1, y2 - y1 + 1
    side = max(width, height)
    return Square(x1 - (side - width) // 2, y1 - (side - height) // 2, side + side % 2)


def widen(square: Square, margin: float) -> Square:
    """The square with its side multiplied by `margin` about its centre, on whole pixels."""
    side = max(round(square.side * margin), 1)
    before = (side - square.side) // 2
    return Square(square.left - before, square.top - before, side)


def frame_affine(square: Square, size: int, margin: float) -> np.ndarray:
    """The map [2, 3] from source pixels to a frame of `size` x `size` pixels that shows the widened square.

    It follows the half-pixel rule of image resizing: the edges of the region become the edges of the frame, so
    x' = (x - left + 0.5) * size / side - 0.5, where left and side are those of the widened square.

    Args:
      square: The face box as a square, see `square_box`.
      size: Width and height of the frame in pixels.
      margin: Side of the region that the frame shows, in sides of the square.
    """
    left, top, side = widen(square, margin)
    scale = size / side
    return np.array(
        [[scale, 0.0, (0.5 - left) * scale - 0.5], [0.0, scale, (0.5 - top) * scale - 0.5]],
        dtype=np.float64,
    )


def turned_boxes(boxes: ArrayLike) -> np.ndarray:
    """Turned boxes float64 [n, 5] from boxes [n, 4], [n, 5], [4] or [5], or none; a roll that is not given is 0.

    Raises:
      ValueError: The array has another shape.
    """
    array = np.asarray(boxes, np.float64)
    if not array.size:
        return np.empty((0, 5))
    if array.ndim > 2 or array.shape[-1] not in (4, 5):
        raise ValueError(f"boxes must be [n, 4] or [4], or with their roll [n, 5] or [5], not {list(array.shape)}")
    array = array.reshape(-1, array.shape[-1])
    return np.concatenate([array, np.zeros((len(array), 5 - array.shape[1]))], axis=1)


def calibrate_boxes(boxes: np.ndarray, calibration: Sequence[float] | None) -> np.ndarray:
    """Turned boxes float32 [n, 5] of a detector as boxes of a model's convention.

    Args:
      boxes: [n, 4] or [n, 5].
      calibration: (scale_x, scale_y, shift_x, shift_y): a box is scaled about its centre, which then moves by the
        shifts, in units of the box's width and height, along the turned box's own sides; None leaves boxes as they are.
    """
    scale, shift = np.reshape(calibration or (1, 1, 0, 0), (2, 2)).astype(np.float64)
    boxes = turned_boxes(boxes)
    centre, size, roll = (boxes[:, :2] + boxes[:, 2:4]) / 2, boxes[:, 2:4] - boxes[:, :2], np.deg2rad(boxes[:, 4])
    along, down = (shift * size).T
    moved = np.stack([along * np.cos(roll) - down * np.sin(roll), along * np.sin(roll) + down * np.cos(roll)], axis=1)
    centre, half = centre + moved, scale * size / 2
    return np.concatenate([centre - half, centre + half, boxes[:, 4:]], axis=1).astype(np.float32)


def transform(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Points [..., N, 2] moved by the affine map [..., 2, 3]."""
    return points @ np.swapaxes(affine[..., :2], -1, -2) + affine[..., None, :, 2]


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The affine map [..., 2, 3] that applies `first` and then `second`."""
    linear = second[..., :2] @ first[..., :2]
    offset = second[..., :2] @ first[..., 2:] + second[..., 2:]
    return np.concatenate([linear, offset], axis=-1)


def invert(affine: np.ndarray) -> np.ndarray:
    """The inverse [..., 2, 3] of an affine map.

    Raises:
      numpy.linalg.LinAlgError: The map flattens the plane.
    """
    linear = np.linalg.inv(affine[..., :2])
    return np.concatenate([linear, -linear @ affine[..., 2:]], axis=-1)


def rotation(degrees: float, centre: np.ndarray) -> np.ndarray:
    """The map [2, 3] that turns the plane clockwise, as a picture is seen, about a point [2]."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([linear, (centre - linear @ centre)[:, None]], axis=1)


def similarity_fit(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scaling and shift [..., 2, 3] that takes `source` to `target` with the least squared error.

    This is the problem of Umeyama (PAMI 1991) in the plane. There points are complex numbers, and a similarity without
    reflection is z' = a z + b: a linear regression, which has a closed form.

    Args:
      source: Points [..., N, 2]; at least two of them differ.
      target: Points [..., N, 2], in the same order.

    Raises:
      ValueError: All source points coincide.
    """
    z, w = source[..., 0] + 1j * source[..., 1], target[..., 0] + 1j * target[..., 1]
    z_mean, w_mean = z.mean(axis=-1, keepdims=True), w.mean(axis=-1, keepdims=True)
    spread = np.sum(np.abs(z - z_mean) ** 2, axis=-1)
    if np.any(spread == 0):
        raise ValueError("a similarity fit needs at least two different source points")
    a = np.sum(np.conj(z - z_mean) * (w - w_mean), axis=-1) / spread
    b = w_mean[..., 0] - a * z_mean[..., 0]
    rows = [np.stack([a.real, -a.imag, b.real], axis=-1), np.stack([a.imag, a.real, b.imag], axis=-1)]
    return np.stack(rows, axis=-2)
