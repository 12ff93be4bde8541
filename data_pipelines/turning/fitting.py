"""Fits the head to the 68 points of a photo: pose by scaled orthography, shape, and a smooth rest."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from jaxlm.data_pipelines.turning.mesh import FRONT_LEFT, FRONT_RIGHT, NUM_CONTOUR, PIVOT, head_model

_ROUNDS = 12
# What labels differ by, in head units, against modes of unit variance; and how much less a contour point says, whose
# place along the edge is anybody's guess.
_NOISE = 0.02
_CONTOUR_WEIGHT = 0.4
# The rest: the kernel falls to 1 / e over this many head units.
_REACH = 0.30
_RIDGE = 0.02


@dataclasses.dataclass(frozen=True, eq=False)
class FittedHead:
    """A head in the pose of a photo.

    Camera coordinates are x to the right, y down and z towards the viewer, all in pixels of the frame; x and y are the
    frame's own, and z is 0 at the head's origin, the bridge of the nose.

    Attributes:
      angles: Yaw, pitch and roll in radians; positive ones turn to the image's right, down, and clockwise.
      scale: Length of a head unit in pixels.
      pivot: Camera coordinates [3] of the point that the head turns about.
      surface: Camera coordinates [R, C, 3] of the head's surface, moved so that landmarks lie on the labels.
      rings: The same [9, C, 3] of the rings of the contour points, without the nose.
      edge: The same [17, 3] of the contour: the labels, at the depth of the edge of the head.
      residual: Root mean square distance of the 51 inner points from the labels before that move, in head units.
    """

    angles: tuple[float, float, float]
    scale: float
    pivot: np.ndarray
    surface: np.ndarray
    rings: np.ndarray
    edge: np.ndarray
    residual: float

    @property
    def across(self) -> np.ndarray:
        """The unit vector [2] of the image along which the head turns: to the right, and tilted with the head."""
        return np.array([math.cos(self.angles[2]), math.sin(self.angles[2])])


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation [3, 3] of a head by angles in radians, as the renderer's camera has them."""
    (sin_yaw, sin_pitch, sin_roll), (cos_yaw, cos_pitch, cos_roll) = (
        [function(angle) for angle in (yaw, pitch, roll)] for function in (math.sin, math.cos)
    )
    turn = np.array(
        [
            (cos_yaw, 0, sin_yaw),
            (-sin_pitch * sin_yaw, cos_pitch, sin_pitch * cos_yaw),
            (-cos_pitch * sin_yaw, -sin_pitch, cos_pitch * cos_yaw),
        ]
    )
    return np.array([(cos_roll, -sin_roll, 0), (sin_roll, cos_roll, 0), (0, 0, 1)]) @ turn


def angles_of(matrix: np.ndarray) -> tuple[float, float, float]:
    """The yaw, pitch and roll of a `rotation` [3, 3]."""
    yaw = math.atan2(-matrix[2, 0], matrix[2, 2])
    pitch = math.asin(float(np.clip(-matrix[2, 1], -1, 1)))
    straight = matrix @ rotation(yaw, pitch, 0).T
    return yaw, pitch, math.atan2(straight[1, 0], straight[0, 0])


def _first_pose(mean: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """The rotation, scale and shift of the affine camera that fits best, made a scaled orthographic one."""
    design = np.concatenate([mean, np.ones((len(mean), 1))], axis=1)
    solved = np.linalg.lstsq(design, points, rcond=None)[0].T
    left, sizes, right = np.linalg.svd(solved[:, :3])
    rows = left @ np.eye(2, 3) @ right
    return np.stack([*rows, np.cross(*rows)]), float(sizes.mean()), solved[:, 3]


def _edge(rings: np.ndarray, upright: np.ndarray) -> np.ndarray:
    """The column [17] of each contour point: the outermost place of its ring's front.

    Args:
      rings: Head coordinates [9, C, 3].
      upright: The row [3] of the rotation by yaw alone that gives x in the upright image.
    """
    across = rings @ upright
    left = np.argmin(across[:, FRONT_LEFT], axis=1) + FRONT_LEFT.start
    right = np.argmax(across[:-1, FRONT_RIGHT], axis=1) + FRONT_RIGHT.start
    return np.concatenate([left, right[::-1]])


RING_OF = np.minimum(np.arange(NUM_CONTOUR), NUM_CONTOUR - 1 - np.arange(NUM_CONTOUR))
"""The ring [17] of each contour point."""


def _skew(points: np.ndarray) -> np.ndarray:
    """The derivative [n, 3, 3] of points [n, 3] with respect to a small rotation applied to them."""
    x, y, z = points.T
    zero = np.zeros_like(x)
    return np.stack([np.stack(row, -1) for row in ((zero, z, -y), (-z, zero, x), (y, -x, zero))], axis=1)


def _rotate_a_little(step: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] by a vector [3] (Rodrigues)."""
    angle = float(np.linalg.norm(step))
    x, y, z = step / max(angle, 1e-12)
    cross = np.array([(0, -z, y), (z, 0, -x), (-y, x, 0)])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def fit_head(points: np.ndarray) -> FittedHead:
    """The head of the 68 points [68, 2] of a photo, in pixels.

    Pose and shape are found together, by Gauss and Newton, with modes held near 0 by their variance. Contour points of
    300-W lie on the visible edge; so in each round they belong to the outermost place of their ring's front. At last
    the surface is moved in the image so that its landmarks lie on the labels.
    """
    model = head_model()
    points = points.astype(np.float64)
    turn, scale, shift = _first_pose(model.inner[0], points[NUM_CONTOUR:])
    amounts = np.zeros(len(model.inner[1]))
    weights = np.repeat(np.where(np.arange(68) < NUM_CONTOUR, _CONTOUR_WEIGHT, 1.0), 2) / _NOISE
    for _ in range(_ROUNDS):
        rings = model.rings[0] + np.tensordot(amounts, model.rings[1], 1)
        yaw = angles_of(turn)[0]
        columns = _edge(rings, rotation(yaw, 0, 0)[0])
        mean = np.concatenate([model.rings[0][RING_OF, columns], model.inner[0]])
        modes = np.concatenate([model.rings[1][:, RING_OF, columns], model.inner[1]], axis=1)
        placed = (mean + np.tensordot(amounts, modes, 1)) @ turn.T
        wrong = (points - shift) / scale - placed[:, :2]
        columns_of_modes = (modes @ turn.T)[..., :2].reshape(len(modes), -1).T
        jacobian = np.concatenate(
            [
                _skew(placed)[:, :2].reshape(-1, 3),
                placed[:, :2].reshape(-1, 1),
                np.tile(np.eye(2), (68, 1)),
                columns_of_modes,
            ],
            axis=1,
        )
        weighted = jacobian * weights[:, None]
        prior = np.concatenate([np.full(6, 1e-6), np.ones(len(amounts))])
        right = weighted.T @ (wrong.ravel() * weights) - np.concatenate([np.zeros(6), amounts])
        step = np.linalg.solve(weighted.T @ weighted + np.diag(prior), right)
        turn = _rotate_a_little(step[:3]) @ turn
        shift = shift + scale * step[4:6]
        scale *= math.exp(float(np.clip(step[3], -0.5, 0.5)))
        amounts = amounts + step[6:]
    rings, surface, inner = (
        mean + np.tensordot(amounts, modes, 1) for mean, modes in (model.rings, model.surface, model.inner)
    )
    columns = _edge(rings, rotation(angles_of(turn)[0], 0, 0)[0])
    landmarks = np.concatenate([rings[RING_OF, columns], inner])

    def place(part: np.ndarray) -> np.ndarray:
        return scale * (part @ turn.T) + np.array([*shift, 0.0])

    found = place(landmarks)
    rest = points - found[:, :2]
    move = smooth_move(found[:, :2] / scale, rest, _REACH)

    def moved(part: np.ndarray) -> np.ndarray:
        placed = place(part)
        placed[..., :2] += move(placed[..., :2].reshape(-1, 2) / scale).reshape(*part.shape[:-1], 2)
        return placed

    return FittedHead(
        angles=angles_of(turn),
        scale=scale,
        pivot=place(PIVOT),
        surface=moved(surface),
        rings=moved(rings),
        edge=np.concatenate([points[:NUM_CONTOUR], found[:NUM_CONTOUR, 2:]], axis=1),
        residual=float(np.sqrt(np.mean(np.sum((rest[NUM_CONTOUR:] / scale) ** 2, axis=1)))),
    )


def smooth_move(centres: np.ndarray, moves: np.ndarray, reach: float) -> Callable[[np.ndarray], np.ndarray]:
    """The function that gives moves [n, K] at places [n, 2]: radial functions that have `moves` [m, K] at `centres`.

    It falls to 0 away from them; `reach` is the distance over which it falls to 1 / e, about.
    """

    def kernel(places: np.ndarray) -> np.ndarray:
        far = np.sqrt(np.sum((places[:, None] - centres) ** 2, -1)) / reach
        return (1 + far) * np.exp(-far)

    strengths = np.linalg.solve(kernel(centres) + _RIDGE * np.eye(len(centres)), moves)
    return lambda places: kernel(places) @ strengths
