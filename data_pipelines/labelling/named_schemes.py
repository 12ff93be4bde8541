"""Schemes made of the names of points: mirror pairs by left and right, and the .toml file that people complete."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxlm.files import write_whole
from jaxlm.landmarks import SCHEMES, Scheme, load_scheme, parse_tables
from jaxlm.landmarks.scheme import to_toml
from jaxlm.landmarks.scheme_slips import check_slips
from jaxlm.landmarks.tables import plain, shorten

_OPPOSITE = {"left": "right", "right": "left", "l": "r", "r": "l"}
_MOST_NAMED = 5  # Names that a message lists.
# Between the words of leftEye, LEye and eye2.
_BOUNDARY = re.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", re.ASCII
)


def _words(name: str) -> tuple[str, ...]:
    return tuple(re.split(r"[\W_]+", _BOUNDARY.sub(" ", name).lower()))


def _mirrored(word: str) -> str:
    """The word of the other side; a word without a side is its own."""
    if word in _OPPOSITE:
        return _OPPOSITE[word]
    return re.sub("^(left|right)|(left|right)$", lambda side: _OPPOSITE[side[0]], word)


def mirror_pairs(names: Sequence[str]) -> tuple[list[tuple[int, int]], list[str]]:
    """The pairs of points that change places when a face is mirrored, by left and right in their names.

    All sides in a name change: left_eye_right_corner becomes right_eye_left_corner. Understood are left_eye, eyeLeft,
    Left Eye, l_eye, eye_r and the like.

    Returns:
      The pairs of indices, and the names with left or right that have no partner.
    """
    words = [_words(name) for name in names]
    places = {each: index for index, each in enumerate(words)}
    partners = [places.get(tuple(map(_mirrored, each))) for each in words]
    pairs = [(index, other) for index, other in enumerate(partners) if other is not None and index < other]
    alone = [
        name
        for name, each, other in zip(names, words, partners, strict=True)
        if other is None and {"left", "right"} & set(each)
    ]
    return pairs, alone


def scheme_of_names(name: str, names: Sequence[str], edges: Iterable[Sequence[int]], where: str) -> Scheme:
    """The scheme called `name` of points with names and, drawn between them, edges (pairs of indices).

    Raises:
      ValueError: A name is empty, no text or there twice, or see `landmarks.parse_tables`; the message starts with
        `where`.
    """
    if wrong := [each for each in names if not each.isprintable() or len(each) > 200]:
        raise ValueError(f"{where}: {shorten(wrong[0])!r} is no name of a point")
    tables = {"name": name, "names": names, "flip": mirror_pairs(names)[0], "edges": list(edges)}
    scheme = parse_tables(tables, where)
    check_slips(tables, where)
    return scheme


def natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """A key that sorts names with their numbers as numbers: p2 comes before p10."""
    words = re.findall("([^0-9]*)([0-9]{0,9})", name)
    return [(word, int(number or -1)) for word, number in words], name


def by_number(names: Sequence[str]) -> np.ndarray:
    """The indices [N] of names that are the numbers 0 to N - 1 or 1 to N, as in 0 or p0, by number; else 0 to N - 1.

    Labelling tools that sort the names as texts write 1, 10, 11, 2.
    """
    numbers = _numbers(names)
    if sorted(numbers) in (list(range(len(names))), list(range(1, len(names) + 1))):
        return np.argsort(numbers)
    return np.arange(len(names))


def _numbers(names: Sequence[str]) -> list[int]:
    """The numbers of names that are one word, or none, and a number; empty where one is not."""
    found = [match for name in names if (match := re.fullmatch(r"([^0-9]*)([0-9]{1,9})", name))]
    same = len(found) == len(names) and len({match[1] for match in found}) == 1
    return [int(match[2]) for match in found] if same else []


def order_of(names: Sequence[str], scheme: Scheme, where: str, ordered: bool = True) -> np.ndarray:
    """For each point of a scheme, the index [N] of its name among those of a file.

    By number, see `by_number`, where the scheme has no names or those of the file are numbers; others are in order.

    Args:
      names: The names of the file.
      scheme: The scheme.
      where: The file, for messages.
      ordered: Whether the file says the order of its points; if not, `names` are sorted.

    Raises:
      ValueError: The numbers of points differ, or the names; the message starts with `where`.
    """
    if len(names) != scheme.num_points:
        raise ValueError(f"{where} has {len(names)} points, and scheme {scheme.name} has {scheme.num_points}")
    places = {plain(name): index for index, name in enumerate(names)}
    wanted = [plain(name) for name in scheme.names]
    if wanted and set(wanted) == set(places):
        return np.array([places[name] for name in wanted])
    if wanted and not all(name.isdecimal() for name in names):
        missing = [name for name in scheme.names if plain(name) not in places]
        raise ValueError(
            f"{where} has no point {_listed(missing)}, as scheme {scheme.name} calls them; it has {_listed(names)}"
        )
    if not ordered and not wanted and not _numbers(names):
        raise ValueError(
            f"{where}: the scheme has no names to match {_listed(names)}: add names to {scheme.name}, or leave --scheme"
            " out"
        )
    return by_number(names)


def check_scheme_file(file: Path, scheme: Scheme) -> None:
    """Raises ValueError where a file is in the way of `write_scheme_file`; one with the same scheme is not."""
    if not file.exists():
        return
    try:
        same, why = load_scheme(str(file)) == scheme, "with another scheme than the annotations"
    except ValueError as error:
        same, why = False, f"and is no scheme ({error})"
    if not same:
        raise ValueError(
            f"{file} is there already, {why}; give --scheme {file} to take its scheme, or move it away to have one made"
        )


def write_scheme_file(file: Path, scheme: Scheme) -> list[str]:
    """Writes a scheme that was made of names, unless its file is there.

    Returns:
      Lines that tell people what the names could not say.
    """
    if not file.exists():
        write_whole(file, f"# Made of the names of points. Complete it, and give it as --scheme.\n{to_toml(scheme)}")
    pairs, alone = mirror_pairs(scheme.names)
    lines = [f"Scheme: {file} ({scheme.num_points} points, {len(pairs)} pairs of left and right by their names)"]
    if not pairs:
        lines.append(
            "WARNING: no two points are left and right by their names, so a mirrored face keeps the number of each"
            " point, which is wrong for points of one side. Write the pairs into the file, flip = [[0, 1], ...], or"
            " train with --augment.no-flip."
        )
    elif alone:
        lines.append(f"WARNING: {_listed(alone)}: left or right, without a partner; write it into the file's flip.")
    same = [name for name, known in SCHEMES.items() if known.num_points == scheme.num_points]
    if same and not pairs:
        lines.append(f"{same[0]} has as many points; if they are these, in this order, give --scheme {same[0]}.")
    lines.append(
        "Eye corners: names cannot tell them, so errors are divided by the size of the box of the true points. For the"
        " inter-ocular distance write a line eye_corners = [LEFT, RIGHT], two numbers of points from 0, into the file,"
        f" and prepare with --scheme {file}."
    )
    return lines


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(shorten, names[:_MOST_NAMED])) + (", ..." if len(names) > _MOST_NAMED else "")
