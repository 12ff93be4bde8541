"""Photos from files, and the crop around a face box in one."""

from __future__ import annotations

import os
import pathlib

import cv2
import numpy as np

from jaxlm import geometry

# A crop this many times as large as its photo comes from a wrong box.
_MAX_SIDE_IN_PHOTOS = 8


class PhotoError(ValueError):
    """A photo cannot be read, or a box does not fit it."""


def read_photo(path: str | os.PathLike[str]) -> np.ndarray:
    """The photo as RGB uint8 [H, W, 3], turned upright if its EXIF data say so.

    Grey photos get three equal channels, 16-bit ones are cut to 8 bits, and transparency is dropped. Formats are those
    of OpenCV: JPEG, PNG, WebP, BMP, TIFF and others.

    Raises:
      PhotoError: The file is missing, truncated or no photo.
    """
    from data_pipelines.frames import is_truncated

    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise PhotoError(f"{path}: {error.strerror or error}") from error
    if is_truncated(data):
        raise PhotoError(f"{path}: the photo is truncated")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise PhotoError(f"{path}: not a readable photo")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def check_box(photo: np.ndarray, box: np.ndarray) -> None:
    """Raises PhotoError where a box [x1, y1, x2, y2], in pixels, is empty or does not meet the photo [H, W, 3]."""
    x1, y1, x2, y2 = box
    height, width = photo.shape[:2]
    shown = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if not (np.isfinite(box).all() and x2 > x1 and y2 > y1):
        raise PhotoError(f"{shown} is empty: x1 < x2 and y1 < y2 are wanted, in pixels")
    if x2 < 0 or y2 < 0 or x1 > width - 1 or y1 > height - 1:
        raise PhotoError(f"{shown} is outside of the photo, which is {width} x {height} pixels")
    if max(x2 - x1, y2 - y1) > _MAX_SIDE_IN_PHOTOS * max(width, height):
        raise PhotoError(f"{shown} is far larger than the photo, which is {width} x {height} pixels")


def cut_crop(photo: np.ndarray, box: np.ndarray, size: int, crop: float) -> tuple[np.ndarray, np.ndarray]:
    """The square crop around a face box, cut and resized as prepared frames are.

    Args:
      photo: RGB uint8 [H, W, 3].
      box: [x1, y1, x2, y2], first and last pixel of the face.
      size: Side of the crop in pixels.
      crop: Side of the crop in sides of the box made square.

    Returns:
      The crop uint8 [size, size, 3], black outside of the photo, and the map [2, 3] from the photo's pixels to its own.
    """
    from data_pipelines.frames import cut_frame

    square = geometry.square_box(box)
    return cut_frame(photo, geometry.widen(square, crop), size), geometry.frame_affine(square, size, crop)
