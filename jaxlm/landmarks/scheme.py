"""A landmark scheme: how many points a face has, what they mark, and how they mirror.

A scheme is data: models, metrics, augmentation and pictures read the same tables. Left and right are those of the
image, for a face that looks at the camera. Indices count from 0.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from jaxlm.files import as_schema

MOST_POINTS = 10_000
"""The number of points that a scheme may have."""

Edges = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True, repr=False)
class Scheme:
    """A landmark annotation scheme.

    Attributes:
      name: Name of the scheme, for example `wflw98`.
      flip: Permutation [N]; point i of a mirrored face is point `flip[i]` of the face.
      eye_corners: Outer corners of the left and the right eye; their distance is the inter-ocular normaliser.
      pupils: Points whose mean is the left pupil, and points of the right one, for the inter-pupil normaliser.
      parts: Groups of points by name, for example `nose`; a point may be in no group.
      edges: Pairs of points that a drawing joins.
      names: Name of each point, or empty.
      mean_face: Mean shape (x, y) of aligned faces, in fractions of the side of a square around them, or empty.
      boundaries: Curves by name, each through its points in order; a curve has two points at least.
    """

    name: str
    flip: tuple[int, ...]
    eye_corners: tuple[int, int] | None = None
    pupils: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    parts: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict, hash=False)
    edges: Edges = ()
    names: tuple[str, ...] = ()
    mean_face: tuple[tuple[float, float], ...] = ()
    boundaries: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def num_points(self) -> int:
        return len(self.flip)

    def __repr__(self) -> str:
        """A short text, since faces, heads and error messages show it."""
        return f"Scheme({self.name}, {self.num_points} points)"

    def __post_init__(self) -> None:
        count = self.num_points
        if sorted(self.flip) != list(range(count)) or any(self.flip[j] != i for i, j in enumerate(self.flip)):
            raise ValueError(f"scheme {self.name}: `flip` must exchange points in pairs, each of 0..{count - 1} once")
        if self.names and len(self.names) != count:
            raise ValueError(f"scheme {self.name}: {len(self.names)} names for {count} points")
        if self.mean_face and (np.shape(self.mean_face) != (count, 2) or not np.isfinite(self.mean_face).all()):
            raise ValueError(f"scheme {self.name}: `mean_face` holds {count} points (x, y) of finite numbers")
        if self.eye_corners and self.eye_corners[0] == self.eye_corners[1]:
            raise ValueError(f"scheme {self.name}: `eye_corners` are two points, not {self.eye_corners[0]} twice")
        if self.pupils and (not all(self.pupils) or set(self.pupils[0]) == set(self.pupils[1])):
            raise ValueError(f"scheme {self.name}: `pupils` are the points of one eye and those of the other")
        used = {"eye_corners": self.eye_corners or (), "pupils": sum(self.pupils or ((), ()), ())}
        used |= {f"parts.{part}": points for part, points in self.parts.items()}
        used |= {f"boundaries.{name}": points for name, points in self.boundaries.items()}
        used["edges"] = tuple(itertools.chain.from_iterable(self.edges))
        short = [name for name, points in self.boundaries.items() if len(points) < 2]
        if short:
            raise ValueError(f"scheme {self.name}: `boundaries` {short} have fewer than two points")
        for field, points in used.items():
            outside = [i for i in points if not 0 <= i < count]
            if outside:
                raise ValueError(f"scheme {self.name}: `{field}` names points {outside[:5]}; there are 0..{count - 1}")


def permutation(count: int, pairs: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """The mirror permutation of `count` points; the points of each pair change places, the others stay."""
    flip = list(range(count))
    for a, b in pairs:
        flip[a], flip[b] = b, a
    return tuple(flip)


def line(points: Sequence[int], closed: bool = False) -> Edges:
    """Edges that join each point to the next; a closed line joins the last to the first, too."""
    edges = tuple(itertools.pairwise(points))
    return (*edges, (points[-1], points[0])) if closed else edges


def side_by_side(schemes: Sequence[Scheme]) -> Scheme:
    """The points of several schemes one after the other, each mirrored within itself.

    It is for models that learn several schemes at once. Normalisers, parts and edges are not copied; they stay with
    each scheme.
    """
    starts = itertools.accumulate((scheme.num_points for scheme in schemes), initial=0)
    flip = tuple(start + point for start, scheme in zip(starts, schemes, strict=False) for point in scheme.flip)
    return Scheme(name="+".join(scheme.name for scheme in schemes), flip=flip)


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Points = Annotated[tuple[int, ...], msgspec.Meta(max_length=MOST_POINTS)]


class _Tables(msgspec.Struct):
    """What a scheme's tables hold; `landmarks.load_scheme` describes them."""

    name: _Name
    count: Annotated[int, msgspec.Meta(ge=1, le=MOST_POINTS)] | None = None
    names: Annotated[tuple[str, ...], msgspec.Meta(max_length=MOST_POINTS)] = ()
    flip: tuple[tuple[int, int], ...] = ()
    eye_corners: tuple[int, int] | None = None
    pupils: tuple[_Points, _Points] | None = None
    edges: tuple[_Points, ...] = ()
    parts: dict[str, _Points] = {}  # msgspec copies it.
    mean_face: Annotated[tuple[tuple[float, float], ...], msgspec.Meta(max_length=MOST_POINTS)] = ()
    boundaries: dict[str, _Points] = {}


def parse(tables: Any, where: str = "scheme") -> Scheme:
    """A scheme from its tables, as a .toml file holds them; `landmarks.load_scheme` describes them.

    Raises:
      ValueError: A key is missing, unknown or of the wrong type, or the tables contradict each other; the message
        starts with `where`.
    """
    if not isinstance(tables, dict):
        raise ValueError(f"{where}: the tables of a scheme are {type(tables).__name__}")
    known = _Tables.__struct_fields__
    unknown = sorted(str(key)[:50] for key in set(tables) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown keys {unknown[:5]}; known: {sorted(known)}")
    if "name" not in tables:
        raise ValueError(f"{where}: `name` is missing")
    table = as_schema(tables, _Tables, where)
    count = len(table.names) if table.count is None else table.count
    if not count:
        raise ValueError(f"{where}: give `count`, the number of points, or `names`, one for each")
    outside = [pair for pair in table.flip if not all(0 <= point < count for point in pair)]
    if outside:
        raise ValueError(f"{where}: `flip` holds pairs of points between 0 and {count - 1}, found {list(outside[0])}")
    try:
        return Scheme(
            name=table.name,
            flip=permutation(count, table.flip),
            eye_corners=table.eye_corners,
            pupils=table.pupils,
            parts=table.parts,
            edges=tuple(itertools.chain.from_iterable(map(line, table.edges))),
            names=table.names,
            mean_face=table.mean_face,
            boundaries=table.boundaries,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def to_table(scheme: Scheme) -> dict[str, Any]:
    """The tables of a scheme; `parse` makes the scheme of them again."""
    table = {
        "name": scheme.name,
        "count": scheme.num_points,
        "names": scheme.names,
        "flip": [(i, j) for i, j in enumerate(scheme.flip) if i < j],
        "eye_corners": scheme.eye_corners,
        "pupils": scheme.pupils,
        "edges": scheme.edges,
        "parts": dict(scheme.parts),
        "mean_face": scheme.mean_face,
        "boundaries": dict(scheme.boundaries),
    }
    return {key: value for key, value in table.items() if value}


def to_toml(scheme: Scheme) -> str:
    """The text of a .toml file of the scheme; `landmarks.load_scheme` makes the scheme of that file again."""
    table = to_table(scheme)
    tables = {key: table.pop(key) for key in ("parts", "boundaries") if key in table}
    lines = [f"{key} = {_toml_value(value)}" for key, value in table.items()]
    for key, groups in tables.items():
        lines += [f"\n[{key}]", *(f"{_toml_value(name)} = {_toml_value(points)}" for name, points in groups.items())]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    """A text, a number or a list of them; TOML writes these as JSON does."""
    return json.dumps(value, ensure_ascii=False)
