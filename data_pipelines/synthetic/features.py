"""The features of a synthetic face: brows, nose and mouth, painted exactly where their landmarks are."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipelines.synthetic.eyes import paint_eye, paint_glasses
from data_pipelines.synthetic.figure import Figure, shade
from data_pipelines.synthetic.head import head_mask, nose_outline, skin_tone
from data_pipelines.synthetic.look import Look
from data_pipelines.synthetic.paint import blend, curve, disc, draw_lines, fill, glaze, ribbon, stroke, within

# Beyond this yaw, in radians, the nose may hide features of the far side, or hides its eye for sure.
_NOSE_IN_FRONT, _EYE_HIDDEN = 0.3, 1.02
# The directions in which the upper and the lower lip look.
_LIP_NORMALS = np.array([(0, 0.35, 0.94), (0, -0.25, 0.97)], np.float32)


def paint_features(image: np.ndarray, skin: np.ndarray, figure: Figure, look: Look, rng: np.random.Generator) -> None:
    """Paints all features that the head does not hide; `skin` is what `paint_skin` returned."""
    turned = abs(figure.yaw) > _NOSE_IN_FRONT
    bare = image.copy() if turned else image
    far, near = (0, 1) if figure.yaw < 0 else (1, 0)
    if abs(figure.yaw) < _EYE_HIDDEN:
        paint_eye(image, skin, figure, look, far)
    _paint_brow(image, skin, figure, look, far, rng)
    if turned:
        _restore_nose(image, bare, figure)
    paint_eye(image, skin, figure, look, near)
    _paint_brow(image, skin, figure, look, near, rng)
    _paint_nose(image, skin, figure)
    _paint_mouth(image, skin, figure, look)
    if look.glasses is not None:
        paint_glasses(image, figure, look.glasses, look.light)


def _restore_nose(image: np.ndarray, bare: np.ndarray, figure: Figure) -> None:
    """Puts the nose and its bridge back in front of the far eye and brow, which end at the head's outline too."""
    mask = cv2.bitwise_not(head_mask(figure, len(image)))
    brow = figure.place(figure.shape.points[51] + np.array([[0, -0.12, 0.03]], np.float32))
    inner = figure.points[[64 if figure.yaw > 0 else 68]]
    fill(mask, np.concatenate([brow, nose_outline(figure), inner]), (255,))
    blend(image, bare, mask)


def _paint_brow(
    image: np.ndarray, skin: np.ndarray, figure: Figure, look: Look, side: int, rng: np.random.Generator
) -> None:
    """The brow on the image's left (0) or right (1)."""
    if side == 0:
        top, bottom, slant = figure.points[33:38], figure.points[[33, 41, 40, 39, 38]], -2
    else:
        top, bottom, slant = figure.points[42:47], figure.points[[50, 49, 48, 47, 46]], 2
    over, under = curve(top), curve(bottom)
    hair = 0.85 * look.hair * look.light.level
    tone = skin_tone(skin, top[2])
    glaze(image, [np.concatenate([over, under[::-1]])], hair + 0.1 * tone, look.brow_weight, 0.003 * figure.scale)
    # Hairs slant outwards as they rise.
    place, reach = rng.integers(0, len(under), 24), rng.uniform(0.4, 1, (24, 1)).astype(np.float32)
    root, tip = under[place], over[np.clip(place + slant, 0, len(over) - 1)]
    hairs = np.stack([root, root + reach * (tip - root)], axis=1)
    draw_lines(image, hairs[:12], 0.55 * hair, 0.0035 * figure.scale)
    draw_lines(image, hairs[12:], 0.85 * hair, 0.0035 * figure.scale)


def _paint_nose(image: np.ndarray, skin: np.ndarray, figure: Figure) -> None:
    """The nose's lower edge, its wings and nostrils."""
    points, size = figure.points, figure.scale
    tone = skin_tone(skin, points[57])
    shape = figure.shape.points
    offsets = np.array([[-0.010, -0.036, 0.012], [0.022, -0.062, 0.020]], np.float32)
    lines, holes = [ribbon(curve(points[55:60]), 0.008 * size)], []
    for side, wing, inner in ((1, 55, 56), (-1, 59, 58)):
        if side * figure.yaw < -0.6:
            continue
        rim = figure.place(shape[wing] + offsets * np.array([side, 1, 1], np.float32))
        start = 0.6 * points[wing] + 0.4 * points[inner]
        lines.append(ribbon(curve(np.array([start, points[wing], rim[0], rim[1]])), 0.008 * size))
        along = points[wing] - points[inner]
        centre = points[inner] + 0.38 * along + 0.10 * (points[54] - points[57])
        half = 50 * np.sqrt(along @ along)
        angle = round(np.rad2deg(np.arctan2(along[1], along[0])))
        holes.append(cv2.ellipse2Poly((0, 0), (100, 42), angle, 0, 360, 24) * (0.95e-4 * half) + centre)
    glaze(image, lines, 0.45 * tone, 0.55, 0.004 * size)
    glaze(image, holes, 0.16 * tone, 0.85, 0.003 * size)


def _paint_mouth(image: np.ndarray, skin: np.ndarray, figure: Figure, look: Look) -> None:
    """Lips and, between them, a dark line or the inside of the mouth."""
    points, size = figure.points, figure.scale
    upper, lower = curve(points[76:83]), curve(points[[82, 83, 84, 85, 86, 87, 76]])
    inner_top, inner_bottom = curve(points[88:93]), curve(points[[92, 93, 94, 95, 88]])
    strength = look.makeup.strength if look.makeup else 0.0
    colour = look.lips + strength * (look.makeup.lips - look.lips) if look.makeup else look.lips
    lit_top, lit_bottom = shade(_LIP_NORMALS @ figure.camera.rotation.T, look.light).tolist()
    opacity = 0.72 + 0.25 * strength
    glaze(image, [np.concatenate([upper, inner_top[::-1]])], 0.86 * lit_top * colour, opacity)
    glaze(image, [np.concatenate([lower, inner_bottom[::-1]])], lit_bottom * colour, opacity)
    middle = 0.5 * (points[94] + points[85])
    shine = middle + 0.45 * (curve(points[[87, 86, 85, 84, 83]]) - middle)
    glaze(image, [ribbon(shine, 0.010 * size)], 1.15 * lit_bottom * colour + 45 + 40 * strength, 0.35, 0.006 * size)
    hole = np.concatenate([inner_top, inner_bottom])
    gap = points[94] - points[90]
    open_by = np.sqrt(gap @ gap) / size
    tone = skin_tone(skin, points[57])
    if open_by > 0.012:
        _paint_inside(image, figure, look, hole, open_by)
    else:
        glaze(image, [hole], 0.12 * tone + 4, 0.9)
    stroke(image, inner_top, tone * np.array([0.22, 0.13, 0.13], np.float32), 0.007 * size)


def _paint_inside(image: np.ndarray, figure: Figure, look: Look, hole: np.ndarray, open_by: float) -> None:
    """An open mouth, by so many head units: dark, with teeth and, when wide open, the tongue."""
    points, size = figure.points, figure.scale
    lit = look.light.level
    gap, across = points[94] - points[90], points[92] - points[88]
    down = gap / (np.sqrt(gap @ gap) + 1e-6)
    teeth = curve(points[88:93])
    arch = np.sqrt(np.abs(np.sin(np.linspace(0, np.pi, len(teeth)))))[:, None]
    long = min(0.9 * open_by, 0.040) * size * down
    white = np.array([226, 220, 206]) * (lit * min(1.0, 0.55 + 8 * open_by))
    with within(image, hole) as mouth:
        fill(mouth, hole, (52, 18, 20))
        if open_by > 0.07:
            angle = np.rad2deg(np.arctan2(across[1], across[0]))
            axes = (0.34 * float(np.sqrt(across @ across)), 0.38 * open_by * size)
            tongue = points[94] - down * min(0.25 * open_by, 0.03) * size
            disc(mouth, tongue, axes, angle, lit * np.array([168, 78, 80]))
        fill(mouth, np.concatenate([teeth - 0.2 * long, (teeth + arch * long)[::-1]]), white)
        draw_lines(mouth, np.stack([teeth[2::3], teeth[2::3] + long], axis=1), 0.85 * white, 0.002 * size)
        glaze(mouth, [ribbon(teeth, 0.012 * size)], (40, 16, 16), 0.5, 0.006 * size)
