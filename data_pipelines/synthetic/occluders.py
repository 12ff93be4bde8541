"""Objects in front of a synthetic face: hands, sunglasses, masks, bars, blobs."""

from __future__ import annotations

import cv2
import numpy as np

from jaxlm.data_pipelines.synthetic.features.eyes import lens_outlines, paint_rims, reflections
from jaxlm.data_pipelines.synthetic.painting.paint import blend, curve, draw_lines, fill, glaze, polygon_mask, ribbon
from jaxlm.data_pipelines.synthetic.painting.surface import noise_crop
from jaxlm.data_pipelines.synthetic.shape.look import Look
from jaxlm.data_pipelines.synthetic.shape.posed_face import PosedFace
from jaxlm.data_pipelines.synthetic.shape.sampling import pick

Outlines = list[np.ndarray]

_CLOTHS = np.array([(205, 222, 232), (236, 236, 236), (30, 32, 40), (120, 60, 60)])


def paint_occluder(image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Hides part of the face.

    Returns:
      The hidden pixels, uint8 [size, size], 0 or 255.
    """
    painters = (_paint_hand, _paint_sunglasses, _paint_mask, _paint_bar, _paint_blob)
    paint = painters[pick(rng, (0.30, 0.17, 0.17, 0.22, 0.14))]
    hidden = np.zeros(image.shape[:2], np.uint8)
    for outline in paint(image, face, look, rng):
        fill(hidden, outline, (255,))
    return hidden


def _paint_solid(
    image: np.ndarray, outline: np.ndarray, tone: np.ndarray, depth: float, rng: np.random.Generator
) -> None:
    """Fills a polygon [n, 2] with a rounded, cloudy surface, darker at its edge by `depth`."""
    size = len(image)
    left, top = np.clip((outline.min(0) * size).astype(int) - 1, 0, size - 1).tolist()
    right, bottom = np.clip((outline.max(0) * size).astype(int) + 2, (left + 1, top + 1), size).tolist()
    width, height = right - left, bottom - top
    mask = polygon_mask([outline * size - (left, top)], (height, width))
    coarse = (max(4, 96 * width // size), max(4, 96 * height // size))
    thick = cv2.blur(cv2.resize(mask, coarse, interpolation=cv2.INTER_AREA), (5, 5), borderType=cv2.BORDER_REPLICATE)
    clouds = cv2.resize(noise_crop(rng, "clouds", 64, 0.3), coarse).astype(np.float32) / 128 - 1
    bright = 1 - depth + depth * thick.astype(np.float32) / 255 + 0.15 * clouds
    surface = cv2.merge([cv2.convertScaleAbs(bright, alpha=channel) for channel in tone.tolist()])
    blend(image[top:bottom, left:right], cv2.resize(surface, (width, height)), mask)


def _cast_shadow(image: np.ndarray, outlines: Outlines, face: PosedFace, look: Look) -> None:
    fall = 0.03 * face.scale * (np.array([0.0, 0.7]) - look.light.direction[:2])
    glaze(image, [outline + fall for outline in outlines], 0.25 * look.skin, 0.45, 0.02 * face.scale)


def _target(face: PosedFace, rng: np.random.Generator) -> np.ndarray:
    """A random point [2] on the face, near one of the landmarks worth hiding."""
    index = rng.choice((16, 85, 76, 82, 57, 4, 28, 66, 74, 40, 47, 10, 22))
    return face.points[index] + rng.normal(0, 0.03, 2) * face.scale


def _paint_hand(image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> Outlines:
    """Four fingers on the face and the back of the hand, from below or from the side."""
    target, size = _target(face, rng), 0.88 * face.scale
    outwards = target - np.asarray(face.camera.offset)
    heading = np.arctan2(outwards[1] + 0.5 * face.scale, outwards[0]) + rng.normal(0, 0.25)
    back = np.array([np.cos(heading), np.sin(heading)])
    axes = size * np.stack([np.array([-back[1], back[0]]) * rng.choice((-1, 1)), back])
    half = np.array([(0.26, 0.42), (0.24, 0.80), (0.17, 1.05), (0.17, 1.9)])
    palm = np.concatenate([half * (-1, 1), half[::-1]])
    outlines = [target + curve(palm, closed=True) @ axes]
    spread = rng.uniform(0.0, 0.12)
    round_tip = np.linspace(0, np.pi, 7)
    for place, length in ((-0.195, 0.40), (-0.065, 0.50), (0.065, 0.47), (0.19, 0.36)):
        tip = np.array([place * (1 + 3 * spread), 0.52 - length])
        cap = tip + 0.062 * np.stack([np.cos(round_tip), -np.sin(round_tip)], axis=-1)
        finger = np.array([(place + 0.068, 0.50), *cap, (place - 0.068, 0.50)])
        outlines.append(target + finger @ axes)
    _cast_shadow(image, outlines, face, look)
    tone = look.skin * np.array([1.0, 0.93, 0.9]) * look.light.level
    for outline in outlines:
        _paint_solid(image, outline, tone, 0.55, rng)
    return outlines


def _paint_sunglasses(image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> Outlines:
    lenses = lens_outlines(face, 0.15, 0.105)
    lit = look.light.level
    _cast_shadow(image, lenses, face, look)
    tone = lit * rng.uniform(8, 45, 3)
    for lens in lenses:
        _paint_solid(image, lens, tone, 0.3, rng)
    glaze(image, reflections(lenses), (235, 240, 250), 0.35, 0.012 * face.scale)
    paint_rims(image, face, lenses, lit * np.array([20.0, 18.0, 18.0]), 0.016)
    return lenses


def _paint_mask(image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> Outlines:
    """A mask over nose and mouth, with pleats and ear loops."""
    points, shape = face.points, face.shape.points
    cheeks = shape[[66, 74]] + np.array([0, 0.15, 0.03], np.float32)
    left, right = face.to_frame(cheeks)
    bridge, tip = face.to_frame(shape[[53, 54]] + np.array([[0, -0.02, 0.02], [0, 0, 0.03]], np.float32))
    if abs(face.yaw) > 0.5:
        # The nose's tip hides what is behind it.
        bridge = tip + 0.8 * (bridge - tip)
        left, right = (left, tip) if face.yaw > 0 else (tip, right)
    chin = points[[6, 9, 12, 16, 20, 23, 26]]
    chin = chin + 0.035 * (chin - points[54])
    outline = curve(np.array([points[4], left, bridge, right, points[28], *chin[::-1]]), closed=True)
    tone = _CLOTHS[rng.integers(len(_CLOTHS))] * look.light.level
    _cast_shadow(image, [outline], face, look)
    _paint_solid(image, outline, tone, 0.4, rng)
    pleats = []
    for first, middle, last in ((5, 57, 27), (7, 79, 25), (9, 85, 23)):
        ends = 0.85 * points[[first, last]] + 0.15 * points[middle]
        pleats.append(ribbon(curve(np.array([ends[0], points[middle], ends[1]])), 0.014 * face.scale))
    glaze(image, pleats, 0.6 * tone, 0.45, 0.008 * face.scale)
    for edge, ear, side in ((4, 1, -1), (28, 31, 1)):
        if side * face.yaw < 0.3:
            draw_lines(image, points[[edge, ear]][None], 0.8 * tone, 0.010 * face.scale)
    return [outline]


def _paint_bar(image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> Outlines:
    """A bar, as of a pole, a cup, a telephone or a book's edge."""
    angle = rng.choice((0.0, np.pi / 2, rng.uniform(0, np.pi)))
    half = np.array([rng.choice((0.2, 0.35, 2.5)), rng.uniform(0.07, 0.2)]) * face.scale
    axes = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    outline = _target(face, rng) + (np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half) @ axes
    _cast_shadow(image, [outline], face, look)
    tone = np.clip(rng.uniform(20, 220) + rng.normal(0, 30, 3), 8, 240) * look.light.level
    _paint_solid(image, outline, tone, 0.5, rng)
    band = outline[[0, 1, 1, 0]] + 0.5 * (outline[[3, 2, 2, 3]] - outline[[0, 1, 1, 0]]) * [[0.4], [0.4], [0.9], [0.9]]
    glaze(image, [band], rng.uniform(20, 230, 3), 0.6)
    return [outline]


def _paint_blob(image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> Outlines:
    """A blob, as of somebody's shoulder or hair: large, round, out of focus, from one side."""
    side = face.points[rng.choice((2, 6, 10, 16, 22, 26, 30))]
    radius = rng.uniform(0.25, 0.5) * face.scale
    centre = side + (side - np.asarray(face.camera.offset)) * rng.uniform(0.15, 0.45)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = rng.uniform(0.8, 1.2, (12, 1)) * radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    outline = centre + curve(ring, closed=True)
    tone = np.clip(rng.uniform(15, 120) + rng.normal(0, 18, 3), 8, 200) * look.light.level
    glaze(image, [outline], 0.6 * tone, 0.9, 0.02)
    inner = centre + curve(0.9 * ring, closed=True)
    _paint_solid(image, inner, tone, 0.5, rng)
    return [outline]
