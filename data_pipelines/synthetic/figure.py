"""A posed and lit synthetic face, ready to be painted."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipelines.synthetic.face import Shape
from data_pipelines.synthetic.look import Light
from data_pipelines.synthetic.pose import Camera, turn_landmarks
from data_pipelines.synthetic.surface import normals
from data_pipelines.synthetic.template import template


@dataclasses.dataclass(frozen=True, eq=False)
class Figure:
    """A posed face, in the frame.

    Attributes:
      shape: In head coordinates.
      camera: Its pose, and its place in the frame.
      points: Landmarks [98, 2].
      depth: Of the landmarks [98], in head units, larger is nearer.
      surface: The head [rows, columns, 3], as `Camera.project` gives it.
      outline: Those of its rings that the template's profile holds, without the nose [rings, columns, 2].
      normal: The surface's unit normals [rows, columns, 3].
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
        return self.camera.project(points)[..., :2]


def make_figure(shape: Shape, camera: Camera) -> Figure:
    points = camera.place(turn_landmarks(shape, camera))
    surface = camera.project(shape.surface)
    outline = camera.project(shape.skull[template().profile_rows])[..., :2]
    return Figure(shape, camera, points[:, :2], points[:, 2], surface, outline, normals(surface, camera.scale))


def shade(normal: np.ndarray, light: Light) -> np.ndarray:
    """How bright surfaces with unit normals [..., 3] are [...]: about 1 where they face the lamp."""
    # The lamp has a size: its light reaches a little around an edge.
    diffuse = np.maximum(0, 0.8 * (normal @ light.direction) + 0.2)
    return light.ambient * (0.95 - 0.2 * normal[..., 1]) + light.diffuse * diffuse


def gloss(normal: np.ndarray, light: Light) -> np.ndarray:
    """How far surfaces with unit normals [..., 3] mirror the lamp, to the power of 8, 0 to 1."""
    half = light.direction + np.array([0, 0, 1], np.float32)
    mirrored = np.maximum(0, normal @ (half / np.sqrt(half @ half)))
    return np.square(np.square(np.square(mirrored)))
