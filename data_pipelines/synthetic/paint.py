"""Painting tools for the synthetic faces: curves, exact fills, lines, soft glazes.

Places are in frame widths, 0 to 1 across a square picture, whatever its size in pixels. Colours are RGB, 0 to 255.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

Colour = np.ndarray | Sequence[float]

_SHIFT = 4
_QUARTER_TURN = np.array([-1, 1], np.float32)


def to_fixed(points: np.ndarray, size: int) -> np.ndarray:
    """Points [..., 2] in frame widths as OpenCV's fixed-point pixel coordinates, pixel centres at integers."""
    return np.rint((points * size - 0.5) * (1 << _SHIFT)).astype(np.int32)


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
def _taper(count: int) -> np.ndarray:
    """Widths [count, 1] along a line: 0.35 at its ends, 1 in the middle."""
    return np.clip(0.35 + 2.6 * np.minimum(np.arange(count), np.arange(count)[::-1])[:, None] / (count - 1), 0, 1)


def ribbon(line: np.ndarray, width: float) -> np.ndarray:
    """The outline [2 n, 2] of a line through points [n, 2] that narrows towards its ends."""
    along = np.empty_like(line)
    along[1:-1] = line[2:] - line[:-2]
    along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
    along *= 0.5 * width * _taper(len(line)) / np.sqrt((along * along).sum(1, keepdims=True) + 1e-12)
    aside = along[:, ::-1] * _QUARTER_TURN
    return np.concatenate([line + aside, (line - aside)[::-1]])


def polygon_mask(outlines: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """How far polygons [n, 2] cover each pixel, uint8 `shape`, 255 is wholly; in pixels, from the picture's corner.

    OpenCV's own anti-aliased fill reaches 0.7 pixels beyond the outline. This one fills a grid three times as fine.
    """
    fine = np.zeros((3 * shape[0], 3 * shape[1]), np.uint8)
    for outline in outlines:
        cv2.fillPoly(fine, [np.rint((outline * 3 - 0.5) * (1 << _SHIFT)).astype(np.int32)], 255, cv2.LINE_8, _SHIFT)
    return cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_AREA)


def blend(region: np.ndarray, paint: np.ndarray, mask: np.ndarray, opacity: float = 1.0) -> None:
    """Covers a part of a picture with another of its shape, where `mask`, uint8, says so."""
    weight = cv2.multiply(mask, 1, scale=opacity / 255, dtype=cv2.CV_32F)
    region[:] = cv2.blendLinear(paint, region, weight, 1 - weight).reshape(region.shape)


def _box(outlines: Sequence[np.ndarray], size: int, margin: float) -> tuple[int, int, int, int]:
    """The pixels left, top, right, bottom that polygons may touch, within the picture."""
    every = np.concatenate(outlines) if len(outlines) > 1 else outlines[0]
    left, top = (every.min(0) * size - margin).tolist()
    right, bottom = (every.max(0) * size + margin).tolist()
    return max(int(left), 0), max(int(top), 0), min(int(right) + 1, size), min(int(bottom) + 1, size)


def fill(image: np.ndarray, outline: np.ndarray, colour: Colour) -> None:
    """Fills a polygon [n, 2], a little beyond its outline."""
    cv2.fillPoly(image, [to_fixed(outline, len(image))], _scalar(colour), cv2.LINE_AA, _SHIFT)


def stroke(image: np.ndarray, line: np.ndarray, colour: Colour, width: float) -> None:
    """Draws a tapered line through points [n, 2], `width` frame widths wide in its middle."""
    # The fill's own reach beyond an outline is part of the line.
    fill(image, ribbon(line, max(width - 1.2 / len(image), 0.1 / len(image))), colour)


def draw_lines(image: np.ndarray, lines: np.ndarray, colour: Colour, width: float, closed: bool = False) -> None:
    """Draws lines [m, n, 2] in one width, rounded to whole pixels, and colour."""
    thickness = max(1, round(width * len(image)))
    cv2.polylines(image, list(to_fixed(lines, len(image))), closed, _scalar(colour), thickness, cv2.LINE_AA, _SHIFT)


def disc(image: np.ndarray, centre: np.ndarray, axes: tuple[float, float], angle: float, colour: Colour) -> None:
    """Fills an ellipse with half axes `axes`, in frame widths, turned by `angle` degrees."""
    size, one = len(image), 1 << _SHIFT
    place = to_fixed(centre, size).tolist()
    axes = tuple(max(one // 2, round((axis * size - 0.5) * one)) for axis in axes)
    cv2.ellipse(image, place, axes, angle, 0, 360, _scalar(colour), -1, cv2.LINE_AA, _SHIFT)


def glaze(image: np.ndarray, outlines: Sequence[np.ndarray], colour: Colour, opacity: float, blur: float = 0.0) -> None:
    """Blends a colour over polygons [n, 2]; `blur` softens their edges, in frame widths."""
    size = len(image)
    # One fixed small kernel, of 1.1 pixels, on a grid as coarse as the blur takes.
    coarse = max(1.0, blur * size / 1.1)
    left, top, right, bottom = _box(outlines, size, 3 * coarse)
    if right <= left or bottom <= top:
        return
    height, width = bottom - top, right - left
    local = [outline * size - (left, top) for outline in outlines]
    if coarse > 1:
        mask = np.zeros((int(height / coarse) + 1, int(width / coarse) + 1), np.uint8)
        grid = np.array([mask.shape[1] / width, mask.shape[0] / height]) * (1 << _SHIFT)
        fixed = [np.rint(outline * grid - (1 << _SHIFT) / 2).astype(np.int32) for outline in local]
        for outline in fixed:
            cv2.fillPoly(mask, [outline], 255, cv2.LINE_AA, _SHIFT)
        mask = cv2.resize(cv2.GaussianBlur(mask, (5, 5), 0), (width, height), interpolation=cv2.INTER_LINEAR)
    else:
        mask = polygon_mask(local, (height, width))
        if blur * size > 0.5:
            mask = cv2.GaussianBlur(mask, (3, 3), 0)
    region = image[top:bottom, left:right]
    paint = np.empty_like(region)
    paint[:] = np.clip(colour, 0, 255)
    blend(region, paint, mask, opacity)


@contextlib.contextmanager
def within(image: np.ndarray, outline: np.ndarray) -> Iterator[np.ndarray]:
    """Gives a copy of the image around a polygon [n, 2] to paint on; what lies within the polygon then returns."""
    size = len(image)
    left, top, right, bottom = _box([outline], size, 1)
    copy = np.empty_like(image)
    copy[top:bottom, left:right] = image[top:bottom, left:right]
    yield copy
    if right > left and bottom > top:
        mask = polygon_mask([outline * size - (left, top)], (bottom - top, right - left))
        blend(image[top:bottom, left:right], copy[top:bottom, left:right], mask)


def paste(image: np.ndarray, texture: np.ndarray, outline: np.ndarray) -> None:
    """Covers a polygon [n, 2] with a smaller picture of the whole frame, enlarged."""
    mask = np.zeros(image.shape[:2], np.uint8)
    fill(mask, outline, (255,))
    large = cv2.resize(texture, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    blend(image, large, mask)
