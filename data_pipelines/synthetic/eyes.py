"""The eyes of a synthetic face, with make-up and glasses."""

from __future__ import annotations

import numpy as np

from data_pipelines.synthetic.figure import Figure
from data_pipelines.synthetic.head import skin_tone
from data_pipelines.synthetic.look import Light, Look
from data_pipelines.synthetic.paint import curve, disc, draw_lines, fill, glaze, ribbon, stroke, within

# Sizes in head units.
_IRIS_RADIUS = 0.040
_OPEN_HEIGHT = 0.064
# Lashes wider than this are drawn singly too.
_LONG_LASHES = 0.0098


def paint_eye(image: np.ndarray, skin: np.ndarray, figure: Figure, look: Look, side: int) -> None:
    """The eye on the image's left (0) or right (1); `skin` is what `paint_skin` returned."""
    points, size = figure.points[60 + 8 * side : 68 + 8 * side], figure.scale
    upper, lower = curve(points[:5]), curve(points[[4, 5, 6, 7, 0]])
    nose = figure.points[57] - figure.points[51]
    down = nose * (size / np.sqrt(nose @ nose))
    tone = skin_tone(skin, points[2] - 0.02 * down)
    makeup = look.makeup
    if makeup:
        brow = figure.points[[39, 40, 41] if side == 0 else [47, 48, 49]]
        shadow = np.concatenate([upper, 0.45 * brow + 0.55 * upper[[-3, 10, 2]]])
        glaze(image, [shadow], 0.9 * makeup.eyes, 0.75 * makeup.strength, 0.012 * size)
    rise = np.sin(np.linspace(0.25, np.pi - 0.15, len(upper), dtype=np.float32))[:, None]
    crease = upper - 0.024 * rise * down
    glaze(image, [ribbon(crease[1:-1], 0.008 * size)], 0.55 * tone, 0.75, 0.003 * size)
    opening = points[6] - points[2]
    if opening @ opening > (0.12 * _OPEN_HEIGHT * size) ** 2:
        _paint_eyeball(image, figure, look, side, np.concatenate([upper, lower]), upper)
    lashes = 0.2 * look.hair + 0.05 * tone
    stroke(image, lower[3:], 0.5 * tone, 0.006 * size)
    stroke(image, upper, lashes, (look.lashes + (makeup.liner if makeup else 0)) * size)
    if makeup or look.lashes > _LONG_LASHES:
        outwards = points[0] - points[4] if side == 0 else points[4] - points[0]
        roots = upper[:9:2] if side == 0 else upper[-9::2]
        tips = roots + 0.10 * outwards - 0.020 * down
        draw_lines(image, np.stack([roots, tips], axis=1), lashes, 0.003 * size)


def _paint_eyeball(
    image: np.ndarray, figure: Figure, look: Look, side: int, outline: np.ndarray, upper: np.ndarray
) -> None:
    """The white, the iris and the pupil, within the lids."""
    points, scale = figure.points[60 + 8 * side : 68 + 8 * side], figure.scale
    pupil, radius = figure.points[96 + side], _IRIS_RADIUS * scale
    lit = look.light.level
    iris = lit * look.iris
    across, down = points[4] - points[0], points[6] - points[2]
    angle = np.rad2deg(np.arctan2(across[1], across[0]))
    down = down * (radius / (np.sqrt(down @ down) + 1e-6))
    flat = radius * max(0.45, np.cos(figure.yaw))
    caruncle = points[4] if side == 0 else points[0]
    with within(image, outline) as eye:
        fill(eye, outline, lit * np.array([228, 222, 218]))
        disc(eye, caruncle, (0.016 * scale, 0.016 * scale), 0, lit * np.array([190, 120, 112]))
        disc(eye, pupil, (flat, radius), angle, 0.4 * iris)
        disc(eye, pupil, (0.86 * flat, 0.86 * radius), angle, iris)
        disc(eye, pupil + 0.25 * down, (0.55 * flat, 0.5 * radius), angle, 1.35 * iris + 8)
        disc(eye, pupil, (0.44 * flat, 0.44 * radius), angle, 0.1 * iris)
        glaze(eye, [ribbon(upper, 0.024 * scale)], (20, 14, 14), 0.6, 0.006 * scale)
        glint = pupil + 0.42 * radius * look.light.direction[:2] - 0.12 * down
        bright = max(90.0, 245 * min(1.0, look.light.ambient + look.light.diffuse))
        disc(eye, glint, (0.17 * radius, 0.17 * radius), 0, (bright, bright, bright))


def lens_outlines(figure: Figure, width: float, height: float) -> list[np.ndarray]:
    """Outlines [n, 2] of the lenses before the left and the right eye, from half axes in head units."""
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False, dtype=np.float32)
    # Between an ellipse and a rectangle.
    x = width * np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** 0.7
    y = height * np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** 0.7
    outlines = []
    for corners, side in (((60, 64), -1), ((68, 72), 1)):
        eye = figure.shape.points[list(corners)].mean(0)
        rim = np.stack([eye[0] + side * 0.01 + x, eye[1] + 0.012 + y, 0.025 - 0.10 * side * x], axis=-1)
        outlines.append(curve(figure.place(rim), closed=True))
    return outlines


def paint_glasses(image: np.ndarray, figure: Figure, frame: np.ndarray, light: Light) -> None:
    """Glasses with clear lenses, in a frame of an RGB colour."""
    colour = frame * light.level
    lenses = lens_outlines(figure, 0.125, 0.085)
    for lens in lenses:
        middle = lens.mean(0)
        glaze(image, [middle + 0.6 * (lens[44:58] - middle)], (255, 255, 255), 0.20, 0.006 * figure.scale)
    paint_frame(image, figure, lenses, colour, 0.013)


def paint_frame(image: np.ndarray, figure: Figure, lenses: list[np.ndarray], colour: np.ndarray, width: float) -> None:
    """Rims, bridge and, on the near side, the arm of a pair of glasses; `width` in head units."""
    width = width * figure.scale
    draw_lines(image, np.stack(lenses), colour, width, closed=True)
    for lens, ear, side in zip(lenses, (2, 30), (-1, 1), strict=True):
        if side * figure.yaw < 0.15:
            hinge = lens[len(lens) // 2 if side < 0 else 0]
            arm = figure.place(figure.shape.points[ear] + np.array([side * 0.01, -0.13, -0.02], np.float32))
            draw_lines(image, np.stack([hinge, arm])[None], 0.8 * colour, width)
    nose = figure.place(figure.shape.points[51] + np.array([0.0, -0.02, 0.045], np.float32))
    inner = [lens[np.argmin(np.square(lens - nose).sum(1))] for lens in lenses]
    draw_lines(image, curve(np.array([inner[0], nose, inner[1]]))[None], colour, width)
