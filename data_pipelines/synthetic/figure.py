"""A posed and lit synthetic face, ready to be painted."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from data_pipelines.synthetic.face import Shape
from data_pipelines.synthetic.look import Light
from data_pipelines.synthetic.paint import curve
from data_pipelines.synthetic.pose import Camera
from data_pipelines.synthetic.surface import normals
from data_pipelines.synthetic.template import template

# Where the nose ends below its tip, in head units.
_UNDER_NOSE = np.array([[0, 0.028, -0.012], [0, 0.05, -0.05]], np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Figure:
    """A posed face, in the frame.

    Attributes:
      shape: In head coordinates.
      camera: Its pose, and its place in the frame.
      points: Landmarks [98, 2].
      depth: Of the landmarks [98], in head units, larger is nearer.
      surface: The head [3, rows, columns], as `Camera.project` gives it.
      outline: Those of its rings that the template's profile holds, without the nose [rings, columns, 2].
      normal: The surface's unit normals [3, rows, columns].
    """

    shape: Shape
    camera: Camera
    points: np.ndarray
    depth: np.ndarray
    surface: np.ndarray
    outline: np.ndarray
    normal: np.ndarray

    @property
    def scale(self) -> float:
        """Frame widths a head unit."""
        return self.camera.scale

    @property
    def yaw(self) -> float:
        """In radians, positive towards the image's right."""
        return self.camera.yaw

    @property
    def near_last(self) -> int:
        """1 where the head's columns come nearer from the image's left to its right, else -1."""
        return 1 if self.yaw < 0 else -1

    def place(self, points: np.ndarray) -> np.ndarray:
        """Where points [..., 3] of the head appear in the frame [..., 2]."""
        x, y, _ = self.camera.project(points)
        return _side_by_side(x, y)

    @functools.cached_property
    def nose(self) -> np.ndarray:
        """The outline of the nose [n, 2]: its ridge in profile, and its wing on the near side."""
        points, tip = self.points, self.shape.points[54]
        under = self.place(tip + _UNDER_NOSE)
        return np.concatenate([curve(points[51:55]), under, points[[57, 55 if self.yaw > 0 else 59]]])


def _side_by_side(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Two coordinates [...] as points [..., 2]; much faster than `np.stack`."""
    points = np.empty((*x.shape, 2), np.float32)
    points[..., 0], points[..., 1] = x, y
    return points


def make_figure(shape: Shape, camera: Camera, turned: np.ndarray) -> Figure:
    """The figure of a shape whose landmarks, as `turn_landmarks` gives them for this pose, are `turned` [98, 3]."""
    points = camera.place(turned)
    surface = camera.project(shape.surface)
    x, y, _ = camera.project(shape.skull[template().profile_rows])
    outline, normal = _side_by_side(x, y), normals(surface, camera.scale)
    return Figure(shape, camera, points[:, :2], points[:, 2], surface, outline, normal)


def shade(normal: np.ndarray, light: Light) -> np.ndarray:
    """How bright surfaces with unit normals [3, ...] are [...]: about 1 where they face the lamp."""
    x, y, z = light.direction.tolist()
    # The lamp has a size: its light reaches a little around an edge.
    diffuse = np.maximum(0, (0.8 * x) * normal[0] + (0.8 * y) * normal[1] + (0.8 * z) * normal[2] + 0.2)
    return light.diffuse * diffuse + (0.95 * light.ambient - (0.2 * light.ambient) * normal[1])


def gloss(normal: np.ndarray, light: Light) -> np.ndarray:
    """How far surfaces with unit normals [3, ...] mirror the lamp, to the power of 8, 0 to 1."""
    x, y, z = light.direction.tolist()
    half = math.hypot(x, y, z + 1)
    mirrored = (x / half) * normal[0] + (y / half) * normal[1] + ((z + 1) / half) * normal[2]
    # Powers of what is next to nothing would be denormal numbers, which are slow.
    return np.square(np.square(np.square(np.maximum(0.02, mirrored))))
