"""The built-in landmark schemes, and conversions from one scheme to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from jaxlm.landmarks import boundaries, mean_faces
from jaxlm.landmarks.scheme import Scheme, line, permutation

T = TypeVar("T")


def _span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def _names(**counts: int) -> tuple[str, ...]:
    """Names of the points of each group, in order: `left_eye_0`, `left_eye_1`, ...; a single point is the group."""
    return tuple(
        group if count == 1 else f"{group}_{point}" for group, count in counts.items() for point in range(count)
    )


WFLW98 = Scheme(
    name="wflw98",
    flip=permutation(
        98,
        [(i, 32 - i) for i in range(16)]
        + [(33, 46), (34, 45), (35, 44), (36, 43), (37, 42), (38, 50), (39, 49), (40, 48), (41, 47)]
        + [(55, 59), (56, 58)]
        + [(60, 72), (61, 71), (62, 70), (63, 69), (64, 68), (65, 75), (66, 74), (67, 73)]
        + [(76, 82), (77, 81), (78, 80), (87, 83), (86, 84), (88, 92), (89, 91), (95, 93), (96, 97)],
    ),
    eye_corners=(60, 72),
    pupils=((96,), (97,)),
    parts={
        "contour": _span(0, 32),
        "left_brow": _span(33, 41),
        "right_brow": _span(42, 50),
        "nose": _span(51, 59),
        "left_eye": _span(60, 67),
        "right_eye": _span(68, 75),
        "mouth": _span(76, 95),
        "pupils": (96, 97),
    },
    edges=line(_span(0, 32))
    + line(_span(33, 41), closed=True)
    + line(_span(42, 50), closed=True)
    + line(_span(51, 54))
    + line(_span(55, 59))
    + line(_span(60, 67), closed=True)
    + line(_span(68, 75), closed=True)
    + line(_span(76, 87), closed=True)
    + line(_span(88, 95), closed=True),
    names=_names(
        contour=33,
        left_brow=9,
        right_brow=9,
        nose_bridge=4,
        nostrils=5,
        left_eye=8,
        right_eye=8,
        outer_lips=12,
        inner_lips=8,
        left_pupil=1,
        right_pupil=1,
    ),
    mean_face=mean_faces.WFLW98,
    boundaries=boundaries.WFLW98,
)

# For each of the 68 points, the point of WFLW that marks the same place.
_WFLW98_TO_IBUG68 = (
    *range(0, 33, 2),
    *_span(33, 37),
    *_span(42, 46),
    *_span(51, 59),
    *(60, 61, 63, 64, 65, 67),
    *(68, 69, 71, 72, 73, 75),
    *_span(76, 95),
)

IBUG68 = Scheme(
    name="ibug68",
    flip=permutation(
        68,
        [(i, 16 - i) for i in range(8)]
        + [(17, 26), (18, 25), (19, 24), (20, 23), (21, 22), (31, 35), (32, 34)]
        + [(36, 45), (37, 44), (38, 43), (39, 42), (41, 46), (40, 47)]
        + [(48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65)],
    ),
    eye_corners=(36, 45),
    pupils=(_span(36, 41), _span(42, 47)),
    parts={
        "contour": _span(0, 16),
        "left_brow": _span(17, 21),
        "right_brow": _span(22, 26),
        "nose": _span(27, 35),
        "left_eye": _span(36, 41),
        "right_eye": _span(42, 47),
        "mouth": _span(48, 67),
    },
    edges=line(_span(0, 16))
    + line(_span(17, 21))
    + line(_span(22, 26))
    + line(_span(27, 30))
    + line(_span(31, 35))
    + line(_span(36, 41), closed=True)
    + line(_span(42, 47), closed=True)
    + line(_span(48, 59), closed=True)
    + line(_span(60, 67), closed=True),
    names=_names(
        contour=17,
        left_brow=5,
        right_brow=5,
        nose_bridge=4,
        nostrils=5,
        left_eye=6,
        right_eye=6,
        outer_lips=12,
        inner_lips=8,
    ),
    mean_face=tuple(mean_faces.WFLW98[i] for i in _WFLW98_TO_IBUG68),
    boundaries=boundaries.IBUG68,
)

# For each of WFLW's points, the point of LaPa that marks the same place.
_LAPA106_TO_WFLW98 = (*_span(0, 54), *_span(58, 62), *_span(66, 73), *_span(75, 82), *_span(84, 105))

# The points that WFLW lacks. INFERRED, by their neighbours and by other schemes of 106 points.
_LAPA106_OTHERS = {
    **{55: "left_nose_root", 56: "left_nose_side", 57: "left_nose_wing", 74: "left_eye_centre"},
    **{65: "right_nose_root", 64: "right_nose_side", 63: "right_nose_wing", 83: "right_eye_centre"},
}


def _of_lapa106(shared: Sequence[T], others: Mapping[int, T]) -> tuple[T, ...]:
    """What belongs to each of LaPa's points, of what belongs to each of WFLW's and to the others."""
    table = {**dict(zip(_LAPA106_TO_WFLW98, shared, strict=True)), **others}
    return tuple(table[point] for point in range(len(table)))


LAPA106 = Scheme(
    name="lapa106",
    flip=permutation(
        106,
        [(_LAPA106_TO_WFLW98[i], _LAPA106_TO_WFLW98[j]) for i, j in enumerate(WFLW98.flip)]
        + [(55, 65), (56, 64), (57, 63), (74, 83)],
    ),
    eye_corners=(66, 79),
    pupils=((104,), (105,)),
    parts={
        "contour": _span(0, 32),
        "left_brow": _span(33, 41),
        "right_brow": _span(42, 50),
        "nose": _span(51, 65),
        "left_eye": _span(66, 74),
        "right_eye": _span(75, 83),
        "mouth": _span(84, 103),
        "pupils": (104, 105),
    },
    edges=tuple((_LAPA106_TO_WFLW98[i], _LAPA106_TO_WFLW98[j]) for i, j in WFLW98.edges)
    + line(_span(55, 58))
    + line(_span(62, 65)),
    names=_of_lapa106(WFLW98.names, _LAPA106_OTHERS),
    mean_face=_of_lapa106(mean_faces.WFLW98, mean_faces.LAPA106_OTHERS),
    boundaries={name: tuple(_LAPA106_TO_WFLW98[i] for i in points) for name, points in boundaries.WFLW98.items()},
)

COFW29 = Scheme(
    name="cofw29",
    flip=permutation(
        29,
        [(0, 1), (2, 3), (4, 6), (5, 7), (8, 9), (10, 11), (12, 14), (13, 15), (16, 17), (18, 19), (22, 23)],
    ),
    eye_corners=(8, 9),
    pupils=((16,), (17,)),
    parts={
        "left_brow": (0, 2, 4, 5),
        "right_brow": (1, 3, 6, 7),
        "left_eye": (8, 10, 12, 13),
        "right_eye": (9, 11, 14, 15),
        "pupils": (16, 17),
        "nose": _span(18, 21),
        "mouth": _span(22, 27),
        "chin": (28,),
    },
    edges=line((0, 4, 2, 5), closed=True)
    + line((1, 6, 3, 7), closed=True)
    + line((8, 12, 10, 13), closed=True)
    + line((9, 14, 11, 15), closed=True)
    + line((18, 20, 19, 21), closed=True)
    + line((22, 24, 23, 27), closed=True)
    + line((22, 25, 23, 26), closed=True),
)

AFLW19 = Scheme(
    name="aflw19",
    flip=permutation(19, [(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (12, 14), (15, 17)]),
    eye_corners=(6, 11),
    pupils=((7,), (10,)),
    parts={
        "left_brow": _span(0, 2),
        "right_brow": _span(3, 5),
        "left_eye": _span(6, 8),
        "right_eye": _span(9, 11),
        "nose": _span(12, 14),
        "mouth": _span(15, 17),
        "chin": (18,),
    },
    edges=line(_span(0, 2))
    + line(_span(3, 5))
    + line(_span(6, 8))
    + line(_span(9, 11))
    + line(_span(12, 14))
    + line(_span(15, 17)),
)

FIVE = Scheme(
    name="five",
    flip=permutation(5, [(0, 1), (3, 4)]),
    pupils=((0,), (1,)),
    parts={"left_eye": (0,), "right_eye": (1,), "nose": (2,), "mouth": (3, 4)},
    edges=((0, 1), (0, 2), (1, 2), (3, 4)),
    names=("left_eye", "right_eye", "nose_tip", "left_mouth_corner", "right_mouth_corner"),
)

SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (WFLW98, IBUG68, LAPA106, COFW29, AFLW19, FIVE)}

# For each point of the second scheme, the point of the first that marks the same place.
CONVERSIONS: dict[tuple[str, str], tuple[int, ...]] = {
    ("wflw98", "ibug68"): _WFLW98_TO_IBUG68,
    ("lapa106", "wflw98"): _LAPA106_TO_WFLW98,
    ("lapa106", "ibug68"): tuple(_LAPA106_TO_WFLW98[i] for i in _WFLW98_TO_IBUG68),
}


def is_built_in(scheme: Scheme) -> bool:
    """Whether the scheme is a built-in one; a user's own scheme may have the name of one and differ."""
    return SCHEMES.get(scheme.name) == scheme
