"""The head of a synthetic face: its shaded skin, its beard and ears."""

from __future__ import annotations

import functools
import math
from typing import TypeVar

import cv2
import numpy as np

from jaxlm.data_pipelines.synthetic.features.folds import paint_folds
from jaxlm.data_pipelines.synthetic.features.hair import inside_hairline
from jaxlm.data_pipelines.synthetic.painting.paint import blend, curve, draw_lines, fill_fixed, taper, to_fixed
from jaxlm.data_pipelines.synthetic.painting.surface import SMALL, noise_crop, rasterise
from jaxlm.data_pipelines.synthetic.shape.look import Look
from jaxlm.data_pipelines.synthetic.shape.posed_face import PosedFace, gloss, shade
from jaxlm.data_pipelines.synthetic.shape.sampling import uniform
from jaxlm.data_pipelines.synthetic.shape.template import ANGLES, FIRST_CONTOUR_RING, template

# Skin is redder in the shade, as light that has passed through it is.
_REDDENING = (0.10, -0.03, -0.08)

# How bright something is lit: a map [...], or one number.
Brightness = TypeVar("Brightness", np.ndarray, float)
# The outline's ring where the jaw begins, and beyond which yaw, in radians, its outline is hollow.
_JAW_RING, _PROFILE = 17, 0.5
_BLUSH = (0.05, -0.10, -0.09)
_EAR_TONE = np.array([0.92, 0.856, 0.837], np.float32)


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
    # Next to nothing is nothing: denormal numbers are slow.
    return {name: np.where(weight > 1e-4, weight, 0).astype(np.float32) for name, weight in maps.items()}


def lit_skin(brightness: Brightness) -> list[Brightness]:
    """Factors [...] on each of the three channels of a skin's colour, in light of a brightness [...]."""
    shadow = 1 - brightness
    return [brightness * (1 + change * shadow) for change in _REDDENING]


def _albedo(look: Look) -> list[np.ndarray]:
    """The colour of skin and beard without light, for each channel [rows, columns]."""
    maps = _maps()
    red = (0.6 + (0.9 * look.makeup.strength if look.makeup else 0.0)) * maps["red"]
    hollow = lit_skin(1 - (0.75 + 0.4 * look.age) * maps["hollow"])
    if look.style == "buzz":
        stubble = _stubble()
    elif look.style != "bald":
        under = _under_hair(look.style)
        hollow = [channel * under for channel in hollow]
    if look.beard:
        beard = np.maximum(look.beard * maps["beard"], look.moustache * maps["moustache"])
    channels = []
    for skin, hair, blush, dark in zip(look.skin.tolist(), look.hair.tolist(), _BLUSH, hollow, strict=True):
        channel = (skin + (skin * blush) * red) * dark
        if look.style == "buzz":
            channel += stubble * (0.9 * hair + 8 - channel)
        if look.beard:
            channel += beard * (0.75 * hair + 6 - channel)
        channels.append(channel)
    return channels


@functools.cache
def _stubble() -> np.ndarray:
    """Density of the hair of a buzz cut on the head [rows, columns]."""
    return 0.75 * np.clip(inside_hairline("buzz") / 0.05, 0, 1)


@functools.cache
def _under_hair(style: str) -> np.ndarray:
    """Factor of brightness on the head in the shadow of the hair [rows, columns]."""
    return 1 - 0.45 * np.exp(-np.maximum(0, -inside_hairline(style)) / 0.035)


def paint_skin(
    image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paints the head.

    Returns:
      The skin, uint8 [SMALL, SMALL, 3], and its depth [SMALL, SMALL] in head units, minus infinity beside the head.
    """
    light, normal = look.light, face.normal
    mirrored = gloss(normal, light)
    shine = (light.diffuse * uniform(rng, 10, 60)) * mirrored * mirrored * mirrored
    lit = lit_skin(shade(normal, light))
    colour = [channel * factor + shine for channel, factor in zip(_albedo(look), lit, strict=True)]
    drawn, values, covered = rasterise(face.surface, normal[2], [*colour, face.surface[2]], face.near_last, (2, 3))
    skin = np.zeros((SMALL, SMALL, 3), np.uint8)
    skin[drawn] = cv2.cvtColor(cv2.convertScaleAbs(values), cv2.COLOR_RGBA2RGB)
    paint_folds(skin, face, look)

    size = len(image)
    part, box = _head_boxes(drawn, size)
    contrast = 0.04 + 0.10 * look.freckles + 0.06 * look.age
    grain = noise_crop(rng, "skin", size, 0.5)[box]
    grain = cv2.convertScaleAbs(grain, alpha=contrast, beta=128 * (1 - contrast))
    large = cv2.resize(skin[part], grain.shape[::-1], interpolation=cv2.INTER_CUBIC)
    painted = cv2.multiply(large, cv2.cvtColor(grain, cv2.COLOR_GRAY2RGB), scale=1 / 128)
    blend(image[box], painted, head_mask(face, size, box))
    if look.beard:
        _paint_beard(image, face, look, rng)
    depth = np.full((SMALL, SMALL), -np.inf, np.float32)
    np.copyto(depth[drawn], values[..., 3], where=covered >= 0.3)
    return skin, depth


# A turned head is filled twice in a row.
@functools.lru_cache(maxsize=1)
def fill_head(face: PosedFace, size: int) -> np.ndarray:
    """The head with its nose, uint8 [size, size]: 255 where it is, 0 elsewhere. Not to be written to."""
    mask = np.zeros((size, size), np.uint8)
    rings = to_fixed(face.outline, size)
    # The skull is convex down to the face contour, and below is what three rings span or, about a jaw in profile, two.
    step = 1 if abs(face.yaw) > _PROFILE else 2
    cheeks = [rings[first : first + 3] for first in range(FIRST_CONTOUR_RING, _JAW_RING, 2)]
    jaw = [rings[first : first + step + 1] for first in range(_JAW_RING, len(rings) - 1, step)]
    for part in (rings[: FIRST_CONTOUR_RING + 1], *cheeks, *jaw):
        cv2.fillConvexPoly(mask, cv2.convexHull(part.reshape(-1, 2)), (255,), cv2.LINE_8, 4)
    cv2.fillPoly(mask, [to_fixed(face.nose, size)], (255,), cv2.LINE_8, 4)
    return mask


def head_mask(face: PosedFace, size: int, box: tuple[slice, slice]) -> np.ndarray:
    """The coverage of each pixel by the head with its nose, uint8, in a box of a picture of `size`."""
    # OpenCV's fill reaches half a pixel beyond an outline; half of that on a grid twice as fine.
    rows, columns = box
    fine = fill_head(face, 2 * size)[2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop]
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    return cv2.resize(fine, shape, interpolation=cv2.INTER_AREA)


def _head_boxes(drawn: tuple[slice, slice], size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """A part of a picture of side SMALL, a little grown, and the same part of one of side `size`, to the pixel."""
    # Only at multiples of `step` do the pixels of both begin at the same place.
    step = SMALL // math.gcd(SMALL, size)
    rows, columns = (slice(side.start // step * step, -(-side.stop // step) * step) for side in drawn)
    tall, wide = (slice(side.start * size // SMALL, side.stop * size // SMALL) for side in (rows, columns))
    return (rows, columns), (tall, wide)


def _paint_beard(image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> None:
    """Single hairs over the beard that the skin already has."""
    weight = np.maximum(look.beard * _maps()["beard"], look.moustache * _maps()["moustache"])[:-1, :-1]
    rows, columns = np.nonzero((weight > 0.8 * look.beard) & (face.normal[2, :-1, :-1] > 0.1))
    if not len(rows):
        return
    chosen = rng.integers(0, len(rows), 160)
    rows, columns = rows[chosen], columns[chosen]
    across, down = rng.uniform(0, 1, (2, 160, 1)).astype(np.float32)
    surface = np.moveaxis(face.surface[:2], 0, -1)
    root, below = surface[rows, columns], surface[rows + 1, columns]
    root = root + across * (surface[rows, columns + 1] - root) + down * (below - root)
    tip = root + (0.5 + rng.normal(0, 0.3, (160, 2)).astype(np.float32)) * (below - surface[rows, columns])
    hairs = np.stack([root, tip], axis=1)
    tone = look.skin + look.beard * (0.75 * look.hair + 6 - look.skin)
    tone *= look.light.level
    draw_lines(image, hairs[:90], 0.72 * tone, 0.002)
    draw_lines(image, hairs[90:], 1.15 * tone, 0.002)


@functools.cache
def _ear_matrix() -> np.ndarray:
    """The matrix [n, 10] from an ear's anchors to its outline, and to the fold and the hollow in it."""
    anchors = np.eye(10, dtype=np.float32)
    middle = 0.5 * (anchors[2] + anchors[7])
    outline, line = curve(anchors, closed=True) - middle, curve(anchors[1:8]) - middle
    half = 0.055 * taper(len(line)).real[:, None] * line
    fold = np.concatenate([0.62 * line + half, (0.62 * line - half)[::-1]])
    return middle + np.concatenate([outline, fold, 0.32 * outline])


def paint_ear(image: np.ndarray, face: PosedFace, look: Look, side: int) -> None:
    """The ear on the image's left (-1) or right (1)."""
    normal = face.camera.rotation @ np.array([side * 0.78, 0, 0.62], np.float32)
    tone = look.skin * _EAR_TONE * lit_skin(float(shade(normal.tolist(), look.light)))
    places = face.anchors("left ear" if side < 0 else "right ear")
    lines = to_fixed(_ear_matrix() @ places, len(image))
    fill_fixed(image, [lines[:50]], tone.tolist())
    fill_fixed(image, [lines[50:-50], lines[-50:]], (0.65 * tone).tolist())
