"""Slips in a user's file of a scheme: tables that keep the form of one, and surely do not say what was meant."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxlm.landmarks.tables import plain, shorten

_LOWEST, _HIGHEST = -1.0, 2.0  # Of a mean face, whose points lie in 0..1 or a little beyond.


def check_slips(tables: Mapping[str, Any], where: str) -> None:
    """Checks tables that `scheme.parse` takes for a scheme. Those that stand in older sets and runs stay as they are.

    Raises:
      ValueError: A name or a point is there twice; a point has two partners; a list is empty; or `mean_face` holds no
        shares. The message starts with `where` and has the key.
    """
    for fault in _slips(tables):
        raise ValueError(f"{where}: {fault}")


def _slips(tables: Mapping[str, Any]) -> Iterator[str]:
    names = tables.get("names", ())
    spelt: dict[str, int] = {}
    for index, name in enumerate(names):
        other = spelt.setdefault(plain(name), index)
        if not name.strip():
            yield f"`names` has no name for point {index}"
        if other != index:
            yield f"`names` calls points {other} and {index} {shorten(names[other])!r} and {shorten(name)!r}"
    partners: dict[int, int] = {}
    for one, two in [pair for both in tables.get("flip", ()) for pair in (both, both[::-1])]:
        if partners.setdefault(one, two) != two:
            yield f"`flip` exchanges point {one} with point {partners[one]} and with point {two}; it has one partner"
    for one, two in tables.get("flip", ()):
        if one == two:
            yield f"`flip` exchanges point {one} with itself; leave it out"
    if tables.get("mean_face"):
        values = list(itertools.chain.from_iterable(tables["mean_face"]))
        if min(values) < _LOWEST or max(values) > _HIGHEST:
            yield (
                f"`mean_face` has coordinates from {min(values):g} to {max(values):g}; they are shares, 0 to 1, of the"
                " side of a square around the face"
            )
    yield from _groups(tables)


def _groups(tables: Mapping[str, Any]) -> Iterator[str]:
    """Slips in lists of points."""
    for index, points in enumerate(tables.get("pupils", ())):
        yield from _repeated(f"pupils[{index}]", points)
    for name, points in tables.get("parts", {}).items():
        if not points:
            yield f"`parts.{shorten(name)}` has no points; leave it out"
        yield from _repeated(f"parts.{shorten(name)}", points)
    edges = {f"edges[{index}]": points for index, points in enumerate(tables.get("edges", ()))}
    curves = {f"boundaries.{shorten(name)}": points for name, points in tables.get("boundaries", {}).items()}
    for key, points in (edges | curves).items():
        if len(points) < 2:
            yield f"`{key}` is a line through {len(points)} points; it needs two"
        for one, two in itertools.pairwise(points):
            if one == two:
                yield f"`{key}` joins point {one} with itself"


def _repeated(key: str, points: Sequence[int]) -> Iterator[str]:
    twice = [point for point, count in collections.Counter(points).items() if count > 1]
    if twice:
        yield f"`{key}` has point {twice[0]} twice"
