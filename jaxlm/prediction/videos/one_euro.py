"""The One-Euro filter for points of a video: little jitter at rest, little lag in motion (Casiez, Roussel, Vogel 2012).

An exponential average whose cut-off frequency grows with speed: f_c = f_min + beta |v|, smoothing factor a = 1 / (1 +
1 / (2 pi f_c dt)), where dt is the time since the frame before: frames need not come at a steady rate. The speed v is
that of the point, smoothed likewise with a cut-off of 1 Hz, in face sizes a second, so that the filter does the same at
any resolution.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

MIN_CUTOFF = 1.0
"""Cut-off frequency of a point at rest, in Hz."""
BETA = 20.0
"""By how many Hz the cut-off grows for each face size a second."""
_SPEED_CUTOFF = 1.0


class State(NamedTuple):
    """What the filter remembers of a face.

    Attributes:
      points: The smoothed points [N, 2], in pixels.
      velocity: The points' smoothed velocity [N, 2], in pixels a second.
    """

    points: np.ndarray
    velocity: np.ndarray


def start(points: np.ndarray) -> State:
    """The state after the first frame of a face, whose points [N, 2] are taken as they are."""
    return State(points, np.zeros_like(points))


def smooth(
    state: State,
    points: np.ndarray,
    size: float,
    step: float,
    min_cutoff: float = MIN_CUTOFF,
    beta: float = BETA,
) -> State:
    """The state after another frame.

    Args:
      state: The state after the frame before.
      points: The points of this frame [N, 2], in pixels.
      size: The face's size in pixels; see `tracking.face_size`.
      step: The time since the frame before, in seconds; above 0.
      min_cutoff: Cut-off frequency at rest in Hz; less means less jitter.
      beta: How fast the cut-off grows with speed, in Hz for each face size a second; more means less lag.
    """
    velocity = _mix(state.velocity, (points - state.points) / step, np.float64(_SPEED_CUTOFF), step)
    speed = np.linalg.norm(velocity, axis=-1, keepdims=True) / size
    return State(_mix(state.points, points, min_cutoff + beta * speed, step), velocity)


def _mix(old: np.ndarray, new: np.ndarray, cutoff: np.ndarray | np.float64, step: float) -> np.ndarray:
    """An exponential average with a cut-off frequency in Hz, `step` seconds after the value before."""
    factor = 1 / (1 + 1 / (2 * math.pi * cutoff * step))
    return old + factor * (new - old)
