"""The eyes of a synthetic face, painted on a layer (see `paint.lay_over`), and glasses."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import cv2
import numpy as np

from jaxlm.data_pipelines.synthetic.painting.outlines import PointWeights
from jaxlm.data_pipelines.synthetic.painting.paint import (
    clear_around,
    curve,
    draw_fixed_lines,
    draw_lines,
    fill_fixed,
    glaze,
    tint,
    to_fixed,
)
from jaxlm.data_pipelines.synthetic.painting.surface import skin_tone
from jaxlm.data_pipelines.synthetic.shape.look import Light, Look
from jaxlm.data_pipelines.synthetic.shape.posed_face import PosedFace

# Sizes in head units.
_IRIS_RADIUS = 0.040
_OPEN_HEIGHT = 0.064
# Lashes wider than this are drawn singly too.
_LONG_LASHES = 0.0098
_WHITE, _CARUNCLE, _LID_SHADOW = np.array([(228, 222, 218), (190, 120, 112), (100, 95, 93)], np.float32)
# How high the crease of the lid is over its five landmarks, in lengths of the nose's bridge.
_CREASE = (0.02, 0.065, 0.08, 0.065, 0.012)


def eye_strokes(side: int) -> dict[str, list[PointWeights]]:
    """The strokes of the eye on the image's left (0) or right (1), for `make_polygon_matrix`."""
    first = 60 + 8 * side
    upper = list(range(first, first + 5))
    crease = [{index: 1.0, 51: rise, 57: -rise} for index, rise in zip(upper, _CREASE, strict=True)]
    lower = [first + 4, first + 5, first + 6, first + 7, first]
    return {f"crease{side}": crease, f"lower{side}": lower, f"shadow{side}": upper, f"lashes{side}": upper}


def eye_widths(look: Look) -> list[float]:
    """The widths of `eye_strokes`, in head units."""
    return [0.008, 0.006, 0.028, look.lashes + (look.makeup.liner if look.makeup else 0)]


def eye_outline(side: int) -> list[list[PointWeights]]:
    """The opening between the lids: the upper, then the lower one."""
    first = 60 + 8 * side
    return [list(range(first, first + 5)), [first + 4, first + 5, first + 6, first + 7, first]]


def paint_eyes(
    layer: np.ndarray,
    skin: np.ndarray,
    face: PosedFace,
    look: Look,
    sides: Sequence[int],
    polygons: dict[str, np.ndarray],
) -> None:
    """The eyes on the image's left (0) and right (1), or one of them; `skin` is what `paint_skin` returned."""
    points, least = face.points, 0.12 * _OPEN_HEIGHT * face.scale
    lids = [points[[62 + 8 * side, 66 + 8 * side]].tolist() for side in sides]
    seen = [side for side, (upper, lower) in zip(sides, lids, strict=True) if math.dist(upper, lower) > least]
    if seen:
        _paint_eyeballs(layer, face, look, seen, polygons)
    for side in sides:
        tone = skin_tone(skin, points[62 + 8 * side])
        fill_fixed(layer, [polygons[f"crease{side}"]], tint(0.55 * tone, 0.7))
        fill_fixed(layer, [polygons[f"lower{side}"]], tint(0.5 * tone))
    lashes = tint(0.2 * look.hair + 0.05 * tone)
    fill_fixed(layer, [polygons[f"lashes{side}"] for side in sides], lashes)
    if look.makeup or look.lashes > _LONG_LASHES:
        _paint_lashes(layer, face, sides, polygons, lashes)


def _paint_lashes(
    layer: np.ndarray,
    face: PosedFace,
    sides: Sequence[int],
    polygons: dict[str, np.ndarray],
    colour: Sequence[float],
) -> None:
    """Long lashes, one by one."""
    upwards = 0.067 * (face.points[51] - face.points[57])
    lines: list[np.ndarray] = []
    for side in sides:
        inner, outer = (64, 60) if side == 0 else (68, 72)
        roots = polygons[f"eye{side}"][0:7:2] if side == 0 else polygons[f"eye{side}"][6:13:2]
        tips = roots + to_fixed(0.10 * (face.points[outer] - face.points[inner]) + upwards, len(layer))
        lines.extend(np.stack([roots, tips], axis=1))
    draw_fixed_lines(layer, lines, colour, round(0.003 * len(layer) * face.scale))


def _paint_eyeballs(
    layer: np.ndarray, face: PosedFace, look: Look, sides: Sequence[int], polygons: dict[str, np.ndarray]
) -> None:
    """The whites, the irises and the pupils, within the lids."""
    size = len(layer)
    lit, outlines = look.light.level, [polygons[f"eye{side}"] for side in sides]
    radius = _IRIS_RADIUS * face.scale * size
    flat = radius * max(0.45, math.cos(face.yaw))
    places = (face.points[60:] * size).tolist()
    iris = lit * look.iris
    rim, middle, inner, pupil = tint(0.4 * iris), tint(iris), tint(1.35 * iris + 8), tint(0.1 * iris)
    caruncle = tint(lit * _CARUNCLE)
    bright = max(90.0, 245 * min(1.0, look.light.ambient + look.light.diffuse))
    to_light, to_light_y, _ = look.light.direction.tolist()

    def disc(x: float, y: float, wide: float, high: float, angle: float, colour: Sequence[float]) -> None:
        place, axes = (int(16 * x - 7.5), int(16 * y - 7.5)), (max(8, int(16 * wide - 8)), max(8, int(16 * high - 8)))
        cv2.ellipse(layer, place, axes, angle, 0, 360, colour, -1, cv2.LINE_AA, 4)

    fill_fixed(layer, outlines, tint(lit * _WHITE))
    glints = []
    for side in sides:
        first = 8 * side
        (left, left_y), (right, right_y), (over, over_y), (under, under_y) = (places[first + i] for i in (0, 4, 2, 6))
        x, y = places[36 + side]
        angle = math.degrees(math.atan2(right_y - left_y, right - left))
        open_by = math.hypot(under - over, under_y - over_y) + 1e-6
        down, down_y = radius * (under - over) / open_by, radius * (under_y - over_y) / open_by
        disc(*places[first + 4 - 4 * side], 0.4 * radius, 0.4 * radius, angle, caruncle)
        disc(x, y, flat, radius, angle, rim)
        disc(x, y, 0.86 * flat, 0.86 * radius, angle, middle)
        disc(x + 0.25 * down, y + 0.25 * down_y, 0.55 * flat, 0.5 * radius, angle, inner)
        disc(x, y, 0.44 * flat, 0.44 * radius, angle, pupil)
        glints.append((x + 0.42 * radius * to_light - 0.12 * down, y + 0.42 * radius * to_light_y - 0.12 * down_y))
    fill_fixed(layer, [polygons[f"shadow{side}"] for side in sides], tint(lit * _LID_SHADOW))
    for glint, glint_y in glints:
        disc(glint, glint_y, 0.17 * radius, 0.17 * radius, 0, tint((bright, bright, bright)))
    clear_around(layer, outlines, radius)


@functools.cache
def _rim(width: float, height: float) -> np.ndarray:
    """The outline [16, 2] of a lens, between an ellipse and a rectangle, from half axes."""
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    axes = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return (np.sign(axes) * np.abs(axes) ** 0.7 * (width, height)).astype(np.float32)


def lens_outlines(face: PosedFace, width: float, height: float) -> list[np.ndarray]:
    """Outlines [n, 2] of the lenses before the left and the right eye, from half axes in head units."""
    x, y = _rim(width, height).T
    outlines = []
    for corners, side in (((60, 64), -1), ((68, 72), 1)):
        eye = face.shape.points[list(corners)].mean(0)
        rim = np.stack([eye[0] + side * 0.01 + x, eye[1] + 0.012 + y, 0.025 - 0.10 * side * x], axis=-1)
        outlines.append(curve(face.to_frame(rim), closed=True))
    return outlines


def reflections(lenses: list[np.ndarray]) -> list[np.ndarray]:
    """Outlines [n, 2] of the reflections in lenses."""
    middles = [lens.mean(0) for lens in lenses]
    return [middle + 0.6 * (lens[44:58] - middle) for lens, middle in zip(lenses, middles, strict=True)]


def paint_glasses(image: np.ndarray, face: PosedFace, colour: np.ndarray, light: Light) -> None:
    """Paints glasses with clear lenses, and rims of an RGB colour, on the picture itself."""
    lenses = lens_outlines(face, 0.125, 0.085)
    glaze(image, reflections(lenses), (255, 255, 255), 0.20)
    paint_rims(image, face, lenses, colour * light.level, 0.013)


def paint_rims(image: np.ndarray, face: PosedFace, lenses: list[np.ndarray], colour: np.ndarray, width: float) -> None:
    """Paints the rims, the bridge and, on the near side, the arm of a pair of glasses; `width` in head units."""
    width = width * face.scale
    draw_lines(image, np.stack(lenses), colour, width, closed=True)
    for lens, arm, side in zip(lenses, face.anchors("arms"), (-1, 1), strict=True):
        if side * face.yaw < 0.15:
            hinge = lens[len(lens) // 2 if side < 0 else 0]
            draw_lines(image, np.stack([hinge, arm])[None], 0.8 * colour, width)
    nose = face.anchors("bridge")[0]
    inner = [lens[np.argmin(np.square(lens - nose).sum(1))] for lens in lenses]
    draw_lines(image, curve(np.array([inner[0], nose, inner[1]]))[None], colour, width)
