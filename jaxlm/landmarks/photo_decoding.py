"""Pixels of image files, by Pillow: of every kind, upright, bounded in size; the files are anybody's."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

_LOG = logging.getLogger(__name__)

MOST_PIXELS = 250_000_000
"""Photos of more pixels are refused. 7 to 10 bytes a pixel are needed; the formats below have limits of their own."""
MOST_PIXELS_OF = {"JPEG2000": 125_000_000, "WEBP": 125_000_000}  # 16 to 18 bytes a pixel.
MOST_PIXELS_REDUCED = 400_000_000
"""Of JPEG files that are decoded at a reduced size. Progressive ones need 6 to 8 bytes for each of these pixels."""

# Pillow warns of more pixels as it looks at a header, and refuses twice as many. By default it does so for photos of
# today's cameras.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS_REDUCED

# Nothing that starts another program (EPS), and no formats that photos do not have.
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "DIB", "PPM", "JPEG2000")
_SEVERAL = {"AVIF": "frames", "GIF": "frames", "PNG": "frames", "WEBP": "frames", "TIFF": "pages"}
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG"
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
_SHALLOW = 4096  # Above values of 12 bits.
_FACTORS = (1, 2, 4, 8)
# The start of files that are read; of sound; and of documents, that people meet under the names of photos and videos.
_PHOTOS = (_JPEG, _PNG, b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"RIFF", b"\0\0\0\x0cjP")
_SOUNDS = (b"ID3", b"fLaC", b"#!AMR", b"MThd", b"\xff\xf1", b"\xff\xf9", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
_DOCUMENTS = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"version https://git-lfs": "a pointer of Git LFS, whose content was not fetched",
}
_HEAD = 4096
# Control characters, and bytes that are no UTF-8.
_NO_TEXT = re.compile(
    rb"[\0-\x08\x0e-\x1a\x1c-\x1f\xc0\xc1\xf5-\xff]|[\xc2-\xf4](?![\x80-\xbf]|\Z)|(?<![\x80-\xf4])[\x80-\xbf]"
)
# Tags of EXIF and TIFF.
_ORIENTATION, _REDUCED_COPY, _DNG_VERSION, _PHOTOMETRIC = 0x0112, 0x00FE, 0xC612, 0x0106
# Rows are copied from Pillow in parts of so many pixels.
_PART = 2**20


class PhotoError(ValueError):
    """A photo cannot be read, or a box does not fit it."""


def decode(data: bytes, path: str | os.PathLike[str], most: int | None = None) -> tuple[np.ndarray, int]:
    """The photo in the bytes of an image file, and by which factor it was reduced; see `photos.read_photo`.

    Args:
      data: The content of the file.
      path: The file, which errors name.
      most: A photo of more pixels is reduced to so many at most, or by 8.

    Raises:
      PhotoError: It is truncated, no photo or none of a known format, or has too many pixels.
    """
    if not data:
        raise PhotoError(f"{path} is not a readable image: the file is empty")
    if is_truncated(data):
        raise PhotoError(f"the image {path} is truncated")
    try:
        with _open(data, path) as image:
            factor = 1 if most is None else _reduction(image.width * image.height, most)
            is_jpeg = image.format in ("JPEG", "MPO")
            most_read = MOST_PIXELS_OF.get(image.format or "", MOST_PIXELS)
            _check_header(image, data, path, MOST_PIXELS_REDUCED if is_jpeg and factor > 1 else most_read)
            if is_jpeg and factor > 1:
                image.draft(None, (image.width // factor, image.height // factor))
            image.load()
            return _shrink(from_pillow(image, path), 1 if is_jpeg else factor), factor
    except PhotoError:
        raise
    except UnidentifiedImageError:
        why = content_of(data) or "it is of none of the formats that are read"
        raise PhotoError(f"{path} is not a readable image: {why}") from None
    except Exception as error:  # Pillow's readers of damaged files raise errors of many types.
        if "truncated" in str(error).lower():
            raise PhotoError(f"the image {path} is truncated") from error
        raise PhotoError(f"{path} is not a readable image: {str(error) or type(error).__name__}") from error


def from_pillow(image: Image.Image, name: str | os.PathLike[str] = "a photo") -> np.ndarray:
    """The pixels of Pillow's image as RGB uint8 [H, W, 3], upright if its EXIF data say so; warnings have its name."""
    return _turned(_pixels(image, name), orientation_of(image))


def upright_size(data: bytes, path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of the photo in the bytes of an image file, as `decode` turns it; its pixels are not read.

    Raises:
      PhotoError: It is no photo.
    """
    try:
        with _open(data, path) as image:
            turned = image.format != "TIFF" and orientation_of(image) in range(5, 9)  # Pillow turns TIFF's size.
            return (image.height, image.width) if turned else (image.width, image.height)
    except Exception as error:  # See `decode`.
        raise PhotoError(f"{path} is not a readable image: {str(error) or type(error).__name__}") from error


def content_of(data: bytes) -> str:
    """What a file holds that is neither a photo nor a video, by its first bytes or more; "" if they do not say."""
    head = data[:_HEAD]
    if head.count(0) == len(head):
        return "its start holds nothing but zeros"
    if data.startswith(_SOUNDS) or data[:4] + data[8:12] in (b"RIFFWAVE", b"FORMAIFF"):
        return "it holds sound alone"
    if data.startswith(_PHOTOS) or data[4:8] == b"ftyp":
        return "it is damaged, or coded in a way that is not read"
    for start, kind in _DOCUMENTS.items():
        if data.startswith(start):
            return f"it is {kind}"
    if not head.startswith((b"\xff\xfe", b"\xfe\xff")) and _NO_TEXT.search(head):
        return ""
    is_page = head.lstrip().lower().startswith((b"<!doctype html", b"<html"))
    return "it is a web page" if is_page else "it is a text file"


def is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG file lacks its end mark.

    Pillow passes over that in files whose lost part is zeros, as a download that was broken off leaves them.
    """
    if data.startswith(_PNG):
        return b"IEND" not in data
    if not data.startswith(_JPEG):
        return False
    # A preview picture in one of the header's segments has an end mark of its own. In the coded picture, after the
    # start-of-scan marker (DA), the bytes FF D9 occur at the end only.
    return data.find(b"\xff\xd9", max(_segment_ends(data), default=2)) < 0


def _segment_ends(data: bytes) -> Iterator[int]:
    """The end of each segment of a JPEG file's header, up to the start of the coded picture."""
    position = 2
    while data[position : position + 1] == b"\xff" and data[position + 1 : position + 2] != b"\xda":
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        yield position


def _open(data: bytes, path: str | os.PathLike[str]) -> Image.Image:
    """The image whose header was read, and not yet its pixels."""
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        image.info.pop("xmp", None)  # TIFF files would be turned by it; see `orientation_of`.
        return image
    except UnidentifiedImageError:
        if data[4:8] != b"ftyp" or data[8:12] not in _HEIF_BRANDS:
            raise
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError(f'{path} is a HEIC picture; reading it needs pillow-heif: pip install "jaxlm[heif]"') from None
    pillow_heif.register_heif_opener()
    return Image.open(io.BytesIO(data), formats=("HEIF",))


def _check_header(image: Image.Image, data: bytes, path: str | os.PathLike[str], most: int) -> None:
    """Raises PhotoError for an image that is too large, or the preview of another one; warns of further frames."""
    if image.width * image.height > most:
        raise PhotoError(
            f"{path} is not a readable image: it has {image.width} x {image.height} pixels, and at most"
            f" {most // 10**6} million are read"
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        if tags.get(_REDUCED_COPY, 0) & 1 or _DNG_VERSION in tags or data[8:10] == b"CR":
            raise PhotoError(f"{path} is a camera's raw file, of which only a preview could be read; save it as JPEG")
    if getattr(image, "is_animated", False) and image.format in _SEVERAL:
        _LOG.warning("%s holds several %s; the first one is read", path, _SEVERAL[image.format])


def _is_negative(image: Image.Image) -> bool:
    """Whether the least value of a deep TIFF file is white; Pillow turns those of 8 bits alone."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0


def _pixels(image: Image.Image, name: str | os.PathLike[str]) -> np.ndarray:
    """The pixels of an image as RGB uint8 [H, W, 3], on black where they are transparent."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows, highest, negative = max(_PART // image.width, 1), 0, _is_negative(image)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height)))
        if part.mode in _DEEP or (part.mode == "I" and image.format == "PPM"):
            highest = max(highest, int(np.asarray(part).max()))
            grey = (np.asarray(part) >> 8).astype(np.uint8)[:, :, None]
            pixels[top : top + rows] = 255 - grey if negative else grey
        elif part.mode in ("I", "F"):
            raise ValueError(f"it has pixels of {np.asarray(part).dtype}, which are not read; save it with 8 bits")
        elif part.has_transparency_data:
            layers = np.asarray(part.convert("RGBA"))
            opacity = cv2.merge([layers[:, :, 3]] * 3)
            pixels[top : top + rows] = cv2.multiply(layers[:, :, :3], opacity, scale=1 / 255)
        else:
            pixels[top : top + rows] = np.asarray(part.convert("RGB"))
    if 0 < highest < _SHALLOW and not negative:
        _LOG.warning("%s has 16-bit values up to %d; it is read as 16-bit and will be dark", name, highest)
    return pixels


def orientation_of(image: Image.Image) -> int:
    """The number by which EXIF data say how the photo is turned; 1 where they do not, or are damaged."""
    # XMP data do not count, as in other readers. Pillow's getexif takes them, too, and turns TIFF files as it loads.
    try:
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            return int(image.tag_v2.get(_ORIENTATION, 1))
        if image.format == "PNG" and "exif" not in image.info:
            image.load()  # EXIF data may stand behind the pixels.
        exif, text = Image.Exif(), image.info.get("Raw profile type exif", "")
        exif.load(image.info.get("exif") or bytes.fromhex("".join(text.split("\n")[3:])))
        return int(exif.get(_ORIENTATION, 1))
    except Exception:  # Of many types, as above. A photo without readable EXIF data is a photo all the same.
        return 1


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The photo [H, W, 3] upright."""
    if orientation not in range(2, 9):
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    rows, columns = (slice(None, None, -1 if orientation in turned else 1) for turned in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return np.ascontiguousarray(pixels[rows, columns])


def _shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """The image [H, W, 3], averaged over whole squares of `factor` x `factor` pixels."""
    if factor == 1:
        return image
    height, width = (max(side // factor, 1) for side in image.shape[:2])
    return cv2.resize(image[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)


def _reduction(pixels: int, most: int) -> int:
    """The smallest factor that reduces a photo to `most` pixels; the largest factor where none does."""
    return next((factor for factor in _FACTORS if pixels <= most * factor**2), _FACTORS[-1])
