"""Which column of a table holds what: the header of a table of points, read by its names."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from jaxlm.landmarks.scheme import Scheme
from jaxlm.landmarks.tables import NAME_WORDS, Table, plain, shorten

_SPLIT = "split"
_VISIBLE = "(?:v|vis|visible|visibility)"
_POINT = "(?:p|pt|point|lm|landmark|ldmk|kp|keypoint)?"
# Words as `tables.plain` spells them: x0, x[0], 0x, p0x, v0, 0v.
_LETTER_FIRST = re.compile(rf"{_POINT}(x|y|{_VISIBLE})[\[(]?(\d+)[\])]?")
_NUMBER_FIRST = re.compile(rf"{_POINT}[\[(]?(\d+)[\])]?(x|y|{_VISIBLE})")
_HIDING = re.compile(r"(?:is)?(?:occ|hid|invis)|.*(?:occluded|occlusion|hidden|invisible)\d*$")
_PHOTO = re.compile(r".*\.(jpe?g|png|bmp|webp|tiff?|gif|heic|avif|pgm|ppm)", re.IGNORECASE)


class Columns(NamedTuple):
    """The columns of a table of points.

    Attributes:
      name: That of the photo's name.
      split: That of the split; None where there is none.
      points: Those of x and y of each point [N, 2].
      visible: Those that say whether a point is visible [N]; None where there are none.
    """

    name: int
    split: int | None
    points: np.ndarray
    visible: np.ndarray | None


def find_columns(table: Table, scheme: Scheme) -> Columns:
    """The columns of a table of points, by the words of its header; their order does not matter.

    Understood are x0, y0 / x_0, y_0 / 0_x, 0_y / x1, y1 counted from 1 / the scheme's names, as in chin_x, chin_y; or
    0, 1, 2, ... for x0, y0, x1, ...; v0 or visible_0 and so on for the visibility of all points; `split`; and one
    column of the photos' names, which is called file, image, name, path or alike, or is the first or the last one.

    Raises:
      ValueError: The table has no header, or a word of it is not understood, or columns are missing or there twice.
    """
    where, words = table.first.where, table.header
    if _is_face(words):
        raise ValueError(
            f"{where}: the table has no header, its first line is a face; give it the line {_example(table, scheme)}"
        )
    kinds, others = _kinds(words, scheme, where)
    name = _one_name(table, others, scheme)
    others.remove(name)
    split = [index for index in others if plain(words[index]) == _SPLIT]
    others = [index for index in others if index not in split]
    hiding = [words[index] for index in others if _HIDING.match(plain(words[index]))]
    if hiding:
        raise ValueError(
            f"{where}: columns that are not understood: {_quoted(hiding)}. Hidden points without a place have"
            " columns v0, v1, ... (0: hidden, 1: visible); drop the columns if hidden points have places"
        )
    if others or len(split) > 1:
        unknown = _quoted([words[index] for index in others or split])
        raise ValueError(f"{where}: columns that are not understood: {unknown}. {_understood(table, scheme)}")
    points = np.stack([_in_order(table, kinds.get(axis, []), axis, scheme) for axis in "xy"], axis=-1)
    counted = {axis: {number for number, _ in kinds[axis]} for axis in "xyv" if axis in kinds}
    for axis in counted:
        if counted[axis] != counted["x"] and (axis == "y" or len(counted[axis]) == scheme.num_points):
            raise ValueError(f"{where}: x and {axis} are not counted alike. {_understood(table, scheme)}")
    visible = _in_order(table, kinds["v"], "v", scheme) if "v" in kinds else None
    return Columns(name, split[0] if split else None, points, visible)


def _is_face(words: list[str]) -> bool:
    """Whether the first line is a face and no header: a photo's name, or numbers that do not count columns."""
    numbers = [word for word in words if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan", word, re.IGNORECASE)]
    if len(numbers) * 2 < len(words) or len(numbers) < 2:
        return False
    return any(_PHOTO.fullmatch(word) for word in words) or not _counts(numbers)


def _counts(numbers: list[str]) -> bool:
    """Whether numbers are 0, 1, 2, ... or 1, 2, 3, ..."""
    return numbers in ([str(i) for i in range(len(numbers))], [str(i) for i in range(1, len(numbers) + 1)])


def _kinds(words: list[str], scheme: Scheme, where: str) -> tuple[dict[str, list[tuple[int, int]]], list[int]]:
    """The (number of a point, column) of each x, y and v, and the other columns."""
    named = _named(words, scheme, where)
    numbered = [index for index, word in enumerate(words) if word.isascii() and word.isdigit()]
    if not _counts([words[index] for index in numbered]):
        numbered = []
    kinds: dict[str, list[tuple[int, int]]] = {}
    others = []
    for index, word in enumerate(words):
        text = plain(word)
        if index in numbered:
            number, axis = divmod(numbered.index(index), 2)
            kinds.setdefault("xy"[axis], []).append((number, index))
        # The scheme's own names come first: they may look like numbers.
        elif index in named:
            letter, number = named[index]
            kinds.setdefault(letter, []).append((number, index))
        elif match := _LETTER_FIRST.fullmatch(text):
            kinds.setdefault(match[1][0], []).append((int(match[2]), index))
        elif match := _NUMBER_FIRST.fullmatch(text):
            kinds.setdefault(match[2][0], []).append((int(match[1]), index))
        else:
            others.append(index)
    return kinds, others


def _named(words: list[str], scheme: Scheme, where: str) -> dict[int, tuple[str, int]]:
    """The axis and the number of the point of each column with a name of the scheme, as in chin_x or x_chin.

    Raises:
      ValueError: Names of points hold x or y, so that either order of both fits, as in x_y; see `find_columns`.
    """
    names = {plain(name): number for number, name in enumerate(scheme.names)}
    behind, in_front = dict[int, tuple[str, int]](), dict[int, tuple[str, int]]()
    for index, text in enumerate(map(plain, words)):
        if text[:-1] in names and text[-1:] in ("x", "y"):
            behind[index] = text[-1], names[text[:-1]]
        if text[1:] in names and text[:1] in ("x", "y"):
            in_front[index] = text[0], names[text[1:]]
    unclear = [index for index in behind if index in in_front and behind[index] != in_front[index]]
    # Columns that fit one order alone tell the order of all.
    only_behind, only_in_front = behind.keys() - in_front.keys(), in_front.keys() - behind.keys()
    if unclear and bool(only_behind) == bool(only_in_front):
        raise ValueError(
            f"{where}: the columns {_quoted([words[index] for index in unclear[:2]])} can be read in two ways: the axis"
            f" in front of the point's name, or behind it; name them x0, y0, ... in the order of scheme {scheme.name}"
        )
    return behind | in_front if only_in_front else in_front | behind


def _one_name(table: Table, others: list[int], scheme: Scheme) -> int:
    """The column of the photos' names among those of unknown meaning."""
    words = table.header
    named = [index for index in others if plain(words[index]) in NAME_WORDS]
    if not named:
        ends = (0, len(words) - 1)
        named = [index for index in others if index in ends and plain(words[index]) != _SPLIT][:1]
    if len(named) != 1:
        found = f"{len(named)} columns of photos' names" if named else "no column of the photos' names"
        raise ValueError(f"{table.first.where}: {found} in {_quoted(words)}. {_understood(table, scheme)}")
    return named[0]


def _in_order(table: Table, found: list[tuple[int, int]], axis: str, scheme: Scheme) -> np.ndarray:
    """The columns [N] of one axis, by the points' numbers, which start with 0 or 1."""
    found, count = sorted(found), scheme.num_points
    numbers = [number for number, _ in found]
    if numbers not in (list(range(count)), list(range(1, count + 1))):
        twice = sorted({number for number in numbers if numbers.count(number) > 1})
        detail = f"points {twice} twice" if twice else f"{len(found)} columns of {axis}"
        if numbers and not twice and len(numbers) == count:
            detail = f"columns of {axis} from {numbers[0]} to {numbers[-1]}"
        raise ValueError(
            f"{table.first.where}: {detail}; scheme {scheme.name} has {count} points, so {2 * count} columns of"
            f" coordinates are needed. {_understood(table, scheme)}"
        )
    return np.array([column for _, column in found])


def _understood(table: Table, scheme: Scheme) -> str:
    return (
        f"The header is {_quoted(table.header)}; understood are names like {_example(table, scheme)}, in any order, a"
        " column split, and visibility as v0, v1, ..."
    )


def _example(table: Table, scheme: Scheme) -> str:
    last = scheme.num_points - 1
    return table.delimiter.join(["file", "x0", "y0", "...", f"x{last}", f"y{last}"])


def _quoted(words: list[str]) -> str:
    shown = words if len(words) <= 10 else [*words[:6], "...", *words[-3:]]
    return ", ".join(word if word == "..." else repr(shorten(word)) for word in shown)
