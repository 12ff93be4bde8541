"""The shape of a synthetic face: a template plus modes of identity and expression.

Every mode moves the landmarks and the head's surface by one smooth field, so what is painted on the surface stays
under the landmarks. Only eyelids and lips, which part, move apart from it. Coordinates: see `template`.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from jaxlm.data_pipelines.synthetic.shape.template import nose_height, template

# Landmarks of the lids of both eyes [2, 3].
_UPPER_LIDS, _LOWER_LIDS = np.array([[(61, 62, 63), (69, 70, 71)], [(67, 66, 65), (75, 74, 73)]])
# How far a full gaze takes the pupil, in widths of the eye.
_GAZE = np.array([0.15, 0.06], np.float32)
_UPPER_LIP = (76, 77, 78, 79, 80, 81, 82, 88, 89, 90, 91, 92)
# Standard deviation of the first identity mode, the nose's height.
_NOSE_DEVIATION = 0.16
NUM_IDENTITY = 26


@dataclasses.dataclass(frozen=True)
class Expression:
    """Strength of each movement of a face: 0 is rest, 1 is strong. `gaze` is (right, down), from -1 to 1."""

    jaw: float = 0.0
    smile: float = 0.0
    pout: float = 0.0
    brow_raise: float = 0.0
    frown: float = 0.0
    eyes_closed: tuple[float, float] = (0.0, 0.0)
    gaze: tuple[float, float] = (0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Shape:
    """A face in head coordinates.

    Attributes:
      points: Landmarks [98, 3]; those of the contour are where a frontal view shows them.
      surface: Surface of the head [rows, columns, 3]: closed rings from the crown down to the chin.
      skull: Surface without the nose; its rings are nearly convex.
    """

    points: np.ndarray
    surface: np.ndarray
    skull: np.ndarray


def _bump(points: np.ndarray, x: float, y: float, width: float, height: float) -> np.ndarray:
    """A Gaussian [n] around (x, y) and, unless x is 0, around its mirror place; 0 on the back of the head."""
    across = (np.abs(points[:, 0]) - x) / width
    return np.exp(-(across**2) - ((points[:, 1] - y) / height) ** 2) * (points[:, 2] > -0.45)


def _ramp(value: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _field(
    points: np.ndarray, x: np.ndarray | float = 0, y: np.ndarray | float = 0, z: np.ndarray | float = 0
) -> np.ndarray:
    """A displacement [n, 3] from its components."""
    return np.stack([np.broadcast_to(component, len(points)) for component in (x, y, z)], axis=-1)


def _of_points(points: np.ndarray, indices: tuple[int, ...]) -> np.ndarray:
    """1 for the given landmarks, 0 for every other row of `points` [n, 3]."""
    chosen = np.zeros(len(points))
    chosen[list(indices)] = 1
    return chosen


def _identity_modes(p: np.ndarray, nose: np.ndarray) -> list[np.ndarray]:
    """Differences of people: displacements [n, 3] of one standard deviation each. The first is the nose's height."""
    x, y, z = p.T
    side = np.sign(x)
    eye = _bump(p, 0.185, 0.255, 0.11, 0.060)
    brow = _bump(p, 0.20, 0.145, 0.16, 0.045)
    wings = _bump(p, 0.0, 0.51, 0.12, 0.070)
    mouth = _bump(p, 0.0, 0.68, 0.22, 0.085)
    from_eye = np.abs(x) - 0.185
    upper = _of_points(p, (77, 78, 79, 80, 81))
    lower = _of_points(p, (83, 84, 85, 86, 87))
    brow_bottom = _of_points(p, (38, 39, 40, 41, 47, 48, 49, 50))
    return [
        _field(p, z=_NOSE_DEVIATION * nose),
        _field(p, x=0.035 * x),
        _field(p, y=0.045 * (y - 0.25)),
        _field(p, z=0.06 * z),
        _field(p, x=0.075 * x * _ramp(y, 0.40, 0.85)),
        _field(p, y=0.030 * _ramp(y, 0.72, 0.985), z=0.012 * _ramp(y, 0.80, 0.93)),
        _field(p, x=0.04 * x * _ramp(-y, -0.2, 0.2), y=-0.02 * _ramp(-y, 0.0, 0.4)),
        _field(p, x=0.03 * x * np.exp(-(((y - 0.50) / 0.15) ** 2)), z=0.02 * _bump(p, 0.26, 0.45, 0.12, 0.13)),
        _field(p, x=0.010 * side * eye),
        _field(p, x=0.11 * side * from_eye * eye, y=0.11 * (y - 0.255) * eye),
        _field(p, y=0.22 * (y - 0.257) * _bump(p, 0.185, 0.255, 0.09, 0.040)),
        _field(p, y=0.010 * (eye + brow)),
        _field(p, y=-0.07 * from_eye * eye),
        _field(p, y=0.012 * brow),
        _field(p, y=0.07 * from_eye * brow),
        _field(p, y=-0.016 * (np.exp(-((from_eye / 0.06) ** 2)) - 0.5) * brow),
        _field(p, y=0.007 * brow_bottom),
        _field(p, x=0.14 * x * wings),
        _field(p, y=0.018 * wings),
        _field(p, x=0.09 * x * mouth),
        _field(p, y=0.014 * mouth),
        _field(p, y=-0.008 * upper),
        _field(p, y=0.009 * lower),
        _field(p, x=0.008 * _ramp(y, 0.2, 0.9), y=0.012 * x),
        _field(p, y=0.006 * side * (eye + brow)),
        _field(p, y=0.05 * x * mouth, x=0.006 * mouth),
    ]


def _expression_modes(p: np.ndarray) -> list[np.ndarray]:
    """Displacements [n, 3] at full strength, in the order of `Expression`'s first fields."""
    x, y, _ = p.T
    side = np.sign(x)
    brow = _bump(p, 0.20, 0.145, 0.17, 0.050)
    corner = _bump(p, 0.16, 0.675, 0.075, 0.060)
    lips = _bump(p, 0.0, 0.68, 0.19, 0.075)
    # The jaw turns about a hinge near the ear: its edge moves little there, and all of the way at the chin.
    edge = _ramp(np.abs(x), 0.12, 0.34)
    fall = _ramp(y, 0.69 - 0.27 * edge, 0.80 + 0.15 * edge)
    # Lips part along their own line, where a field of y alone would tear them apart.
    fall[list(_UPPER_LIP)] = 0
    fall[[76, 82, 88, 92]] = 0.42
    fall[[77, 81]] = 0.12
    fall[[87, 83]] = 0.74
    fall[[86, 85, 84, 95, 94, 93]] = 0.97, 1.0, 0.97, 0.9, 1.0, 0.9
    lower = _of_points(p, (84, 85, 86))
    return [
        _field(p, x=-0.10 * x * corner, y=0.17 * fall, z=-0.05 * fall),
        _field(
            p,
            x=0.042 * side * corner,
            y=-0.036 * corner - 0.008 * lips - 0.012 * lower - 0.010 * _bump(p, 0.19, 0.29, 0.08, 0.022),
            z=-0.020 * corner + 0.025 * _bump(p, 0.22, 0.50, 0.09, 0.08),
        ),
        _field(p, x=-0.30 * x * lips, z=0.05 * lips, y=0.06 * (y - 0.68) * lips),
        _field(p, y=-0.040 * brow),
        _field(p, x=-0.016 * side * _bump(p, 0.08, 0.15, 0.08, 0.06), y=0.030 * _bump(p, 0.08, 0.15, 0.11, 0.05)),
    ]


@functools.cache
def _modes() -> np.ndarray:
    """All displacements [M, 98 + rows * columns, 3] of landmarks, then surface."""
    mean = template()
    everything = np.concatenate([mean.points, mean.surface.reshape(-1, 3)]).astype(np.float64)
    noses = np.concatenate([nose_height(*mean.points.T[:2]), mean.nose[..., 2].ravel()])
    modes = np.stack(_identity_modes(everything, noses) + _expression_modes(everything))
    # Next to nothing is nothing: denormal numbers are slow.
    return np.where(np.abs(modes) > 1e-9, modes, 0).astype(np.float32)


def make_shape(identity: np.ndarray, expression: Expression) -> Shape:
    """The face of an identity [NUM_IDENTITY], coefficients of unit variance, with an expression."""
    mean = template()
    e = expression
    amounts = np.array([*identity.tolist(), e.jaw, e.smile, e.pout, e.brow_raise, e.frown], np.float32)
    modes = _modes()
    moved = (amounts @ modes.reshape(len(modes), -1)).reshape(-1, 3)
    points = mean.points + moved[:98]
    closed = np.array(e.eyes_closed, np.float32)[:, None]
    upper, lower = points[_UPPER_LIDS], points[_LOWER_LIDS]
    # The upper lid moves most of the way.
    meet = lower + 0.15 * (upper - lower)
    points[_UPPER_LIDS] = upper + closed[..., None] * (meet - upper)
    points[_LOWER_LIDS] = lower + closed[..., None] * (meet - lower)
    width = points[64:73:8, :1] - points[60:69:8, :1]
    points[96:, :2] += _GAZE * np.array(e.gaze, np.float32) * width
    points[96:, 1:] += closed * (meet[:, 1, 1:] - points[96:, 1:])
    surface = mean.surface + moved[98:].reshape(mean.surface.shape)
    return Shape(points, surface, surface - mean.nose * np.float32(1 + _NOSE_DEVIATION * identity[0]))
