"""The eyes of a synthetic face, painted on a layer (see `paint.lay_over`), and glasses."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import cv2
import numpy as np

from data_pipelines.synthetic.figure import Figure
from data_pipelines.synthetic.look import Light, Look
from data_pipelines.synthetic.paint import (
    clear_around,
    curve,
    draw_fixed_lines,
    draw_lines,
    fill_fixed,
    glaze,
    tint,
    to_fixed,
)
from data_pipelines.synthetic.sketch import Place
from data_pipelines.synthetic.surface import skin_tone

# Sizes in head units.
_IRIS_RADIUS = 0.040
_OPEN_HEIGHT = 0.064
# Lashes wider than this are drawn singly too.
_LONG_LASHES = 0.0098
_WHITE, _CARUNCLE, _LID_SHADOW = np.array([(228, 222, 218), (190, 120, 112), (100, 95, 93)], np.float32)
# How high the crease of the lid is over its five landmarks, in lengths of the nose's bridge.
_CREASE = (0.02, 0.065, 0.08, 0.065, 0.012)


def eye_strokes(side: int) -> dict[str, list[Place]]:
    """The lines of the eye on the image's left (0) or right (1); see `sketch.make_sketch`."""
    first = 60 + 8 * side
    upper = list(range(first, first + 5))
    crease = [{index: 1.0, 51: rise, 57: -rise} for index, rise in zip(upper, _CREASE, strict=True)]
    lower = [first + 4, first + 5, first + 6, first + 7, first]
    return {f"crease{side}": crease, f"lower{side}": lower, f"shadow{side}": upper, f"lashes{side}": upper}


def eye_widths(look: Look) -> list[float]:
    """The widths of `eye_strokes`, in head units."""
    return [0.008, 0.006, 0.028, look.lashes + (look.makeup.liner if look.makeup else 0)]


def eye_outline(side: int) -> list[list[Place]]:
    """The opening between the lids: the upper, then the lower one."""
    first = 60 + 8 * side
    return [list(range(first, first + 5)), [first + 4, first + 5, first + 6, first + 7, first]]


def paint_eye(
    layer: np.ndarray, skin: np.ndarray, figure: Figure, look: Look, side: int, sketch: dict[str, np.ndarray]
) -> None:
    """The eye on the image's left (0) or right (1); `skin` is what `paint_skin` returned."""
    points, unit = figure.points[60 + 8 * side : 68 + 8 * side], len(layer) * figure.scale
    tone = skin_tone(skin, points[2])
    if math.hypot(*(points[6] - points[2]).tolist()) > 0.12 * _OPEN_HEIGHT * figure.scale:
        _paint_eyeball(layer, figure, look, side, sketch)
    fill_fixed(layer, sketch[f"crease{side}"], tint(0.55 * tone, 0.7))
    lashes = tint(0.2 * look.hair + 0.05 * tone)
    fill_fixed(layer, sketch[f"lower{side}"], tint(0.5 * tone))
    fill_fixed(layer, sketch[f"lashes{side}"], lashes)
    if look.makeup or look.lashes > _LONG_LASHES:
        outwards = points[0] - points[4] if side == 0 else points[4] - points[0]
        upwards = figure.points[51] - figure.points[57]
        roots = sketch[f"eye{side}"][0:8:2] if side == 0 else sketch[f"eye{side}"][9:17:2]
        tips = roots + to_fixed(0.10 * outwards + 0.067 * upwards, len(layer))
        draw_fixed_lines(layer, np.stack([roots, tips], axis=1), lashes, round(0.003 * unit))


def _paint_eyeball(layer: np.ndarray, figure: Figure, look: Look, side: int, sketch: dict[str, np.ndarray]) -> None:
    """The white, the iris and the pupil, within the lids."""
    size = len(layer)
    places = ((figure.points[60 + 8 * side : 68 + 8 * side]) * size).tolist()
    (left, left_y), (right, right_y), (over, over_y), (under, under_y) = (places[index] for index in (0, 4, 2, 6))
    x, y = (figure.points[96 + side] * size).tolist()
    radius = _IRIS_RADIUS * figure.scale * size
    flat = radius * max(0.45, math.cos(figure.yaw))
    angle = math.degrees(math.atan2(right_y - left_y, right - left))
    open_by = math.hypot(under - over, under_y - over_y) + 1e-6
    down, down_y = radius * (under - over) / open_by, radius * (under_y - over_y) / open_by
    to_light, to_light_y, _ = look.light.direction.tolist()
    lit = look.light.level
    iris = lit * look.iris
    bright = max(90.0, 245 * min(1.0, look.light.ambient + look.light.diffuse))
    outline = sketch[f"eye{side}"]

    def disc(x: float, y: float, wide: float, high: float, colour: Sequence[float]) -> None:
        place, axes = (int(16 * x - 7.5), int(16 * y - 7.5)), (max(8, int(16 * wide - 8)), max(8, int(16 * high - 8)))
        cv2.ellipse(layer, place, axes, angle, 0, 360, colour, -1, cv2.LINE_AA, 4)

    fill_fixed(layer, outline, tint(lit * _WHITE))
    corner = 0.4 * radius
    disc(*places[4 - 4 * side], corner, corner, tint(lit * _CARUNCLE))
    disc(x, y, flat, radius, tint(0.4 * iris))
    disc(x, y, 0.86 * flat, 0.86 * radius, tint(iris))
    disc(x + 0.25 * down, y + 0.25 * down_y, 0.55 * flat, 0.5 * radius, tint(1.35 * iris + 8))
    disc(x, y, 0.44 * flat, 0.44 * radius, tint(0.1 * iris))
    fill_fixed(layer, sketch[f"shadow{side}"], tint(lit * _LID_SHADOW))
    glint, glint_y = x + 0.42 * radius * to_light - 0.12 * down, y + 0.42 * radius * to_light_y - 0.12 * down_y
    disc(glint, glint_y, 0.17 * radius, 0.17 * radius, tint((bright, bright, bright)))
    clear_around(layer, outline, radius)


@functools.cache
def _rim(width: float, height: float) -> np.ndarray:
    """The outline [16, 2] of a lens, between an ellipse and a rectangle, from half axes."""
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    axes = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return (np.sign(axes) * np.abs(axes) ** 0.7 * (width, height)).astype(np.float32)


def lens_outlines(figure: Figure, width: float, height: float) -> list[np.ndarray]:
    """Outlines [n, 2] of the lenses before the left and the right eye, from half axes in head units."""
    x, y = _rim(width, height).T
    outlines = []
    for corners, side in (((60, 64), -1), ((68, 72), 1)):
        eye = figure.shape.points[list(corners)].mean(0)
        rim = np.stack([eye[0] + side * 0.01 + x, eye[1] + 0.012 + y, 0.025 - 0.10 * side * x], axis=-1)
        outlines.append(curve(figure.place(rim), closed=True))
    return outlines


def paint_glasses(image: np.ndarray, figure: Figure, frame: np.ndarray, light: Light) -> None:
    """Glasses with clear lenses, in a frame of an RGB colour, painted on the picture itself."""
    lenses = lens_outlines(figure, 0.125, 0.085)
    for lens in lenses:
        middle = lens.mean(0)
        glaze(image, [middle + 0.6 * (lens[44:58] - middle)], (255, 255, 255), 0.20)
    paint_frame(image, figure, lenses, frame * light.level, 0.013)


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
