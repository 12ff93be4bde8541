"""Photos from files, and crops around face boxes in them; data_pipelines uses it, too."""

from __future__ import annotations

import math
import os
import stat

import cv2
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from jaxlm.landmarks import geometry
from jaxlm.landmarks.photo_decoding import PhotoError, decode, from_pillow, orientation_of, upright_size

Photo = str | os.PathLike[str] | Image.Image | ArrayLike
"""What `as_photo` takes."""

ENDINGS = frozenset(
    (
        ".apng",
        ".avif",
        ".bmp",
        ".dib",
        ".gif",
        ".heic",
        ".heif",
        ".hif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".mpo",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    )
)
"""Endings of photos' names. A file of another ending is read, too, if its content is a photo."""

# A region this many times as large as its photo comes from a wrong box; it is refused, since its canvas would be huge.
MAX_SIDE_IN_PHOTOS = 8

LEAST_FACE = 8
"""Fewer pixels are no face: boxes of them are refused."""

MAX_PIXELS = 100_000_000
"""`read_reduced` reduces photos of more pixels, which need more than 300 MB of memory."""

_MOST_BYTES = 2**30
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_photo(path: str | os.PathLike[str]) -> np.ndarray:
    """The photo as RGB uint8 [H, W, 3], turned upright if its EXIF data say so.

    Formats are JPEG, PNG, WebP, AVIF, TIFF, GIF, BMP, PPM, JPEG 2000 and, with pillow-heif, HEIC; the content tells
    which. Grey photos get three equal channels, and 16-bit ones are cut to 8 bits. Transparent parts become black. Of
    several frames or pages the first is read, with a warning. Pixels of JPEG files are bit for bit those of OpenCV
    5.0, in all subsamplings of the colours; those of CMYK files differ by 1.

    Raises:
      PhotoError: The file is missing, truncated, no photo or none of a known format, or has too many pixels; see
        `photo_decoding.MOST_PIXELS`.
    """
    return decode_photo(_read_bytes(path), path)


def read_reduced(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """The photo, at a half, a quarter or an eighth of its size where it has more than `MAX_PIXELS`.

    A JPEG file is decoded at the reduced size. Other formats are decoded in full and then averaged over areas.

    Returns:
      RGB uint8 [h, w, 3] as of `read_photo`, and the factor f of the reduction: pixel x' lies at x = f x' +
      (f - 1) / 2 in the photo.

    Raises:
      PhotoError: See `read_photo`; more pixels are read of JPEG files.
    """
    return decode(_read_bytes(path), path, MAX_PIXELS)


def as_photo(image: Photo) -> np.ndarray:
    """A photo as RGB uint8 [H, W, 3].

    Args:
      image: A file (see `read_photo`), an image of Pillow (see `from_pillow`), or an array uint8: RGB [H, W, 3], RGBA
        [H, W, 4], whose transparent parts become black, or grey [H, W] or [H, W, 1].

    Raises:
      PhotoError: The file cannot be read.
      ValueError: The array has another type or shape.
    """
    if isinstance(image, str | os.PathLike):
        return read_photo(image)
    if isinstance(image, Image.Image):
        return from_pillow(image)
    array = np.asarray(image)
    if array.dtype != np.uint8 or not array.size or not (array.ndim == 2 or array.shape[2:] in ((1,), (3,), (4,))):
        raise ValueError(
            f"a photo is uint8 [H, W, 3] (RGB), [H, W, 4] (RGBA) or [H, W] (grey), not {array.dtype}"
            f" {list(array.shape)}{_hint(array)}"
        )
    if array.ndim == 2 or array.shape[2] == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return array if array.shape[2] == 3 else from_pillow(Image.fromarray(array))


def _hint(array: np.ndarray) -> str:
    """What to do with an array that is no photo yet."""
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        return "; put the channels last: image.transpose(1, 2, 0)"
    if array.ndim in (2, 3) and array.size and np.issubdtype(array.dtype, np.floating):
        factor = " * 255" if np.nanmax(array) <= 1 else ""
        return f"; convert it: (image{factor}).round().astype(np.uint8)"
    return ""


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a photo, upright as of `read_photo`; raises PhotoError where the file is none."""
    return upright_size(_read_bytes(path), path)


def decode_photo(data: bytes, path: str | os.PathLike[str]) -> np.ndarray:
    """The photo in the bytes of an image file; see `read_photo`. `path` is named in errors."""
    return decode(data, path)[0]


def is_turned(path: str | os.PathLike[str]) -> bool:
    """Whether `read_photo` turns a photo by a quarter, as its EXIF data say; False where they cannot be read."""
    try:
        with Image.open(path) as image:
            return orientation_of(image) in range(5, 9)
    except Exception:  # Of many types, for damaged files.
        return False


def kind_of_file(path: str | os.PathLike[str]) -> str:
    """What the system says that `path` is, with an article: `a file`, `a folder`, `a FIFO`, ...; raises OSError."""
    return _KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "a special file")


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        # A FIFO would be waited for until somebody writes to it, and devices need not end.
        kind, data = kind_of_file(path), b""
        if kind == "a file":
            with open(path, "rb") as file:
                data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise PhotoError(f"the image {path} is missing") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte.
        raise PhotoError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if kind != "a file":
        raise PhotoError(f"{path} is {kind}, not a photo")
    if len(data) > _MOST_BYTES:
        raise PhotoError(f"{path} is not a readable image: the file is larger than {_MOST_BYTES >> 20} MiB")
    return data


def check_box(photo: np.ndarray, box: np.ndarray) -> None:
    """Raises PhotoError where a box [x1, y1, x2, y2] is empty, outside of the photo [H, W, 3] or far larger.

    So it does where the box is turned [x1, y1, x2, y2, roll], and the roll is no number.
    """
    x1, y1, x2, y2 = box[:4]
    if not np.isfinite(box[4:]).all():
        raise PhotoError(f"the roll of a box is a number of degrees, not {box[4]:g}")
    box = box[:4]
    height, width = photo.shape[:2]
    shown = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if not (np.isfinite(box).all() and x2 > x1 and y2 > y1):
        raise PhotoError(f"{shown} is empty: x1 < x2 and y1 < y2 are wanted, in pixels")
    if max(x2 - x1, y2 - y1) + 1 < LEAST_FACE:
        hint = "; are these shares of the photo's sides? Multiply x by its width and y by its height"
        raise PhotoError(
            f"{shown} is smaller than {LEAST_FACE} pixels" + (hint if box.min() >= 0 and box.max() <= 1 else "")
        )
    if x2 < 0 or y2 < 0 or x1 > width - 1 or y1 > height - 1:
        raise PhotoError(f"{shown} is outside of the photo, which is {width} x {height} pixels")
    if max(x2 - x1, y2 - y1) > MAX_SIDE_IN_PHOTOS * max(width, height):
        raise PhotoError(f"{shown} is far larger than the photo, which is {width} x {height} pixels")


def cut_crop(
    photo: np.ndarray, box: np.ndarray, size: int, crop: float, roll: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The square crop around a face box, cut and resized like a prepared frame.

    Args:
      photo: RGB uint8 [H, W, 3].
      box: Face box [x1, y1, x2, y2], its first and its last pixel.
      size: Side of the crop in pixels.
      crop: Side of the crop in sides of the box made square.
      roll: By how many degrees the box is turned clockwise about its centre. The crop shows it upright.

    Returns:
      The crop uint8 [size, size, 3], black outside of the photo, and the map [2, 3] from photo pixels to crop pixels.
    """
    square = geometry.square_box(box)
    to_crop = geometry.frame_affine(square, size, crop)
    if not roll:
        return cut_region(photo, geometry.widen(square, crop), size), to_crop
    # A larger crop of the same scale holds the turned one. Areas are averaged as it is cut; turning only interpolates.
    wide = math.ceil(size * 2**0.5)
    larger, to_larger = cut_crop(photo, box, wide, crop * wide / size)
    middle = np.full(2, (size - 1) / 2)
    to_crop = geometry.compose(geometry.rotation(-roll, middle), to_crop)
    from_larger = geometry.compose(to_crop, geometry.invert(to_larger))
    return cv2.warpAffine(larger, from_larger, (size, size), flags=cv2.INTER_LINEAR), to_crop


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
