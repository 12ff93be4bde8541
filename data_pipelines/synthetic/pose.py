"""The pose of a synthetic face: turning the head, projecting it, and where its landmarks are then seen."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from data_pipelines.synthetic.face import Shape
from data_pipelines.synthetic.template import ANGLES, template

_PIVOT = np.array([0.0, 0.35, -0.45], np.float32)
# The cheek, without the nose: the outline of a turned head is sought here.
_LEFT_COLUMNS = np.flatnonzero((ANGLES >= -90) & (ANGLES <= -17))
_RIGHT_COLUMNS = np.flatnonzero((ANGLES >= 17) & (ANGLES <= 90))
# Lines of landmarks from the left to the right mouth corner.
_LIP_LINES = ((76, 77, 78, 79, 80, 81, 82), (76, 87, 86, 85, 84, 83, 82), (88, 89, 90, 91, 92), (88, 95, 94, 93, 92))


@dataclasses.dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole and a pose: from head coordinates to the frame, which spans 0 to 1 in x and y.

    Attributes:
      yaw: In radians; positive turns the nose to the image's right.
      rotation: [3, 3], of yaw and pitch, about the middle of the head.
      roll: [2, 2], applied in the image.
      distance: From the pinhole to the middle of the head, in head units.
      scale: Frame widths a head unit.
      offset: [2], the middle of the head in the frame.
    """

    yaw: float
    rotation: np.ndarray
    roll: np.ndarray
    distance: float
    scale: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)

    def turn(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] with yaw, pitch and perspective, but upright, around the middle of the head."""
        return np.ascontiguousarray(self._turn(points).T).reshape(points.shape)

    def place(self, turned: np.ndarray) -> np.ndarray:
        """What `turn` gave, in the frame: x and y in frame widths, z in head units, larger is nearer."""
        return np.ascontiguousarray(self._place(turned.reshape(-1, 3).T).T).reshape(turned.shape)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] of the head in the frame, one coordinate after the other [3, ...]; see `place`."""
        points = np.asarray(points, np.float32)
        return self._place(self._turn(points)).reshape(3, *points.shape[:-1])

    def _turn(self, points: np.ndarray) -> np.ndarray:
        # One coordinate after the other, [3, n]: loops over the last axis, of three, are slow.
        turned = self.rotation @ points.reshape(-1, 3).T - (self.rotation @ _PIVOT)[:, None]
        turned[:2] *= self.distance / (self.distance - turned[2])
        return turned

    def _place(self, turned: np.ndarray) -> np.ndarray:
        placed = np.empty(turned.shape, np.float32)
        np.matmul(self.scale * self.roll, turned[:2], out=placed[:2])
        placed[0] += self.offset[0]
        placed[1] += self.offset[1]
        placed[2] = turned[2]
        return placed


def make_camera(yaw: float, pitch: float, roll: float, distance: float) -> Camera:
    """A camera of unit scale. Degrees; positive turns to the image's right, down, and clockwise."""
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


def turn_landmarks(shape: Shape, camera: Camera) -> np.ndarray:
    """The 98 landmarks [98, 3], as `Camera.turn` gives them.

    A contour point is the outermost place of the front of its ring, as annotators mark it: the edge of the jaw on the
    near side, the outline of the cheek on the side that turns away. Points of the lips stop at the lips' outline too.
    """
    points = camera.turn(shape.points)
    rows = np.arange(16)
    rings = camera.turn(shape.skull[template().contour_rows[rows]])
    for side, columns, order in ((-1, _LEFT_COLUMNS, rows), (1, _RIGHT_COLUMNS, 32 - rows)):
        outermost = np.argmax(side * rings[:, columns, 0], axis=1)
        points[order] = rings[rows, columns[outermost]]
    away = 1 if camera.yaw > 0 else -1
    for line in _LIP_LINES:
        half = list(line[::away][len(line) // 2 :])
        points[half, 0] = away * np.maximum.accumulate(away * points[half, 0])
    return points
