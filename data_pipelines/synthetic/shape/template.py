"""The mean synthetic face in 3D: the 98 WFLW landmarks on the surface of a head.

Head coordinates: x to the image's right, y down, z towards the camera. A unit is about the width of a face, 16 cm; the
bridge of the nose is at z = 0 and the face mirrors at x = 0. The surface is rings around the head, one for each
height. The two outermost points of the lower rings are the landmarks of the face contour.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from jaxlm.landmarks.schemes import WFLW98

# One row for each height: y, half width, z of the front without the nose, z of the widest point, z of the back. The
# rows from y = 0.24 on are the face contour's points 0..16.
_PROFILE = np.array(
    [
        (-0.470, 0.000, -0.520, -0.52, -0.53),
        (-0.462, 0.110, -0.360, -0.53, -0.70),
        (-0.436, 0.205, -0.245, -0.53, -0.83),
        (-0.385, 0.300, -0.140, -0.53, -0.95),
        (-0.308, 0.380, -0.066, -0.53, -1.04),
        (-0.210, 0.435, -0.018, -0.53, -1.10),
        (-0.100, 0.460, 0.010, -0.52, -1.13),
        (0.010, 0.468, 0.024, -0.51, -1.13),
        (0.120, 0.468, 0.030, -0.50, -1.12),
        (0.240, 0.465, 0.004, -0.50, -1.09),
        (0.301, 0.461, 0.004, -0.49, -1.06),
        (0.362, 0.457, 0.008, -0.48, -1.03),
        (0.423, 0.452, 0.014, -0.47, -0.99),
        (0.483, 0.445, 0.020, -0.46, -0.93),
        (0.543, 0.434, 0.028, -0.45, -0.85),
        (0.601, 0.419, 0.046, -0.44, -0.75),
        (0.658, 0.399, 0.058, -0.42, -0.64),
        (0.712, 0.373, 0.052, -0.39, -0.54),
        (0.763, 0.340, 0.030, -0.35, -0.46),
        (0.810, 0.301, 0.006, -0.305, -0.40),
        (0.853, 0.259, 0.010, -0.255, -0.34),
        (0.890, 0.215, 0.022, -0.20, -0.28),
        (0.922, 0.168, 0.024, -0.15, -0.22),
        (0.948, 0.117, 0.010, -0.10, -0.17),
        (0.964, 0.060, -0.012, -0.07, -0.12),
        (0.970, 0.000, -0.050, -0.06, -0.07),
    ]
)
FIRST_CONTOUR_RING = 9

# Frontal (x, y) of the landmarks on the image's left and on the middle line; the others mirror them.
_LEFT = {
    33: (-0.326, 0.178), 34: (-0.266, 0.124), 35: (-0.202, 0.112), 36: (-0.140, 0.122), 37: (-0.078, 0.146),
    38: (-0.078, 0.182), 39: (-0.140, 0.166), 40: (-0.202, 0.160), 41: (-0.266, 0.163),
    51: (0.0, 0.252), 52: (0.0, 0.332), 53: (0.0, 0.412), 54: (0.0, 0.487),
    55: (-0.093, 0.529), 56: (-0.047, 0.541), 57: (0.0, 0.550),
    60: (-0.262, 0.257), 61: (-0.228, 0.231), 62: (-0.185, 0.221), 63: (-0.140, 0.236), 64: (-0.104, 0.265),
    65: (-0.143, 0.280), 66: (-0.185, 0.285), 67: (-0.226, 0.277),
    76: (-0.163, 0.678), 77: (-0.104, 0.650), 78: (-0.034, 0.630), 79: (0.0, 0.636),
    85: (0.0, 0.745), 86: (-0.064, 0.738), 87: (-0.122, 0.713),
    88: (-0.150, 0.678), 89: (-0.080, 0.672), 90: (0.0, 0.675), 94: (0.0, 0.679), 95: (-0.080, 0.676),
    96: (-0.183, 0.253),
}  # fmt: skip

# Angles of the ring points in degrees: 0 is the front, 90 the image's right, +-180 the back; denser at the nose.
_RING = (0, 4, 8, 12, 17, 23, 30, 38, 46, 54, 62, 70, 77, 84, 90, 98, 107, 117, 128, 140, 153, 166, 180)
ANGLES = np.array([*(-a for a in _RING[:0:-1]), *_RING], np.float32)
# How far an ellipse is from a ring: the exponent of sine and cosine in a superellipse.
_ROUNDNESS = 0.92


@dataclasses.dataclass(frozen=True, eq=False)
class Template:
    """The mean face.

    Attributes:
      points: Landmarks [98, 3].
      skull: Surface of the head without its nose [rows, columns, 3]: closed rings from the crown down to the chin.
      nose: What the nose adds to that surface [rows, columns, 3].
      profile_rows: Index of the rings of `_PROFILE`; rings between them are interpolated. Rings from
        `FIRST_CONTOUR_RING` on hold contour points 0..16.
    """

    points: np.ndarray
    skull: np.ndarray
    nose: np.ndarray
    profile_rows: np.ndarray

    @functools.cached_property
    def surface(self) -> np.ndarray:
        """The head [rows, columns, 3]."""
        return self.skull + self.nose


def nose_height(x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
    """Height of the nose above the face at (x, y)."""
    ridge = np.interp(
        y, [0.21, 0.26, 0.33, 0.41, 0.485, 0.52, 0.55, 0.575], [0, 0.012, 0.06, 0.115, 0.17, 0.15, 0.06, 0]
    )
    half_width = np.interp(y, [0.25, 0.40, 0.48, 0.55], [0.052, 0.058, 0.066, 0.075])
    wings = 0.055 * np.exp(-(((np.abs(x) - 0.072) / 0.032) ** 2) - ((y - 0.512) / 0.030) ** 2)
    return ridge * np.exp(-((x / half_width) ** 2)) + wings


def _relief(x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
    """Eye sockets, lids, brows, cheeks and lips: how far they stand out of the face's ring at (x, y)."""

    def bump(height: float, cx: float, cy: float, width: float, tall: float) -> np.ndarray:
        return height * np.exp(-(((np.abs(x) - cx) / width) ** 2) - ((y - cy) / tall) ** 2)

    return (
        bump(-0.070, 0.15, 0.235, 0.085, 0.060)
        + bump(0.035, 0.185, 0.255, 0.060, 0.034)
        + bump(0.022, 0.12, 0.150, 0.150, 0.035)
        + bump(0.030, 0.25, 0.42, 0.090, 0.090)
        + bump(-0.020, 0.17, 0.62, 0.060, 0.080)
        + bump(0.022, 0.00, 0.66, 0.110, 0.055)
        + bump(-0.014, 0.00, 0.80, 0.120, 0.030)
    )


@functools.cache
def template() -> Template:
    """The mean face, made once."""
    profile = np.concatenate([_PROFILE, (_PROFILE[1:17] + _PROFILE[2:18]) / 2])
    profile = profile[np.argsort(profile[:, 0])]
    y, half, front, side, back = profile.T
    sin, cos = np.sin(np.deg2rad(ANGLES)), np.cos(np.deg2rad(ANGLES))
    x = half[:, None] * np.sign(sin) * np.abs(sin) ** _ROUNDNESS
    reach = np.where(cos > 0, (front - side)[:, None], (side - back)[:, None])
    z = side[:, None] + reach * np.sign(cos) * np.abs(cos) ** _ROUNDNESS
    y = np.broadcast_to(y[:, None], x.shape)
    facing = (cos > 0) & (half[:, None] > 0)
    skull = np.stack([x, y, z + np.where(facing, _relief(x, y), 0)], axis=-1)
    nose = np.stack([0 * x, 0 * x, np.where(facing, nose_height(x, y), 0)], axis=-1)

    points = np.zeros((98, 3))
    for index, (px, py) in _LEFT.items():
        half, front, side = (np.interp(py, profile[:, 0], column) for column in profile.T[1:4])
        ring = side + (front - side) * (1 - (abs(px) / half) ** (2 / _ROUNDNESS)) ** (_ROUNDNESS / 2)
        points[index] = px, py, ring + _relief(px, py) + nose_height(px, py)
        points[WFLW98.flip[index]] = points[index] * (-1, 1, 1)
    profile_rows = np.searchsorted(profile[:, 0], _PROFILE[:, 0])
    contour_rows = profile_rows[FIRST_CONTOUR_RING:]
    points[:17] = skull[contour_rows, np.searchsorted(ANGLES, -90)]
    points[32:15:-1] = skull[contour_rows, np.searchsorted(ANGLES, 90)]
    return Template(points.astype(np.float32), skull.astype(np.float32), nose.astype(np.float32), profile_rows)
