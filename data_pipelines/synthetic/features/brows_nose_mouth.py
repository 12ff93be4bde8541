"""All features of a synthetic face, painted exactly at their landmarks; brows, nose and mouth are here."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import cv2
import numpy as np

from jaxlm.data_pipelines.synthetic.features.eyes import eye_outline, eye_strokes, eye_widths, paint_eyes, paint_glasses
from jaxlm.data_pipelines.synthetic.features.head import fill_head
from jaxlm.data_pipelines.synthetic.painting.outlines import SAMPLES, PointWeights, PolygonMatrix, make_polygon_matrix
from jaxlm.data_pipelines.synthetic.painting.paint import (
    clear_around,
    curve,
    disc,
    draw_fixed_lines,
    draw_lines,
    fill,
    fill_fixed,
    lay_over,
    pixel_box,
    ribbon,
    tint,
)
from jaxlm.data_pipelines.synthetic.painting.surface import skin_tone
from jaxlm.data_pipelines.synthetic.shape.anchors import ROWS
from jaxlm.data_pipelines.synthetic.shape.look import Look
from jaxlm.data_pipelines.synthetic.shape.posed_face import PosedFace, shade

# Beyond this yaw, in radians, the nose may hide features of the far side, or hides its eye for sure.
_NOSE_IN_FRONT, _EYE_HIDDEN = 0.3, 1.02
# The directions in which the upper and the lower lip look.
_LIP_NORMALS = np.array([(0, 0.35, 0.94), (0, -0.25, 0.97)], np.float32).T
_TEETH, _TONGUE = np.array([(226, 220, 206), (168, 78, 80)], np.float32)
_LIP_LINE = np.array([0.22, 0.13, 0.13], np.float32)
# The teeth's arch along a curve through five points.
_ARCH = np.sqrt(np.sin(np.linspace(0, np.pi, 21, dtype=np.float32)).clip(0))[:, None]
_BROW = 4 * SAMPLES + 1


@functools.cache
def _feature_polygons() -> PolygonMatrix:
    """The polygons of all features."""
    shine = [{index: 0.45, 94: 0.275, 85: 0.275} for index in (87, 86, 84, 83)]
    rim = ROWS["rims"].start
    strokes: dict[str, Sequence[PointWeights]] = {
        **eye_strokes(0),
        **eye_strokes(1),
        "nose": [55, 56, 57, 58, 59],
        "wing55": [{55: 0.6, 56: 0.4}, 55, rim, rim + 1],
        "wing59": [{59: 0.6, 58: 0.4}, 59, rim + 2, rim + 3],
        "shine": [*shine[:2], {85: 0.725, 94: 0.275}, *shine[2:]],
        "between": [88, 89, 90, 91, 92],
    }
    outlines: dict[str, Sequence[Sequence[PointWeights]]] = {
        "eye0": eye_outline(0),
        "eye1": eye_outline(1),
        "brow0": [[33, 34, 35, 36, 37], [38, 39, 40, 41, 33]],
        "brow1": [[42, 43, 44, 45, 46], [46, 47, 48, 49, 50]],
        "top": [[76, 77, 78, 79, 80, 81, 82], [92, 91, 90, 89, 88]],
        "bottom": [[82, 83, 84, 85, 86, 87, 76], [88, 95, 94, 93, 92]],
        "hole": [[88, 89, 90, 91, 92], [92, 93, 94, 95, 88]],
    }
    return make_polygon_matrix(strokes, outlines, ROWS["rims"].stop)


def paint_features(image: np.ndarray, skin: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> None:
    """Paints all features that the head does not hide; `skin` is what `paint_skin` returned."""
    layer = np.zeros((2 * len(image), 2 * len(image), 4), np.uint8)
    # OpenCV's fill reaches beyond an outline; that is part of a line.
    widths = [
        max(width * face.scale - 1.2 / len(layer), 0.1 / len(layer))
        for width in (*eye_widths(look) * 2, 0.009, 0.009, 0.009, 0.012, 0.007)
    ]
    polygons = _feature_polygons().polygons(face.all_points[: ROWS["rims"].stop], widths, len(layer))
    hairs = _brow_hairs([polygons["brow0"], polygons["brow1"]], rng)
    near = [0, 1]
    if abs(face.yaw) > _NOSE_IN_FRONT:
        far, *near = (0, 1) if face.yaw < 0 else (1, 0)
        if abs(face.yaw) < _EYE_HIDDEN:
            paint_eyes(layer, skin, face, look, (far,), polygons)
        _paint_brow(layer, skin, face, look, far, polygons[f"brow{far}"], hairs[far])
        _clear_hidden(layer, face)
    paint_eyes(layer, skin, face, look, near, polygons)
    for side in near:
        _paint_brow(layer, skin, face, look, side, polygons[f"brow{side}"], hairs[side])
    _paint_mouth(layer, skin, face, look, polygons)
    _paint_nose(layer, skin, face, polygons)
    lay_over(image, layer, pixel_box(face.points[33:], len(image), 0.06 * face.scale))
    if look.glasses is not None:
        paint_glasses(image, face, look.glasses, look.light)


def _clear_hidden(layer: np.ndarray, face: PosedFace) -> None:
    """Clears the parts of the far eye and brow that lie behind the nose or beyond the head's outline."""
    inner = face.points[[64 if face.yaw > 0 else 68]]
    fill(layer, np.concatenate([face.anchors("above nose"), face.nose, inner]), (0, 0, 0, 0))
    box = pixel_box(face.points[33:], len(layer), 0.06 * face.scale)
    layer[box] = cv2.bitwise_and(layer[box], layer[box], mask=fill_head(face, len(layer))[box])


def _brow_hairs(outlines: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Hairs [2, 24, 2, 2] within the outlines of the left and the right brow; both as `to_fixed` gives them."""
    sides, (along, length) = np.arange(2)[:, None], rng.random((2, 2, 24))
    brows = np.stack(outlines)
    place = (along * (_BROW - 2)).astype(int)
    # Hairs slant outwards as they rise; the lower edge runs the other way.
    root = brows[sides, 2 * _BROW - 1 - place - 2 * (1 - sides)]
    tip = brows[sides, place + 2 * sides]
    return np.stack([root, root + ((0.4 + 0.6 * length[..., None]) * (tip - root)).astype(np.int32)], axis=2)


def _paint_brow(
    layer: np.ndarray,
    skin: np.ndarray,
    face: PosedFace,
    look: Look,
    side: int,
    outline: np.ndarray,
    hairs: np.ndarray,
) -> None:
    """The brow on the image's left (0) or right (1): an outline and hairs in it."""
    hair = 0.85 * look.light.level * look.hair
    tone = skin_tone(skin, face.points[44 if side else 35])
    fill_fixed(layer, [outline], tint(hair + 0.1 * tone, look.brow_weight))
    width, lines = round(0.0035 * face.scale * len(layer)), list(hairs)
    draw_fixed_lines(layer, lines[:12], tint(0.55 * hair), width)
    draw_fixed_lines(layer, lines[12:], tint(0.85 * hair), width)


def _paint_nose(layer: np.ndarray, skin: np.ndarray, face: PosedFace, polygons: dict[str, np.ndarray]) -> None:
    """The nose's lower edge, its wings and nostrils."""
    points = face.points
    tone = skin_tone(skin, points[57])
    edge, hole = tint(0.45 * tone, 0.5), tint(0.16 * tone, 0.82)
    fill_fixed(layer, [polygons["nose"]], edge)
    for side, wing, inner in ((1, 55, 56), (-1, 59, 58)):
        if side * face.yaw < -0.6:
            continue
        fill_fixed(layer, [polygons[f"wing{wing}"]], edge)
        along = points[wing] - points[inner]
        centre = points[inner] + 0.38 * along + 0.10 * (points[54] - points[57])
        right, down = along.tolist()
        half = 0.47 * math.hypot(right, down)
        disc(layer, centre, (half, 0.42 * half), math.degrees(math.atan2(down, right)), hole)


def _paint_mouth(
    layer: np.ndarray, skin: np.ndarray, face: PosedFace, look: Look, polygons: dict[str, np.ndarray]
) -> None:
    """Lips and, between them, a dark line or the inside of the mouth."""
    points = face.points
    strength = look.makeup.strength if look.makeup else 0.0
    colour = look.lips + strength * (look.makeup.lips - look.lips) if look.makeup else look.lips
    lit_top, lit_bottom = shade(face.camera.rotation @ _LIP_NORMALS, look.light).tolist()
    tone = skin_tone(skin, points[57])
    open_by = math.hypot(*(points[94] - points[90]).tolist()) / face.scale
    if open_by > 0.012:
        _paint_inside(layer, face, look, open_by, polygons["hole"])
    else:
        fill_fixed(layer, [polygons["hole"]], tint(0.12 * tone + 4))
    opacity = 0.72 + 0.25 * strength
    fill_fixed(layer, [polygons["top"]], tint(0.86 * lit_top * colour, opacity))
    fill_fixed(layer, [polygons["bottom"]], tint(lit_bottom * colour, opacity))
    fill_fixed(layer, [polygons["shine"]], tint(1.05 * lit_bottom * colour + 14 + 14 * strength, opacity))
    fill_fixed(layer, [polygons["between"]], tint(tone * _LIP_LINE))


def _paint_inside(layer: np.ndarray, face: PosedFace, look: Look, open_by: float, hole: np.ndarray) -> None:
    """The inside of a mouth that is open by so many head units: dark, with teeth and, when wide open, the tongue."""
    points, size = face.points, face.scale
    lit = look.light.level
    gap = points[94] - points[90]
    down = gap / (open_by * size)
    teeth = curve(points[88:93])
    long = min(0.9 * open_by, 0.040) * size * down
    white = _TEETH * (lit * min(1.0, 0.55 + 8 * open_by))
    fill_fixed(layer, [hole], tint((52, 18, 20)))
    if open_by > 0.07:
        right, rise = (points[92] - points[88]).tolist()
        axes = (0.34 * math.hypot(right, rise), 0.38 * open_by * size)
        tongue = points[94] - down * min(0.25 * open_by, 0.03) * size
        disc(layer, tongue, axes, math.degrees(math.atan2(rise, right)), tint(lit * _TONGUE))
    fill(layer, np.concatenate([teeth - 0.2 * long, (teeth + _ARCH * long)[::-1]]), tint(white))
    draw_lines(layer, np.stack([teeth[2::3], teeth[2::3] + long], axis=1), tint(0.85 * white), 0.002 * size)
    fill(layer, ribbon(teeth, 0.012 * size), tint(0.5 * white + (20, 8, 8)))
    clear_around(layer, [hole], 0.05 * size * len(layer))
