"""What is around and below a synthetic face: the background, the neck and clothes."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipelines.synthetic.figure import Figure
from data_pipelines.synthetic.head import lit_skin
from data_pipelines.synthetic.look import Look, pick
from data_pipelines.synthetic.paint import curve, disc, fill, paste
from data_pipelines.synthetic.surface import noise_crop

# Backgrounds are out of focus: they are made at this size and enlarged.
_SMALL = 72
_RAMP = np.linspace(0, 1, _SMALL, dtype=np.float32)
# The places of a coarse grid's pixels.
_GRID = (np.arange(32, dtype=np.float32) + 0.5) / 32


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A colour [3] as rooms and clothes have: seldom vivid."""
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
    """Planks, blinds, columns."""
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


def make_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """A background, uint8 [size, size, 3]."""
    makers = (_wall, _plaster, _room, _stripes, _lights, _leaves)
    picture = makers[pick(rng, (0.16, 0.22, 0.18, 0.12, 0.16, 0.16))](rng)
    kernel = (1, 3, 5, 9)[pick(rng, (0.25, 0.25, 0.25, 0.25))]
    return cv2.resize(cv2.GaussianBlur(picture, (kernel, kernel), 0), (size, size), interpolation=cv2.INTER_LINEAR)


def paint_body(image: np.ndarray, figure: Figure, look: Look, rng: np.random.Generator) -> None:
    """The neck, straight down from the head, and clothes from the collar down."""
    scale, (x, y) = figure.scale, figure.camera.offset
    top = figure.place(np.array([0.0, 0.62, -0.55], np.float32))
    middle = np.array([0.55 * top[0] + 0.45 * x, y + 0.72 * scale])
    bottom = middle + np.array([0.0, 0.63 * scale])
    waist = 0.5 * (top + bottom)
    sides = 0.31 * scale * np.array([(-1, 0), (1, 0), (0.98, 0), (1.5, 0), (-1.5, 0), (-0.98, 0)])
    neck = curve(sides + np.array([top, top, waist, bottom, bottom, waist]), closed=True)
    paste(image, _neck_skin(figure, look, top, bottom), neck)

    depth = (0.10, 0.22, 0.45)[pick(rng, (0.34, 0.33, 0.33))]
    right = np.array([(0.30, 0.0), (0.55, 0.10), (0.85, 0.20), (1.10, 0.32), (1.30, 0.60), (1.40, 1.40)])
    collar = np.array([(-0.15, 0.75 * depth), (0.0, depth), (0.15, 0.75 * depth)])
    outline = middle + scale * curve(np.concatenate([right[::-1] * (-1, 1), collar, right]))
    paste(image, _cloth(look, rng), outline)


def _neck_skin(figure: Figure, look: Look, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """The shading of a neck from `top` to `bottom` [2]: round, and dark under the chin; uint8 [n, n, 3], the frame."""
    across, down = _GRID - top[0], _GRID[:, None]
    across = (across - (down - top[1]) * ((bottom[0] - top[0]) / (bottom[1] - top[1]))) / (0.33 * figure.scale)
    round_off = np.abs(across) ** 3 * (0.45 - 0.3 * look.light.direction[0] * np.sign(across))
    under = np.maximum(0, down - figure.points[16, 1]) / (0.15 * figure.scale)
    bright = (0.9 - np.minimum(round_off, 0.75)) * (1 - 0.6 * np.exp(-under))
    skin = look.skin[:, None, None] * lit_skin(look.light.level * bright)
    return cv2.merge(list(np.clip(skin, 0, 255).astype(np.uint8)))


def _cloth(look: Look, rng: np.random.Generator) -> np.ndarray:
    """Cloudy, at times striped, uint8 [n, n, 3], the frame."""
    tone = np.minimum(_colour(rng) * np.float32(look.light.level), 235)
    folds = noise_crop(rng, "clouds", 64, 0.5).astype(np.float32)
    if rng.random() < 0.3:
        stripes = np.float32(rng.uniform(20, 90)) * (np.sin(np.arange(64) * rng.uniform(0.4, 1.8)) > 0)
        folds = folds + (stripes if rng.random() < 0.5 else stripes[:, None])
    return np.clip(tone * (0.78 + folds[..., None] / 580), 0, 255).astype(np.uint8)
