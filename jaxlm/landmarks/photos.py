"""Photos from files, and crops around face boxes in them. Needs numpy and OpenCV; data_pipelines uses it, too."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np

from jaxlm.landmarks import geometry

# A region this many times as large as its photo comes from a wrong box; it is refused, since its canvas would be huge.
MAX_SIDE_IN_PHOTOS = 8

MAX_PIXELS = 100_000_000
"""`read_reduced` reduces photos of more pixels, which need more than 300 MB of memory."""

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG"
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


class PhotoError(ValueError):
    """A photo cannot be read, or a box does not fit it."""


def read_photo(path: str | os.PathLike[str]) -> np.ndarray:
    """The photo as RGB uint8 [H, W, 3], turned upright if its EXIF data say so.

    Grey photos get three equal channels, and 16-bit ones are cut to 8 bits. Transparent parts of PNG and WebP pictures
    become black; such pictures are not turned. Formats are those of OpenCV: JPEG, PNG, WebP, BMP, TIFF and others.

    Raises:
      PhotoError: The file is missing, truncated or no photo.
    """
    return decode_photo(_read_bytes(path), path)


def read_reduced(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """The photo, at a half, a quarter or an eighth of its size where it has more than `MAX_PIXELS`.

    A JPEG file is decoded at the reduced size. Other formats are decoded in full and then averaged over areas.

    Returns:
      RGB uint8 [h, w, 3] as of `read_photo`, and the factor f of the reduction: pixel x' lies at x = f x' +
      (f - 1) / 2 in the photo.

    Raises:
      PhotoError: The file is missing, truncated or no photo.
    """
    data = _read_bytes(path)
    width, height = _jpeg_size(data) if data.startswith(_JPEG) else (0, 0)
    factor = _reduction(width * height)
    image = _decode(data, path, _REDUCED.get(factor, cv2.IMREAD_COLOR))
    if factor == 1:
        factor = _reduction(image.shape[0] * image.shape[1])
        image = _shrink(image, factor)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), factor


def decode_photo(data: bytes, path: str | os.PathLike[str]) -> np.ndarray:
    """The photo in the bytes of an image file; see `read_photo`. `path` is named in errors."""
    return cv2.cvtColor(_decode(data, path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG file stops before its end mark; decoders would fill the missing part with grey."""
    if data.startswith(_PNG):
        return b"IEND" not in data
    if not data.startswith(_JPEG):
        return False
    # A preview picture in one of the header's segments has an end mark of its own. In the coded picture, after the
    # start-of-scan marker (DA), the bytes FF D9 occur at the end only.
    start = max((end for _, _, end in _jpeg_segments(data)), default=2)
    return data.find(b"\xff\xd9", start) < 0


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise PhotoError(f"the image {path} is missing") from None
    except OSError as error:
        raise PhotoError(f"{path}: {error.strerror or error}") from error


def _decode(data: bytes, path: str | os.PathLike[str], flags: int) -> np.ndarray:
    """The photo BGR uint8 [H, W, 3]; see `read_photo`. `flags` are OpenCV's, for pictures without transparency."""
    if not data:
        raise PhotoError(f"{path} is not a readable image: the file is empty")
    if is_truncated(data):
        raise PhotoError(f"the image {path} is truncated")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED if _has_alpha(data) else flags)
    except cv2.error:
        image = None
    if image is None:
        raise PhotoError(f"{path} is not a readable image, or of more pixels than OpenCV takes")
    return _on_black(image) if image.ndim == 3 and image.shape[2] == 4 else image


def _shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """The image [H, W, 3], averaged over whole squares of `factor` x `factor` pixels."""
    if factor == 1:
        return image
    height, width = (max(side // factor, 1) for side in image.shape[:2])
    return cv2.resize(image[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)


def _reduction(pixels: int) -> int:
    """The smallest factor that reduces a photo to `MAX_PIXELS` at most; the largest factor where none does."""
    return next((factor for factor in (1, *_REDUCED) if pixels <= MAX_PIXELS * factor**2), max(_REDUCED))


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment of a JPEG file's header, up to the start of the coded picture."""
    position = 2
    while data[position : position + 1] == b"\xff" and data[position + 1 : position + 2] != b"\xda":
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        yield data[position + 1] if position + 1 < len(data) else 0, position, end
        position = end


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height in a JPEG file's header; (0, 0) if they are missing."""
    for marker, start, _ in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # Start of a frame, in any coding.
            height, width = (int.from_bytes(data[start + at : start + at + 2], "big") for at in (5, 7))
            return width, height
    return 0, 0


def _has_alpha(data: bytes) -> bool:
    """Whether a PNG or WebP file's header announces transparency."""
    if data.startswith(_PNG):
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    if data[:4] + data[8:12] != b"RIFFWEBP" or len(data) < 25:
        return False
    return bool(data[20] & 0x10 if data[12:16] == b"VP8X" else data[12:16] == b"VP8L" and data[24] & 0x10)


def _on_black(image: np.ndarray) -> np.ndarray:
    """Pixels [H, W, 4] of 8 or 16 bits, the last channel their opacity, as uint8 [H, W, 3] on black."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    return cv2.multiply(image[:, :, :3], cv2.merge([image[:, :, 3]] * 3), scale=1 / 255)


def check_box(photo: np.ndarray, box: np.ndarray) -> None:
    """Raises PhotoError where a box [x1, y1, x2, y2] is empty, outside of the photo [H, W, 3] or far larger."""
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
    """The square crop around a face box, cut and resized like a prepared frame.

    Args:
      photo: RGB uint8 [H, W, 3].
      box: Face box [x1, y1, x2, y2], its first and its last pixel.
      size: Side of the crop in pixels.
      crop: Side of the crop in sides of the box made square.

    Returns:
      The crop uint8 [size, size, 3], black outside of the photo, and the map [2, 3] from photo pixels to crop pixels.
    """
    square = geometry.square_box(box)
    return cut_region(photo, geometry.widen(square, crop), size), geometry.frame_affine(square, size, crop)


def cut_region(image: np.ndarray, region: geometry.Square, size: int) -> np.ndarray:
    """The region of an image [H, W, 3], black outside of the image, resized to [size, size, 3].

    Shrinking averages over areas, enlarging is bilinear; both follow the half-pixel rule.
    """
    left, top, side = region
    canvas = np.zeros((side, side, 3), image.dtype)
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + side, image.shape[1]), min(top + side, image.shape[0])
    if x1 < x2 and y1 < y2:
        canvas[y1 - top : y2 - top, x1 - left : x2 - left] = image[y1:y2, x1:x2]
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
