"""Soft marks on a synthetic face's skin: folds, bags under the eyes, the shadow of the nose, eye shadow."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np

from jaxlm.data_pipelines.synthetic.painting.outlines import PointWeights, PolygonMatrix, make_polygon_matrix
from jaxlm.data_pipelines.synthetic.painting.paint import fill, fill_fixed, lay_over, pixel_box, tint
from jaxlm.data_pipelines.synthetic.painting.surface import SMALL, skin_tone
from jaxlm.data_pipelines.synthetic.shape.look import Look
from jaxlm.data_pipelines.synthetic.shape.posed_face import PosedFace


@functools.cache
def _fold_polygons() -> PolygonMatrix:
    """The polygons of folds from the nose to the mouth corners, of bags under the eyes, and of eye shadow."""
    strokes: dict[str, Sequence[PointWeights]] = {}
    outlines: dict[str, Sequence[Sequence[PointWeights]]] = {}
    for side, (wing, corner, cheek) in enumerate(((55, 76, 2), (59, 82, 30))):
        middle = {wing: 0.56, 57: -0.06, corner: 0.35, cheek: 0.15}
        strokes[f"fold{side}"] = [{wing: 1.12, 57: -0.12}, middle, {corner: 0.9, cheek: 0.1}]
    for side, lids in enumerate(((64, 66, 60), (68, 74, 72))):
        drops = zip(lids, (0.06, 0.09, 0.048), strict=True)
        strokes[f"bag{side}"] = [{lid: 1.0, 57: drop, 51: -drop} for lid, drop in drops]
    for side, (lid, brow) in enumerate((((60, 61, 62, 63, 64), (39, 40, 41)), ((68, 69, 70, 71, 72), (47, 48, 49)))):
        over = [{b: 0.45, e: 0.55} for b, e in zip(brow, lid[3:0:-1], strict=True)]
        outlines[f"shadow{side}"] = [lid, over]
    return make_polygon_matrix(strokes, outlines, 98)


def paint_folds(skin: np.ndarray, face: PosedFace, look: Look) -> None:
    """Paints the soft marks over a small picture of the skin, uint8 [SMALL, SMALL, 3]."""
    points, light, makeup = face.points, look.light, look.makeup
    layer = np.zeros((SMALL, SMALL, 4), np.uint8)
    polygons = _fold_polygons().polygons(points, (0.008, 0.008, 0.005, 0.005), SMALL)
    if makeup:
        for shadow in (polygons["shadow0"], polygons["shadow1"]):
            fill_fixed(layer, [shadow], tint(0.9 * makeup.eyes, 0.75 * makeup.strength))
        # The nose may be in front of the far eye.
        fill(layer, face.nose, (0, 0, 0, 0))
    depth = 0.12 + 0.35 * look.age + 0.30 * max(0.0, look.expression.smile)
    tone = tint(0.62 * skin_tone(skin, 0.5 * (points[55] + points[76])), depth)
    for fold in ("fold0", "fold1", "bag0", "bag1"):
        fill_fixed(layer, [polygons[fold]], tone)
    away = -0.16 * face.scale * light.direction[:2]
    side = points[59] if away[0] > 0 else points[55]
    shadow = np.array([points[53], points[54], points[54] + away, points[57] + 0.9 * away, side + 0.3 * away, side])
    fill(layer, shadow, tint(0.45 * skin_tone(skin, points[57]), 0.45 * min(1.0, light.diffuse)))
    box = pixel_box(points[33:], SMALL, 0.03)
    layer[box] = cv2.GaussianBlur(layer[box], (5, 5), 0)
    lay_over(skin, layer, box)
