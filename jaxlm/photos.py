"""Photos from files, and the crop around a face box in one; numpy and OpenCV alone, for both sides of the house."""

from __future__ import annotations

import os
import pathlib

import cv2
import numpy as np

from jaxlm import geometry

# A region this many times as large as its photo is taken for a wrong box rather than drawn on a huge canvas.
MAX_SIDE_IN_PHOTOS = 8


class PhotoError(ValueError):
    """A photo cannot be read, or a box does not fit it."""


def read_photo(path: str | os.PathLike[str]) -> np.ndarray:
    """The photo as RGB uint8 [H, W, 3], turned upright if its EXIF data say so.

    Grey photos get three equal channels, 16-bit ones are cut to 8 bits, and transparency is dropped. Formats are those
    of OpenCV: JPEG, PNG, WebP, BMP, TIFF and others.

    Raises:
      PhotoError: The file is missing, truncated or no photo.
    """
    try:
        data = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise PhotoError(f"the image {path} is missing") from None
    except OSError as error:
        raise PhotoError(f"{path}: {error.strerror or error}") from error
    return decode_photo(data, path)


def decode_photo(data: bytes, path: str | os.PathLike[str]) -> np.ndarray:
    """The photo in the bytes of an image file; see `read_photo`. `path` is named in errors."""
    if is_truncated(data):
        raise PhotoError(f"the image {path} is truncated")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise PhotoError(f"{path} is not a readable image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def is_truncated(data: bytes) -> bool:
    """Whether the bytes of a JPEG or PNG file stop before its end mark; decoders fill the missing part with grey."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    # Skip the header's segments, since the preview picture inside one of them has an end mark of its own. In the
    # coded picture that follows the start-of-scan marker (DA), a byte FF is never followed by D9 but at the end.
    position = 2
    while data[position : position + 1] == b"\xff" and data[position + 1 : position + 2] != b"\xda":
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) < 0


def check_box(photo: np.ndarray, box: np.ndarray) -> None:
    """Raises PhotoError where a box [x1, y1, x2, y2], in pixels, is empty or does not meet the photo [H, W, 3]."""
    x1, y1, x2, y2 = box
    height, width = photo.shape[:2]
    shown = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if not (np.isfinite(box).all() and x2 > x1 and y2 > y1):
        raise PhotoError(f"{shown} is empty: x1 < x2 and y1 < y2 are wanted, in pixels")
    if x2 < 0 or y2 < 0 or x1 > width - 1 or y1 > height - 1:
        raise PhotoError(f"{shown} is outside of the photo, which is {width} x {height} pixels")
    if max(x2 - x1, y2 - y1) > MAX_SIDE_IN_PHOTOS * max(width, height):
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
    square = geometry.square_box(box)
    return cut_region(photo, geometry.widen(square, crop), size), geometry.frame_affine(square, size, crop)


def cut_region(image: np.ndarray, region: geometry.Square, size: int) -> np.ndarray:
    """The region of an image [H, W, 3], black where it leaves the image, resized to [size, size, 3].

    Shrinking averages over areas and enlarging is bilinear; both follow the half-pixel rule.
    """
    left, top, side = region
    canvas = np.zeros((side, side, 3), image.dtype)
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + side, image.shape[1]), min(top + side, image.shape[0])
    if x1 < x2 and y1 < y2:
        canvas[y1 - top : y2 - top, x1 - left : x2 - left] = image[y1:y2, x1:x2]
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
