"""The head of a synthetic face: its shaded skin, its beard and ears."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from data_pipelines.synthetic.figure import Figure, gloss, shade
from data_pipelines.synthetic.hair import inside_hairline
from data_pipelines.synthetic.look import Look
from data_pipelines.synthetic.paint import (
    blend,
    curve,
    draw_lines,
    fill,
    glaze,
    ribbon,
    to_fixed,
)
from data_pipelines.synthetic.surface import SMALL, noise_crop, rasterise
from data_pipelines.synthetic.template import ANGLES, template

# Skin is redder in the shade, as light that has passed through it is.
_REDDENING = (0.10, -0.03, -0.08)
_BLUSH = (0.05, -0.10, -0.09)
# An ear's outline: how far back from the face contour, outwards, and down, in head units.
_EAR = np.array(
    [
        (0.00, 0.00, 0.27), (0.03, 0.02, 0.205), (0.09, 0.055, 0.170), (0.16, 0.085, 0.185), (0.19, 0.085, 0.26),
        (0.16, 0.065, 0.35), (0.10, 0.040, 0.425), (0.05, 0.022, 0.485), (0.01, 0.008, 0.475), (0.00, 0.00, 0.39),
    ],
    np.float32,
)  # fmt: skip


@functools.cache
def _maps() -> dict[str, np.ndarray]:
    """Weights [rows, columns] on the head: redness, hollows, and where a beard and a moustache grow."""
    x, y, z = np.moveaxis(template().surface, -1, 0)
    front = np.cos(np.deg2rad(ANGLES))[None] > -0.3

    def bump(cx: float, cy: float, width: float, tall: float) -> np.ndarray:
        return np.exp(-(((np.abs(x) - cx) / width) ** 2) - ((y - cy) / tall) ** 2) * (z > -0.6)

    jaw = np.clip((y - 0.56 - 0.28 * np.clip(0.36 - np.abs(x), 0, 0.22)) / 0.06, 0, 1)
    mouth = np.clip(1 - np.hypot(x / 0.19, (y - 0.685) / 0.075), 0, 0.2) / 0.2
    sideburn = np.clip((np.abs(x) - 0.40) / 0.03, 0, 1) * np.clip((y - 0.2) / 0.1, 0, 1) * (z > -0.5)
    maps = {
        "red": 0.8 * bump(0.25, 0.44, 0.10, 0.09) + 0.9 * bump(0, 0.49, 0.09, 0.06) + 0.3 * bump(0, 0.93, 0.1, 0.06),
        "hollow": 0.45 * bump(0.125, 0.225, 0.050, 0.036)
        + 0.22 * bump(0.20, 0.230, 0.090, 0.045)
        + 0.20 * bump(0.19, 0.305, 0.075, 0.022)
        + 0.30 * bump(0.0, 0.575, 0.080, 0.020)
        + 0.28 * bump(0.0, 0.795, 0.100, 0.022)
        + 0.22 * bump(0.080, 0.36, 0.030, 0.09)
        + 0.28 * bump(0.118, 0.50, 0.025, 0.05)
        + 0.18 * bump(0.18, 0.69, 0.030, 0.04),
        "beard": np.maximum(jaw * (z > -0.55), sideburn) * (1 - mouth) * front,
        "moustache": np.clip(1 - np.hypot(x / 0.20, (y - 0.615 - 0.9 * x**2) / 0.042), 0, 0.5) * 2 * front,
    }
    return {name: weight.astype(np.float32) for name, weight in maps.items()}


def lit_skin(brightness: np.ndarray | float) -> np.ndarray:
    """What light of a brightness [...] makes of a skin's colour: a factor for each channel [3, ...]."""
    shadow = 1 - brightness
    return np.stack([brightness * (1 + change * shadow) for change in _REDDENING])


def _albedo(look: Look) -> list[np.ndarray]:
    """The colour of skin and beard without light, for each channel [rows, columns]."""
    maps = _maps()
    red = (0.6 + (0.9 * look.makeup.strength if look.makeup else 0.0)) * maps["red"]
    hollow = lit_skin(1 - (0.75 + 0.4 * look.age) * maps["hollow"])
    if look.style == "buzz":
        stubble = _stubble()
    elif look.style != "bald":
        hollow *= _under_hair(look.style)
    if look.beard:
        beard = np.maximum(look.beard * maps["beard"], look.moustache * maps["moustache"])
    channels = []
    for skin, hair, blush, dark in zip(look.skin, look.hair, _BLUSH, hollow, strict=True):
        channel = skin * (1 + blush * red) * dark
        if look.style == "buzz":
            channel += stubble * (0.9 * hair + 8 - channel)
        if look.beard:
            channel += beard * (0.75 * hair + 6 - channel)
        channels.append(channel)
    return channels


@functools.cache
def _stubble() -> np.ndarray:
    """How densely the scalp of a buzz cut is covered [rows, columns]."""
    return 0.75 * np.clip(inside_hairline("buzz") / 0.05, 0, 1)


@functools.cache
def _under_hair(style: str) -> np.ndarray:
    """How the shadow of the hair darkens the head [rows, columns]."""
    return 1 - 0.45 * np.exp(-np.maximum(0, -inside_hairline(style)) / 0.035)


def paint_skin(
    image: np.ndarray, figure: Figure, look: Look, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paints the head.

    Returns:
      The skin, uint8 [SMALL, SMALL, 3], and its depth [SMALL, SMALL] in head units, minus infinity beside the head.
    """
    light, normal = look.light, figure.normal
    mirrored = gloss(normal, light)
    shine = (light.diffuse * rng.uniform(10, 60)) * mirrored * mirrored * mirrored
    lit = lit_skin(shade(normal, light))
    colour = [channel * factor + shine for channel, factor in zip(_albedo(look), lit, strict=True)]
    values = np.stack([*colour, figure.surface[..., 2]], axis=-1)
    small, covered = rasterise(figure.surface, normal[..., 2], values, figure.near_last)
    skin = cv2.cvtColor(cv2.convertScaleAbs(small), cv2.COLOR_RGBA2RGB)
    _darken_folds(skin, figure, look)

    size = len(image)
    texture = noise_crop(rng, "skin", size, 0.5)
    strength = 0.04 + 0.10 * look.freckles + 0.06 * look.age
    texture = cv2.LUT(texture, np.clip(128 + strength * (np.arange(256) - 128), 0, 255).astype(np.uint8))
    large = cv2.resize(skin, (size, size), interpolation=cv2.INTER_CUBIC)
    mask = head_mask(figure, size)
    x, y, width, height = cv2.boundingRect(mask)
    box = np.s_[y : y + height, x : x + width]
    blend(image[box], cv2.multiply(large[box], cv2.merge([texture[box]] * 3), scale=1 / 128), mask[box])
    if look.beard:
        _paint_beard(image, figure, look, rng)
    depth = small[..., 3]
    depth[covered < 0.3] = -np.inf
    return skin, depth


def head_mask(figure: Figure, size: int) -> np.ndarray:
    """How far the head with its nose covers each pixel, uint8 [size, size]."""
    # OpenCV's fill reaches half a pixel beyond an outline; half of that on a grid twice as fine.
    mask = np.zeros((2 * size, 2 * size), np.uint8)
    rings = to_fixed(figure.outline, 2 * size)
    for pair in np.concatenate([rings[:-1], rings[1:]], axis=1):
        cv2.fillConvexPoly(mask, cv2.convexHull(pair), (255,), cv2.LINE_8, 4)
    cv2.fillPoly(mask, [to_fixed(nose_outline(figure), 2 * size)], (255,), cv2.LINE_8, 4)
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)


def nose_outline(figure: Figure) -> np.ndarray:
    """The nose [n, 2]: its ridge in profile, and its wing on the near side."""
    points, tip = figure.points, figure.shape.points[54]
    under = figure.place(tip + np.array([[0, 0.028, -0.012], [0, 0.05, -0.05]], np.float32))
    return np.concatenate([curve(points[51:55]), under, points[[57, 55 if figure.yaw > 0 else 59]]])


def _darken_folds(skin: np.ndarray, figure: Figure, look: Look) -> None:
    """The nose's shadow, folds from the nose to the mouth corners, bags under the eyes."""
    points, light = figure.points, look.light
    away = -0.16 * figure.scale * light.direction[:2]
    side = points[59] if away[0] > 0 else points[55]
    shadow = np.array([points[53], points[54], points[54] + away, points[57] + 0.9 * away, side + 0.3 * away, side])
    glaze(skin, [shadow], 0.45 * skin_tone(skin, points[57]), 0.45 * min(1.0, light.diffuse), 0.010)
    folds = []
    down = 0.12 * (points[57] - points[51])
    for wing, corner, cheek, inner, lid, outer in ((55, 76, 2, 64, 66, 60), (59, 82, 30, 68, 74, 72)):
        aside = 0.10 * (points[cheek] - points[corner])
        start, end = 1.12 * points[wing] - 0.12 * points[57], points[corner] + aside
        folds.append(ribbon(curve(np.array([start, 0.5 * (start + end) + aside, end])), 0.014))
        bag = np.array([points[inner] + 0.5 * down, points[lid] + 0.75 * down, points[outer] + 0.4 * down])
        folds.append(ribbon(curve(bag), 0.011))
    tone = skin_tone(skin, 0.5 * (points[55] + points[76]))
    depth = 0.12 + 0.35 * look.age + 0.30 * max(0.0, look.expression.smile)
    glaze(skin, folds, 0.62 * tone, depth, 0.006)


def skin_tone(skin: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The colour [3] of a small skin picture at a place [2] in the frame."""
    x, y = (min(max(int(v * SMALL), 0), SMALL - 1) for v in place.tolist())
    return skin[y, x].astype(np.float32)


def _paint_beard(image: np.ndarray, figure: Figure, look: Look, rng: np.random.Generator) -> None:
    """Single hairs over the beard that the skin already has."""
    weight = np.maximum(look.beard * _maps()["beard"], look.moustache * _maps()["moustache"])[:-1, :-1]
    rows, columns = np.nonzero((weight > 0.8 * look.beard) & (figure.normal[:-1, :-1, 2] > 0.1))
    if not len(rows):
        return
    chosen = rng.integers(0, len(rows), 160)
    rows, columns = rows[chosen], columns[chosen]
    across, down = rng.uniform(0, 1, (2, 160, 1)).astype(np.float32)
    surface = figure.surface[..., :2]
    root, below = surface[rows, columns], surface[rows + 1, columns]
    root = root + across * (surface[rows, columns + 1] - root) + down * (below - root)
    tip = root + (0.5 + rng.normal(0, 0.3, (160, 2)).astype(np.float32)) * (below - surface[rows, columns])
    hairs = np.stack([root, tip], axis=1)
    tone = look.skin + look.beard * (0.75 * look.hair + 6 - look.skin)
    tone *= look.light.level
    draw_lines(image, hairs[:90], 0.72 * tone, 0.002)
    draw_lines(image, hairs[90:], 1.15 * tone, 0.002)


def paint_ear(image: np.ndarray, figure: Figure, look: Look, side: int) -> None:
    """The ear on the image's left (-1) or right (1)."""
    root = figure.shape.points[2 if side < 0 else 30]
    back, out, down = _EAR.T
    ear = figure.place(
        np.stack([root[0] + side * (out - 0.012), root[1] - 0.362 + down, root[2] - 0.03 - back], axis=-1)
    )
    normal = figure.camera.rotation @ np.array([side * 0.78, 0, 0.62], np.float32)
    tone = 0.92 * look.skin * np.array([1.0, 0.93, 0.91]) * lit_skin(float(shade(normal, look.light)))
    smooth = curve(ear, closed=True)
    fill(image, smooth, tone)
    middle = ear.mean(0)
    inner = middle + 0.62 * (ear[1:8] - middle)
    hollow = middle + 0.32 * (smooth - middle)
    glaze(image, [ribbon(curve(inner), 0.016 * figure.scale), hollow], 0.5 * tone, 0.7, 0.004 * figure.scale)
