"""A synthetic face in the frame, ready to be painted, and how light falls on its surface."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from jaxlm.data_pipelines.synthetic.painting.paint import curve
from jaxlm.data_pipelines.synthetic.painting.surface import normals
from jaxlm.data_pipelines.synthetic.shape import anchors as anchors_lib
from jaxlm.data_pipelines.synthetic.shape.look import Light
from jaxlm.data_pipelines.synthetic.shape.modes import Shape
from jaxlm.data_pipelines.synthetic.shape.pose import PARTS, Camera
from jaxlm.data_pipelines.synthetic.shape.template import ANGLES


@dataclasses.dataclass(frozen=True, eq=False)
class PosedFace:
    """A face in its pose; x and y in frame widths, depth in head units.

    Attributes:
      shape: Shape in head coordinates.
      camera: Pose, and position in the frame.
      all_points: Landmarks, then all points of `anchors` [n, 2].
      points: Landmarks [98, 2].
      depth: Depth of the landmarks [98]; larger is nearer.
      surface: Surface of the head [3, rows, columns], as `Camera.project` gives it.
      outline: Rings of the head that the template's profile holds, without the nose [rings, columns, 2].
      normal: Unit normals of the surface [3, rows, columns].
    """

    shape: Shape
    camera: Camera
    all_points: np.ndarray
    points: np.ndarray
    depth: np.ndarray
    surface: np.ndarray
    outline: np.ndarray
    normal: np.ndarray

    @property
    def scale(self) -> float:
        """Length of a head unit, in frame widths."""
        return self.camera.scale

    @property
    def yaw(self) -> float:
        """Yaw in radians; positive turns the nose to the image's right."""
        return self.camera.yaw

    @property
    def near_last(self) -> int:
        """1 where the head's columns come nearer from the image's left to its right, else -1."""
        return 1 if self.yaw < 0 else -1

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """Positions in the frame [..., 2] of points [..., 3] of the head."""
        return np.moveaxis(self.camera.project(points)[:2], 0, -1)

    def anchors(self, name: str) -> np.ndarray:
        """Positions in the frame [n, 2] of the points of that name in `anchors`."""
        return self.all_points[anchors_lib.ROWS[name]]

    @functools.cached_property
    def nose(self) -> np.ndarray:
        """The outline of the nose [n, 2]: its ridge in profile, and its wing on the near side."""
        points = self.points
        return np.concatenate(
            [curve(points[51:55]), self.anchors("under nose"), points[[57, 55 if self.yaw > 0 else 59]]]
        )


def pose_face(shape: Shape, camera: Camera, turned: np.ndarray) -> PosedFace:
    """The face of a shape in the pose of a camera; `turned` is what `turn_shape` gives for both."""
    placed = camera.to_frame(turned)
    flat, columns = np.ascontiguousarray(placed[:2, : PARTS["surface"].start].T), len(ANGLES)
    surface = placed[:, PARTS["surface"]].reshape(3, -1, columns)
    return PosedFace(
        shape=shape,
        camera=camera,
        all_points=flat[PARTS["points"]],
        points=flat[:98],
        depth=placed[2, :98],
        surface=surface,
        outline=flat[PARTS["outline"]].reshape(-1, columns, 2),
        normal=normals(surface, camera.scale),
    )


def shade(normal: np.ndarray, light: Light) -> np.ndarray:
    """Brightness [...] of surfaces with unit normals [3, ...]; about 1 where they face the lamp."""
    x, y, z = light.direction.tolist()
    # The lamp has a size: its light reaches a little around an edge.
    diffuse = np.maximum(0, (0.8 * x) * normal[0] + (0.8 * y) * normal[1] + (0.8 * z) * normal[2] + 0.2)
    return light.diffuse * diffuse + (0.95 * light.ambient - (0.2 * light.ambient) * normal[1])


def gloss(normal: np.ndarray, light: Light) -> np.ndarray:
    """Reflection of the lamp [...], 0 to 1, by surfaces with unit normals [3, ...]: a cosine to the power of 8."""
    x, y, z = light.direction.tolist()
    half = math.hypot(x, y, z + 1)
    mirrored = (x / half) * normal[0] + (y / half) * normal[1] + ((z + 1) / half) * normal[2]
    # Powers of what is next to nothing would be denormal numbers, which are slow.
    return np.square(np.square(np.square(np.maximum(0.02, mirrored))))
