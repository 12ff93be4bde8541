"""The background of a synthetic face, and the neck and clothes below it."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np

from jaxlm.data_pipelines.synthetic.features.head import lit_skin
from jaxlm.data_pipelines.synthetic.painting.paint import curve, disc, fill, paste, pixel_box
from jaxlm.data_pipelines.synthetic.painting.surface import noise_crop
from jaxlm.data_pipelines.synthetic.shape.look import Look
from jaxlm.data_pipelines.synthetic.shape.posed_face import PosedFace
from jaxlm.data_pipelines.synthetic.shape.sampling import pick

# Backgrounds are out of focus: they are made at this size and enlarged.
_SMALL = 96
_RAMP = np.linspace(0, 1, _SMALL, dtype=np.float32)
_STOCK = 96
# The pixel centres of a coarse grid.
_GRID = (np.arange(24, dtype=np.float32) + 0.5) / 24
_NECK = 0.31 * np.array([(-1, 0), (1, 0), (0.98, 0), (1.5, 0), (-1.5, 0), (-0.98, 0)], np.float32)
_SHOULDER = np.array([(0.30, 0.0), (0.55, 0.10), (0.85, 0.20), (1.10, 0.32), (1.30, 0.60), (1.40, 1.40)], np.float32)


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A random colour [3] of rooms and clothes: seldom vivid."""
    vivid = (6, 18, 42)[pick(rng, (0.4, 0.4, 0.2))]
    colour = rng.uniform(20, 230) + vivid * rng.standard_normal(3, np.float32)
    return np.clip(colour, 5, 250)


def _between(weight: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A picture, uint8 [n, n, 3], of two colours mixed by `weight` [n, n], which may leave 0 to 1."""
    return np.clip(first + weight[..., None] * (second - first), 0, 255).astype(np.uint8)


def _wall(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.float32(0.5 * np.cos(angle)) * _RAMP + np.float32(0.5 * np.sin(angle)) * _RAMP[:, None]
    return _between(slope, _colour(rng), _colour(rng))


def _plaster(rng: np.random.Generator) -> np.ndarray:
    clouds = noise_crop(rng, "clouds", _SMALL, rng.uniform(0.2, 1.0)).astype(np.float32) / 255
    return _between(clouds, _colour(rng), _colour(rng))


def _room(rng: np.random.Generator) -> np.ndarray:
    picture = _wall(rng)
    for x, y, w, h in rng.uniform((-0.2, -0.2, 0.05, 0.05), (1, 1, 0.5, 0.5), (6, 4)).tolist():
        fill(picture, np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)]), _colour(rng))
    return picture


def _stripes(rng: np.random.Generator) -> np.ndarray:
    """Stripes, as of planks, blinds or columns."""
    period, lean = rng.uniform(0.04, 0.25), (0.0, 1.0, rng.uniform(0, 1))[pick(rng, (0.4, 0.4, 0.2))]
    place = (np.float32(lean / period) * _RAMP + np.float32((1 - lean) / period) * _RAMP[:, None]) % 1
    return _between((place < rng.uniform(0.2, 0.8)).astype(np.float32), _colour(rng), _colour(rng))


def _lights(rng: np.random.Generator) -> np.ndarray:
    picture = _wall(rng) // 2
    for x, y, radius, strength in rng.uniform((0, 0, 0.04, 0.2), (1, 1, 0.11, 1.0), (16, 4)).tolist():
        disc(picture, np.array([x, y]), (radius, radius), 0, strength * (_colour(rng) + 60))
    return picture


def _leaves(rng: np.random.Generator) -> np.ndarray:
    leaf = noise_crop(rng, "curls", _SMALL, rng.uniform(0.2, 0.8)).astype(np.float32)[..., None] / 128
    green = np.array([0.55, 0.75, 0.35], np.float32) * np.float32(rng.uniform(60, 190))
    return np.clip(green * leaf * np.sqrt(leaf), 0, 255).astype(np.uint8)


@functools.cache
def _backgrounds() -> list[np.ndarray]:
    """A stock of backgrounds, uint8 [_SMALL, _SMALL, 3]; faces show parts of them in other colours."""
    rng = np.random.default_rng(256)
    makers = (_wall, _plaster, _room, _stripes, _lights, _leaves)
    pictures = []
    for _ in range(_STOCK):
        picture = makers[pick(rng, (0.16, 0.22, 0.18, 0.12, 0.16, 0.16))](rng)
        kernel = (1, 3, 5, 9)[pick(rng, (0.25, 0.25, 0.25, 0.25))]
        pictures.append(cv2.GaussianBlur(picture, (kernel, kernel), 0))
    return pictures


def make_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """A background, uint8 [size, size, 3]."""
    which, x, y, share, flip, red, green, blue = rng.random(8).tolist()
    side = int(_SMALL * (0.6 + 0.4 * share))
    left, top = int(x * (_SMALL - side + 1)), int(y * (_SMALL - side + 1))
    part = _backgrounds()[int(which * _STOCK)][top : top + side, left : left + side]
    part = part if flip < 0.5 else cv2.flip(part, 1)
    part = cv2.transform(part, np.diag((0.7 + 0.6 * red, 0.7 + 0.6 * green, 0.7 + 0.6 * blue)))
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)


def paint_body(image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> None:
    """The neck, straight down from the head, and clothes from the collar down."""
    scale, (x, y) = face.scale, face.camera.offset
    top = face.anchors("neck")[0]
    middle = np.array([0.55 * top[0] + 0.45 * x, y + 0.72 * scale], np.float32)
    bottom = middle + np.array([0.0, 0.63 * scale], np.float32)
    waist = 0.5 * (top + bottom)
    neck = curve(scale * _NECK + np.array([top, top, waist, bottom, bottom, waist]), closed=True)
    box = pixel_box(neck, len(image))
    low, high = ((box[1].start, box[0].start), (box[1].stop, box[0].stop))
    shading = _neck_skin(face, look, top, bottom, [v / len(image) for v in low], [v / len(image) for v in high])
    paste(image, shading, neck, box)

    depth = (0.10, 0.22, 0.45)[pick(rng, (0.34, 0.33, 0.33))]
    outline = middle + scale * _clothes(depth)
    paste(image, _cloth(look, rng), outline, pixel_box(outline, len(image)))


@functools.cache
def _clothes(depth: float) -> np.ndarray:
    """The outline [n, 2] of clothes below the neck, in head units, with a collar of a depth."""
    collar = np.array([(-0.15, 0.75 * depth), (0.0, depth), (0.15, 0.75 * depth)], np.float32)
    return curve(np.concatenate([_SHOULDER[::-1] * (-1, 1), collar, _SHOULDER]))


def _neck_skin(
    face: PosedFace, look: Look, top: np.ndarray, bottom: np.ndarray, low: Sequence[float], high: Sequence[float]
) -> np.ndarray:
    """The shading of a neck from `top` to `bottom` [2]: round, and dark under the chin.

    Returns:
      uint8 [n, n, 3], of the part of the frame between the corners `low` and `high`, (x, y).
    """
    across, down = low[0] + (high[0] - low[0]) * _GRID, low[1] + (high[1] - low[1]) * _GRID[:, None]
    lean = float((bottom[0] - top[0]) / (bottom[1] - top[1]))
    across = (across - float(top[0] - lean * top[1]) - lean * down) * (1 / (0.33 * face.scale))
    away = np.abs(across)
    round_off = away * away * (0.45 * away - (0.3 * float(look.light.direction[0])) * across)
    under = np.maximum(0, down - float(face.points[16, 1])) * (1 / (0.15 * face.scale))
    bright = look.light.level * ((0.9 - np.minimum(round_off, 0.75)) * (1 - 0.6 * np.exp(-under)))
    channels = zip(look.skin.tolist(), lit_skin(bright), strict=True)
    return cv2.merge([cv2.convertScaleAbs(factor, alpha=skin) for skin, factor in channels])


def _cloth(look: Look, rng: np.random.Generator) -> np.ndarray:
    """Cloth, cloudy and at times striped, uint8 [n, n, 3]."""
    tone = (_colour(rng) * look.light.level).tolist()
    folds = noise_crop(rng, "folds", 64, 0.125)
    if rng.random() < 0.3:
        stripes = (rng.uniform(20, 90) * (np.sin(np.arange(64) * rng.uniform(0.4, 1.8)) > 0)).astype(np.uint8)
        folds = cv2.add(folds, np.tile(stripes, (64, 1)) if rng.random() < 0.5 else np.tile(stripes[:, None], 64))
    return cv2.merge([cv2.convertScaleAbs(folds, alpha=min(t, 235) / 580, beta=0.78 * min(t, 235)) for t in tone])
