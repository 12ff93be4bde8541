"""Curves, exact fills, lines and soft layers.

Points are in frame widths, 0 to 1 across a square picture, whatever its size in pixels. Colours are RGB, 0 to 255.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np

Colour = np.ndarray | Sequence[float]

_SHIFT = 4
_HALF = 1 << (_SHIFT - 1)


def to_fixed(points: np.ndarray, size: int) -> np.ndarray:
    """Points [..., 2] in frame widths as OpenCV's fixed-point pixel coordinates, pixel centres at integers."""
    # Half a step turns the cut to integers into rounding.
    return (points * (size << _SHIFT) - (_HALF - 0.5)).astype(np.int32)


def _scalar(colour: Colour) -> Sequence[float]:
    """A colour as OpenCV takes it; it cuts off at 0 and 255 by itself."""
    return colour.tolist() if isinstance(colour, np.ndarray) else colour


@functools.cache
def _curve_matrix(count: int, samples: int, closed: bool) -> np.ndarray:
    """The matrix [m, count] that takes control points to a Catmull-Rom curve through them."""
    spans = count if closed else count - 1
    places = np.arange(spans * samples + (not closed)) / samples
    start = np.minimum(places.astype(int), spans - 1)
    t = (places - start)[:, None]
    weights = 0.5 * np.concatenate(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], axis=1
    )
    matrix = np.zeros((len(places), count), np.float32)
    for offset in range(4):
        index = start + offset - 1
        index = index % count if closed else np.clip(index, 0, count - 1)
        np.add.at(matrix, (np.arange(len(places)), index), weights[:, offset])
    return matrix


def curve(points: np.ndarray, closed: bool = False, samples: int = 5) -> np.ndarray:
    """A smooth line [m, d] through all of `points` [n, d], with `samples` steps from one to the next."""
    return _curve_matrix(len(points), samples, closed) @ np.asarray(points, np.float32)


@functools.cache
def taper(count: int) -> np.ndarray:
    """Widths [count] along a line: 0.35 at its ends, 1 in the middle."""
    from_end = np.minimum(np.arange(count), np.arange(count)[::-1]) / (count - 1)
    return np.minimum(0.35 + 2.6 * from_end, 1).astype(np.complex64)


def ribbon(line: np.ndarray, width: float) -> np.ndarray:
    """The outline [2 n, 2] of a line through points [n, 2] that narrows towards its ends."""
    # As complex numbers x and y are one array, and a quarter turn is a product.
    place = np.ascontiguousarray(line, np.float32).view(np.complex64)[:, 0]
    along = np.empty_like(place)
    along[1:-1] = place[2:] - place[:-2]
    along[0], along[-1] = place[1] - place[0], place[-1] - place[-2]
    aside = along * (taper(len(place)) * (0.5j * width) / (np.abs(along) + 1e-6))
    outline = np.concatenate([place + aside, (place - aside)[::-1]]).astype(np.complex64, copy=False)
    return outline.view(np.float32).reshape(-1, 2)


def polygon_mask(outlines: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The coverage of each pixel by polygons [n, 2], uint8 `shape`, 255 for whole pixels.

    Polygons are in pixels, from the corner of the picture.

    OpenCV's own anti-aliased fill reaches 0.7 pixels beyond the outline. This one fills a grid three times as fine.
    """
    fine = np.zeros((3 * shape[0], 3 * shape[1]), np.uint8)
    for outline in outlines:
        cv2.fillPoly(fine, [np.rint((outline * 3 - 0.5) * (1 << _SHIFT)).astype(np.int32)], 255, cv2.LINE_8, _SHIFT)
    return cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_AREA)


def blend(region: np.ndarray, paint: np.ndarray, mask: np.ndarray, opacity: float = 1.0) -> None:
    """Covers a part of a picture with another of its shape, where `mask`, uint8, says so."""
    cover = cv2.convertScaleAbs(mask, alpha=opacity) if opacity < 1 else mask
    if region.ndim == 3:
        cover = cv2.cvtColor(cover, cv2.COLOR_GRAY2RGB)
    under = cv2.multiply(region, cv2.bitwise_not(cover), scale=1 / 255)
    cv2.add(cv2.multiply(paint, cover, scale=1 / 255), under, dst=region)


def pixel_box(points: np.ndarray, size: int, margin: float = 0.0) -> tuple[slice, slice]:
    """The rows and columns of a picture that points [n, 2] span, and `margin` around them."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(points * size, np.float32))
    pad = int(margin * size) + 1
    rows = slice(min(max(y - pad, 0), size), max(min(y + height + pad, size), 0))
    return rows, slice(min(max(x - pad, 0), size), max(min(x + width + pad, size), 0))


def fill(image: np.ndarray, outline: np.ndarray, colour: Colour) -> None:
    """Fills a polygon [n, 2], a little beyond its outline."""
    cv2.fillPoly(image, [to_fixed(outline, len(image))], _scalar(colour), cv2.LINE_AA, _SHIFT)


def fill_fixed(image: np.ndarray, outlines: Sequence[np.ndarray], colour: Sequence[float]) -> None:
    """Fills polygons [n, 2], none in another, that `to_fixed` has made, a little beyond their outlines."""
    cv2.fillPoly(image, outlines, colour, cv2.LINE_AA, _SHIFT)


def draw_fixed_lines(image: np.ndarray, lines: Sequence[np.ndarray], colour: Sequence[float], thickness: int) -> None:
    """Draws hard lines [n, 2] that `to_fixed` has made, so many pixels wide."""
    cv2.polylines(image, lines, False, colour, max(1, thickness), cv2.LINE_8, _SHIFT)


def draw_lines(image: np.ndarray, lines: np.ndarray, colour: Colour, width: float, closed: bool = False) -> None:
    """Draws lines [m, n, 2] in one width, rounded to whole pixels, and colour."""
    thickness = max(1, round(width * len(image)))
    cv2.polylines(image, list(to_fixed(lines, len(image))), closed, _scalar(colour), thickness, cv2.LINE_AA, _SHIFT)


def disc(image: np.ndarray, centre: np.ndarray, axes: tuple[float, float], angle: float, colour: Colour) -> None:
    """Fills an ellipse with half axes `axes`, in frame widths, turned by `angle` degrees."""
    size, one = len(image), 1 << _SHIFT
    place = to_fixed(centre, size).tolist()
    sides = [max(one // 2, round((axis * size - 0.5) * one)) for axis in axes]
    cv2.ellipse(image, place, sides, angle, 0, 360, _scalar(colour), -1, cv2.LINE_AA, _SHIFT)


def glaze(image: np.ndarray, outlines: Sequence[np.ndarray], colour: Colour, opacity: float, blur: float = 0.0) -> None:
    """Blends a colour over polygons [n, 2]; `blur` softens their edges, in frame widths."""
    size = len(image)
    # One fixed small kernel, of 1.1 pixels, on a grid as coarse as the blur takes.
    coarse = max(1.0, blur * size / 1.1)
    box = pixel_box(np.concatenate(outlines), size, 3 * coarse / size)
    region = image[box]
    height, width = region.shape[:2]
    if not region.size:
        return
    corner = (box[1].start, box[0].start)
    mask: np.ndarray = np.zeros((int(height / coarse) + 1, int(width / coarse) + 1), np.uint8)
    grid = np.array([mask.shape[1] / width, mask.shape[0] / height], np.float32) * (1 << _SHIFT)
    for outline in outlines:
        fixed = ((outline * size - corner) * grid - (_HALF - 0.5)).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
    if blur * size > 0.5:
        mask = cv2.GaussianBlur(mask, (5, 5) if coarse > 1 else (3, 3), 0)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    paint = np.empty_like(region)
    paint[:] = np.clip(colour, 0, 255)
    blend(region, paint, mask, opacity)


def tint(colour: Colour, opacity: float = 1.0) -> tuple[float, float, float, float]:
    """A colour for a layer: RGBA, 0 to 255, the colour multiplied by the opacity."""
    red, green, blue = _scalar(colour)
    return opacity * min(red, 255), opacity * min(green, 255), opacity * min(blue, 255), 255 * opacity


def clear_around(layer: np.ndarray, outlines: Sequence[np.ndarray], margin: float) -> None:
    """Clears what a layer has around polygons [n, 2] of `to_fixed`, up to `margin` pixels from their boxes."""
    reach, around = int(margin * (1 << _SHIFT)), []
    for outline in outlines:
        left, top, width, height = cv2.boundingRect(outline)
        left, top, right, bottom = left - reach, top - reach, left + width + reach, top + height + reach
        around.append(np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.int32))
    # Of two polygons, one in the other, OpenCV fills what is between.
    cv2.fillPoly(layer, [*around, *outlines], (0, 0, 0, 0), cv2.LINE_AA, _SHIFT)


def lay_over(image: np.ndarray, layer: np.ndarray, box: tuple[slice, slice]) -> None:
    """Puts a part of a layer over a picture.

    Args:
      image: uint8 [size, size, 3].
      layer: RGBA with multiplied colours, see `tint`, uint8 [k * size, k * size, 4] for a whole number k.
      box: The part of the image.
    """
    finer, region = len(layer) // len(image), image[box]
    rows, columns = (slice(finer * side.start, finer * side.stop) for side in box)
    part = layer[rows, columns]
    if finer > 1:
        part = cv2.resize(part, region.shape[1::-1], interpolation=cv2.INTER_AREA)
    bare = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(part, 3)), cv2.COLOR_GRAY2RGB)
    cv2.add(cv2.multiply(region, bare, scale=1 / 255), cv2.cvtColor(part, cv2.COLOR_RGBA2RGB), dst=region)


def paste(image: np.ndarray, texture: np.ndarray, outline: np.ndarray, box: tuple[slice, slice]) -> None:
    """Covers a polygon [n, 2] with a smaller picture, enlarged to fill the polygon's box."""
    region = image[box]
    if not region.size:
        return
    mask = np.zeros(image.shape[:2], np.uint8)
    fill(mask, outline, (255,))
    large = cv2.resize(texture, region.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    blend(region, large, mask[box])
