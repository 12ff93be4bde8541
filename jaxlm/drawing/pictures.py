"""Pictures of faces: landmarks drawn, sheets of many faces, grids of translations.

Images are RGB uint8 [H, W, 3] and points (x, y) in pixels, with pixel centres at integers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np

from jaxlm.files import write_whole
from jaxlm.landmarks import Scheme

File = str | os.PathLike[str]
Colour = tuple[int, int, int]
# Arrays of one shape [n, ...], or a sequence of n arrays.
Arrays = np.ndarray | Sequence[np.ndarray]

_TRUTH: Colour = (60, 230, 110)
_PREDICTED: Colour = (255, 70, 170)
_PARTS: tuple[Colour, ...] = (
    (90, 190, 255),
    (255, 165, 40),
    (255, 205, 90),
    (245, 240, 110),
    (70, 225, 150),
    (150, 240, 190),
    (255, 95, 105),
    (255, 255, 255),
)
_BACKGROUND = 24
_GAP = 4
# A picture is enlarged where its smallest face has fewer pixels a side, but to no more than `_MAX_ENLARGED` pixels.
_READABLE = 240
_MAX_ENLARGED = 8_000_000
# The radius of hollow points, in radii of others.
_RING = 2.5
# OpenCV takes points as integers with this many fractional bits.
_SHIFT = 4


def draw_face(
    image: np.ndarray,
    points: np.ndarray,
    scheme: Scheme,
    truth: np.ndarray | None = None,
    unsure: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of `image` with points [N, 2] and the scheme's edges drawn, each part in a colour of its own.

    Where there is a `truth` [N, 2], it is green and `points` are pink. Points that are not finite are left out, and
    those that are `unsure`, bool [N], are hollow and larger.
    """
    canvas = np.ascontiguousarray(image).copy()
    face = points if truth is None else truth
    finite = face[np.isfinite(face).all(-1)]
    extent = min(np.sqrt(np.prod(np.ptp(finite, axis=0))), max(canvas.shape)) if len(finite) else 0.0
    thickness, radius = max(1, round(extent / 180)), max(1.0, extent / 110)
    if not scheme.edges:
        radius = max(2.5, extent / 30)  # Points that no line leads to are lost among the features of a face.
    if truth is None:
        hollow = np.zeros(len(points), bool) if unsure is None else unsure
        _draw_shape(canvas, points, scheme, _part_colours(scheme), thickness, radius, hollow)
    else:
        _draw_shape(canvas, truth, scheme, [_TRUTH] * scheme.num_points, thickness, radius)
        _draw_shape(canvas, points, scheme, [_PREDICTED] * scheme.num_points, thickness, radius)
    return canvas


def draw_faces(
    image: np.ndarray,
    faces: Sequence[np.ndarray],
    scheme: Scheme,
    unsure: Sequence[np.ndarray | None] | None = None,
) -> np.ndarray:
    """A copy of `image` with the points [N, 2] of several faces drawn, enlarged where the smallest is hard to see.

    Points that are `unsure`, bool [N] of each face, are hollow.
    """
    sizes = [np.ptp(points, axis=0).max() for points in faces if np.isfinite(points).all()]
    factor = min(_READABLE / max(min(sizes, default=_READABLE), 1), (_MAX_ENLARGED / image[:, :, 0].size) ** 0.5)
    factor = max(int(factor), 1)
    canvas = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    for points, hollow in zip(faces, unsure or [None] * len(faces), strict=True):
        canvas = draw_face(canvas, points * factor + (factor - 1) / 2, scheme, unsure=hollow)
    return canvas


def _part_colours(scheme: Scheme) -> list[Colour]:
    """Colour of each point: that of the last part that holds it; where there are no parts, one after another."""
    if not scheme.parts:
        return [_PARTS[point % len(_PARTS)] for point in range(scheme.num_points)]
    colours = [_PARTS[-1]] * scheme.num_points
    for index, part in enumerate(scheme.parts.values()):
        for point in part:
            colours[point] = _PARTS[index % len(_PARTS)]
    return colours


def _draw_shape(
    canvas: np.ndarray,
    points: np.ndarray,
    scheme: Scheme,
    colours: Sequence[Colour],
    thickness: int,
    radius: float,
    hollow: np.ndarray | None = None,
) -> None:
    for start, end in scheme.edges:
        if np.isfinite(points[[start, end]]).all():
            ends = _fixed(points[start], canvas), _fixed(points[end], canvas)
            cv2.line(canvas, *ends, colours[start], thickness, cv2.LINE_AA, _SHIFT)
    for index in np.flatnonzero(np.isfinite(points).all(-1)).tolist():
        ring = hollow is not None and bool(hollow[index])
        size = round((max(_RING * radius, 3.0) if ring else radius) * 2**_SHIFT)
        width = thickness if ring else cv2.FILLED
        cv2.circle(canvas, _fixed(points[index], canvas), size, colours[index], width, cv2.LINE_AA, _SHIFT)


def _fixed(point: np.ndarray, canvas: np.ndarray) -> tuple[int, int]:
    """A point in OpenCV's fixed-point format; it is kept near the canvas, since far points overflow."""
    limit = 4 * max(canvas.shape)
    x, y = np.round(np.clip(point, -limit, limit) * 2**_SHIFT).astype(int).tolist()
    return x, y


def contact_sheet(
    images: Arrays,
    points: Arrays,
    scheme: Scheme,
    *,
    truth: Arrays | None = None,
    captions: Sequence[str] = (),
    columns: int = 6,
    side: int = 224,
) -> np.ndarray:
    """Square images with their points drawn as in `draw_face`, in rows of `columns` tiles of `side` pixels.

    `captions` are short ASCII texts, one for each face, or empty.
    """
    tiles = []
    for index, image in enumerate(images):
        factor = side / image.shape[0]
        scaled = (points[index] + 0.5) * factor - 0.5
        scaled_truth = None if truth is None else (truth[index] + 0.5) * factor - 0.5
        tile = draw_face(_resize(image, side), scaled, scheme, scaled_truth)
        if captions:
            _write(tile, captions[index], (6, side - 9))
        tiles.append(tile)
    return _sheet(tiles, columns, side)


def transfer_grid(styles: np.ndarray, structures: np.ndarray, pairs: np.ndarray, side: int = 128) -> np.ndarray:
    """All pairs of styles and structures: row 0 shows structures, column 0 styles, cell (i + 1, j + 1) pair (i, j).

    Args:
      styles: Photos that give styles, uint8 [M, S, S, 3].
      structures: Photos that give structures, uint8 [N, S, S, 3].
      pairs: Style i in structure j, uint8 [M, N, S, S, 3].
      side: Side of a tile of the picture in pixels.
    """
    corner = np.full_like(styles[0], _BACKGROUND)
    rows = [[corner, *structures], *([style, *row] for style, row in zip(styles, pairs, strict=True))]
    return _sheet([_resize(image, side) for row in rows for image in row], len(structures) + 1, side)


def _resize(image: np.ndarray, side: int) -> np.ndarray:
    method = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(image, (side, side), interpolation=method)


def _sheet(tiles: Sequence[np.ndarray], columns: int, side: int) -> np.ndarray:
    """Tiles [side, side, 3] in rows of `columns`, with gaps."""
    pitch = side + _GAP
    sheet = np.full((-(-len(tiles) // columns) * pitch + _GAP, columns * pitch + _GAP, 3), _BACKGROUND, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = (_GAP + pitch * cell for cell in divmod(index, columns))
        sheet[top : top + side, left : left + side] = tile
    return sheet


def _write(image: np.ndarray, text: str, corner: tuple[int, int]) -> None:
    """White text with a dark rim from the lower left `corner`."""
    rim = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)]
    for (x, y), colour in [*((offset, (0, 0, 0)) for offset in rim), ((0, 0), (255, 255, 255))]:
        cv2.putText(image, text, (corner[0] + x, corner[1] + y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)


def save_image(file: File, image: np.ndarray | bytes) -> None:
    """Writes an RGB uint8 image [H, W, 3], or what `encode` gave of it; the ending of the name gives the format.

    The file takes its name once it is whole; one of that name is replaced.

    Raises:
      OSError: The file cannot be written, or the format takes no image of this size.
    """
    file = pathlib.Path(file)
    try:
        write_whole(file, image if isinstance(image, bytes) else encode(file.suffix, image))
    except OSError as error:
        raise OSError(error.errno, f"the picture cannot be written: {error.strerror}", str(file)) from None


def encode(ending: str, image: np.ndarray) -> bytes:
    """The bytes of an image file of an RGB uint8 image [H, W, 3]; its format is that of an ending, such as .png.

    Raises:
      OSError: The format takes no image of this size.
    """
    # OpenCV writes no file itself: it ends the process at a name that is no UTF-8, and does not say what went wrong.
    with contextlib.suppress(cv2.error):
        good, coded = cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if good:
            return coded.tobytes()
    height, width = image.shape[:2]
    raise OSError(errno.EINVAL, f"no {ending} file takes a picture of {width} x {height} pixels")


def worst_faces(
    images: Arrays,
    predicted: np.ndarray,
    truth: np.ndarray,
    nme: np.ndarray,
    scheme: Scheme,
    *,
    protocol: str,
) -> np.ndarray:
    """A sheet of faces with their NME in per cent, the worst face first.

    Args:
      images: Images, RGB uint8 [n, S, S, 3].
      predicted: Predicted points [n, N, 2] in pixels of `images`.
      truth: True points [n, N, 2] in pixels of `images`.
      nme: NME of each face [n], a fraction.
      scheme: Scheme of the points.
      protocol: Title in ASCII: data, split and normaliser.
    """
    order = np.argsort(-nme)
    captions = [f"{100 * nme[index]:.2f} %" for index in order]
    chosen = [images[index] for index in order]
    sheet = contact_sheet(chosen, predicted[order], scheme, truth=truth[order], captions=captions)
    header = np.full((36, sheet.shape[1], 3), _BACKGROUND, np.uint8)
    _write(header, f"{protocol}: worst faces, NME; truth green, predicted pink", (8, 24))
    return np.concatenate([header, sheet])
