"""The head that is fitted to photos: the renderer's mean face and its modes, as one linear model of 68 points."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from jaxlm.data_pipelines.synthetic.shape.modes import NUM_IDENTITY, Expression, make_shape
from jaxlm.data_pipelines.synthetic.shape.template import ANGLES, FIRST_CONTOUR_RING, template
from jaxlm.landmarks import conversion
from jaxlm.landmarks.schemes import IBUG68, WFLW98

NUM_CONTOUR = 17
_EXPRESSIONS = (
    Expression(jaw=1.0),
    Expression(smile=1.0),
    Expression(pout=1.0),
    Expression(brow_raise=1.0),
    Expression(frown=1.0),
)
PIVOT = np.array([0.0, 0.35, -0.45])
"""The point in head coordinates that a head turns about."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeadModel:
    """A linear model of heads, in the units and axes of `synthetic.shape.template`.

    `inner` are the 51 landmarks but the contour, `rings` the heights of the 17 contour points, without the nose, from
    the ear down to the chin, and `surface` the whole head, ring by ring. Each has a mean and a displacement of every
    mode at one standard deviation; the last modes are expressions at full strength.

    Attributes:
      inner: [51, 3] and its modes [M, 51, 3].
      rings: [9, C, 3] and its modes [M, 9, C, 3]; contour points i and 16 - i lie on ring i.
      surface: [R, C, 3] and its modes [M, R, C, 3].
    """

    inner: tuple[np.ndarray, np.ndarray]
    rings: tuple[np.ndarray, np.ndarray]
    surface: tuple[np.ndarray, np.ndarray]


@functools.cache
def head_model() -> HeadModel:
    """The model, made once of the renderer's shapes."""
    flat = np.zeros(NUM_IDENTITY)
    shapes = [make_shape(flat, Expression())]
    shapes += [make_shape(unit, Expression()) for unit in np.eye(NUM_IDENTITY)]
    shapes += [make_shape(flat, expression) for expression in _EXPRESSIONS]
    chosen = np.asarray(conversion(WFLW98, IBUG68))[NUM_CONTOUR:]
    rows = template().profile_rows[FIRST_CONTOUR_RING::2]

    def part(values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        mean, *moved = (value.astype(np.float64) for value in values)
        return mean, np.stack(moved) - mean

    return HeadModel(
        inner=part([shape.points[chosen] for shape in shapes]),
        rings=part([shape.skull[rows] for shape in shapes]),
        surface=part([shape.surface for shape in shapes]),
    )


@functools.cache
def triangles(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """The triangles [T, 3] of a grid of vertices, row by row; `closed` joins its last column to its first."""
    index = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        index = np.concatenate([index, index[:, :1]], axis=1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    return np.concatenate([np.stack(corners, -1).reshape(-1, 3) for corners in ((a, b, c), (b, d, c))])


FRONT_LEFT, FRONT_RIGHT = (slice(*np.searchsorted(ANGLES, span).tolist()) for span in ((-90, -16), (17, 91)))
"""The columns of the cheeks: the outline of a turned head is sought there, and not on the nose."""
