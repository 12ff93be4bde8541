"""Marks of hidden points: values that stand for a point without a place, as annotators write them. numpy alone."""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

import numpy as np

from jaxlm.landmarks.face_checks import find_strays

NEGATIVE, NONE = "negative", "none"
_MARKS = (0.0, 999.0, 9999.0, 99999.0, 32767.0, 65535.0)
"""Numbers that people write twice for a point that is nowhere."""

_PART = 4096
_REPEATED = 3
"""Faces that share a place far from all else before it looks like a mark."""

_OUTSIDE = -0.5
"""Coordinates below lie outside of the photo, whose first pixel covers -0.5 to 0.5 (0.5 to 1.5 counted from 1)."""


def parse_mark(mark: str | None) -> np.ndarray | None:
    """The two values of a mark such as '-1 -1'; None for those that are no values.

    Raises:
      ValueError: The mark is none.
    """
    if mark in (None, NEGATIVE, NONE):
        return None
    try:
        values = np.array([float(word) for word in str(mark).replace(",", " ").split()])
    except ValueError:
        values = np.empty(0)
    if len(values) == 1:
        values = np.repeat(values, 2)
    if len(values) != 2 or not all(map(math.isfinite, values)):
        raise ValueError(
            f"--hidden {mark!r}: give the two values of a hidden point, as in '-1 -1', or negative, or none"
            " (NaN and empty cells are hidden by themselves)"
        )
    return values


def hide_points(places: np.ndarray, visible: np.ndarray | None, mark: str | None) -> np.ndarray:
    """The points [N, 2], NaN where they are hidden: by their values, by `visible`, or since they are NaN.

    Args:
      places: The values as they are written, before any shift [N, 2].
      visible: bool [N], what the annotations say of each point; None where they say nothing.
      mark: What stands for a hidden point: two values, `negative`, or `none`; None where nobody has said it.

    Raises:
      ValueError: A point has one value of two, or values that may mark a hidden point and nobody has said whether.
    """
    hidden = np.isnan(places).all(-1)
    if visible is not None:
        if (hidden & visible).any():
            index = int(np.argmax(hidden & visible))
            raise ValueError(f"point {index} is said to be visible, and has no place")
        hidden |= ~visible
    half = np.isnan(places).any(-1) & ~hidden
    if half.any():
        index = int(np.argmax(half))
        raise ValueError(f"point {index} has one coordinate of two: ({places[index][0]:g}, {places[index][1]:g})")
    values = parse_mark(mark)
    if values is not None:
        hidden |= (places == values).all(-1)
    elif mark == NEGATIVE:
        hidden |= np.signbit(places).all(-1)
    negative = (places < _OUTSIDE).all(-1) & ~hidden
    others = places[~hidden & ~negative]
    if mark is not None and len(others):  # Other negative values are places, unless they mirror one on the face.
        negative &= ((-places >= others.min(0)) & (-places <= others.max(0))).all(-1)
    guess = negative | (are_marks(places) & ~hidden)
    kept = places[~hidden]
    if len(kept) and np.ptp(kept) > 0 and np.abs(kept).max() <= 1:
        guess[:] = False  # Shares of the photo, or of its half about the centre: the face is told to be too small.
    if mark != NONE and guess.any():
        index = int(np.argmax(guess))
        x, y = places[index]
        options = [f"--hidden '{x:g} {y:g}'"] * int(x == y) + ["--hidden negative"] * int(x < 0)
        raise ValueError(
            f"point {index} is ({x:g}, {y:g}), which may mark a hidden point; say what marks them:"
            f" {' or '.join(options)}, or --hidden none if it is a place"
        )
    return np.where(hidden[:, None], np.nan, places)


def are_marks(places: np.ndarray) -> np.ndarray:
    """Which points [N] have two equal values that people write for a point that is nowhere, such as 0 0 or 999 999."""
    return np.isin(places[:, 0], _MARKS) & (places[:, 0] == places[:, 1])


def find_repeated(faces: Sequence[np.ndarray]) -> tuple[np.ndarray, list[int]] | None:
    """A place that several faces share exactly, each time far from the face's other points, and the indices of these.

    It is None where there is none. Faces that are equal, such as one face in several styles, count once.

    Args:
      faces: Points [N, 2] of each face, NaN where one is hidden.
    """
    found: dict[tuple[float, float], dict[bytes, int]] = collections.defaultdict(dict)
    for start in range(0, len(faces), _PART):
        points = np.stack(faces[start : start + _PART])
        for face, index in np.argwhere(find_strays(points)):
            x, y = points[face, index]
            found[x, y].setdefault(points[face].tobytes(), start + int(face))
    for place, sharing in found.items():
        if len(sharing) >= _REPEATED:
            return np.array(place), list(sharing.values())
    return None
