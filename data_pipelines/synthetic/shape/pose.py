"""The pose of a synthetic face: the head is turned and projected, and its landmarks move to where they are seen."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from jaxlm.data_pipelines.synthetic.shape import anchors
from jaxlm.data_pipelines.synthetic.shape.modes import Shape
from jaxlm.data_pipelines.synthetic.shape.template import ANGLES, FIRST_CONTOUR_RING, template

_PIVOT = np.array([0.0, 0.35, -0.45], np.float32)
# The columns of the cheeks, without the nose: the outline of a turned head is sought here.
_LEFT_COLUMNS, _RIGHT_COLUMNS = (slice(*np.searchsorted(ANGLES, span).tolist()) for span in ((-90, -16), (17, 91)))
_RINGS = np.arange(16)
# Lines of landmarks from the lips' middle to the mouth's right and left corners.
_LIP_HALVES = np.array(
    [
        [(79, 80, 81, 82), (85, 84, 83, 82), (90, 90, 91, 92), (94, 94, 93, 92)],
        [(79, 78, 77, 76), (85, 86, 87, 76), (90, 90, 89, 88), (94, 94, 95, 88)],
    ]
)
_FLAT = 98 + len(anchors.OFFSETS)
_RIM = _FLAT + len(template().profile_rows) * len(ANGLES)
# Columns of what `turn_shape` gives: landmarks and then `anchors`, the head's rings without the nose, its surface.
PARTS = {"points": slice(0, _FLAT), "outline": slice(_FLAT, _RIM), "surface": slice(_RIM, None)}


@dataclasses.dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera and a pose: from head coordinates to the frame, which spans 0 to 1 in x and y.

    Attributes:
      yaw: Yaw in radians; positive turns the nose to the image's right.
      rotation: Rotation [3, 3] by yaw and pitch, about the middle of the head.
      roll: Rotation [2, 2] in the image.
      distance: Distance from the pinhole to the middle of the head, in head units.
      scale: Length of a head unit, in frame widths.
      offset: Middle of the head in the frame (x, y).
    """

    yaw: float
    rotation: np.ndarray
    roll: np.ndarray
    distance: float
    scale: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)

    def turn(self, points: np.ndarray) -> np.ndarray:
        """Points [n, 3] with yaw, pitch and perspective, but upright, around the middle of the head [3, n]."""
        # One coordinate after the other: loops over the last axis, of three, are slow.
        turned = self.rotation @ points.T - (self.rotation @ _PIVOT)[:, None]
        turned[:2] *= self.distance / (self.distance - turned[2])
        return turned

    def to_frame(self, turned: np.ndarray) -> np.ndarray:
        """Points of `turn` in the frame [3, n]: x and y in frame widths, z in head units, larger is nearer."""
        placed = np.empty(turned.shape, np.float32)
        np.matmul(self.scale * self.roll, turned[:2], out=placed[:2])
        placed[0] += self.offset[0]
        placed[1] += self.offset[1]
        placed[2] = turned[2]
        return placed

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] of the head in the frame, one coordinate after the other [3, ...]; see `place`."""
        points = np.asarray(points, np.float32)
        return self.to_frame(self.turn(points.reshape(-1, 3))).reshape(3, *points.shape[:-1])


def make_camera(yaw: float, pitch: float, roll: float, distance: float) -> Camera:
    """A camera of scale 1. Angles in degrees; positive ones turn to the image's right, down, and clockwise."""
    angles = math.radians(yaw), math.radians(pitch), math.radians(roll)
    (sin_yaw, sin_pitch, sin_roll), (cos_yaw, cos_pitch, cos_roll) = map(math.sin, angles), map(math.cos, angles)
    rotation = np.array(
        [
            (cos_yaw, 0, sin_yaw),
            (-sin_pitch * sin_yaw, cos_pitch, sin_pitch * cos_yaw),
            (-cos_pitch * sin_yaw, -sin_pitch, cos_pitch * cos_yaw),
        ],
        np.float32,
    )
    tilt = np.array([(cos_roll, -sin_roll), (sin_roll, cos_roll)], np.float32)
    return Camera(angles[0], rotation, tilt, distance)


def turn_shape(shape: Shape, camera: Camera) -> np.ndarray:
    """All that is seen of a face [3, n], as `Camera.turn` gives it; `PARTS` tells what is where.

    A contour point is the outermost place of the front of its ring, as annotators mark it: the edge of the jaw on the
    near side, the outline of the cheek on the side that turns away. Points of the lips stop at the lips' outline too.
    """
    points, rings = shape.points, shape.skull[template().profile_rows]
    anchored = points[anchors.LANDMARKS] + anchors.OFFSETS
    turned = camera.turn(np.concatenate([points, anchored, rings.reshape(-1, 3), shape.surface.reshape(-1, 3)]))
    rings = turned[:, PARTS["outline"]].reshape(3, *rings.shape[:2])[:, FIRST_CONTOUR_RING:-1]
    turned[:, :16] = rings[:, _RINGS, np.argmin(rings[0, :, _LEFT_COLUMNS], axis=1) + _LEFT_COLUMNS.start]
    turned[:, 32:16:-1] = rings[:, _RINGS, np.argmax(rings[0, :, _RIGHT_COLUMNS], axis=1) + _RIGHT_COLUMNS.start]
    away, halves = (1, _LIP_HALVES) if camera.yaw > 0 else (-1, _LIP_HALVES[::-1])
    lips = np.maximum.accumulate(away * turned[0, halves[0]], axis=1)
    # Two lines end at each corner.
    lips[:, -1] = np.repeat(np.maximum(lips[::2, -1], lips[1::2, -1]), 2)
    turned[0, halves[0]] = away * lips
    return turned
