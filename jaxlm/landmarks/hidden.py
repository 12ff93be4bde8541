"""Marks of hidden points: values that stand for a point without a place, as annotators write them. numpy alone."""

from __future__ import annotations

import math

import numpy as np

NEGATIVE, NONE = "negative", "none"
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
    guess = negative | ((places == 0).all(-1) & ~hidden)
    if mark != NONE and guess.any():
        index = int(np.argmax(guess))
        x, y = places[index]
        options = [f"--hidden '{x:g} {y:g}'"] * int(x == y) + ["--hidden negative"] * int(x < 0)
        raise ValueError(
            f"point {index} is ({x:g}, {y:g}), which may mark a hidden point; say what marks them:"
            f" {' or '.join(options)}, or --hidden none if it is a place"
        )
    return np.where(hidden[:, None], np.nan, places)
