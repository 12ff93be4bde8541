"""Boxes of faces from a table with the columns file, x1, y1, x2, y2."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from jaxlm.landmarks.tables import LineError, Table, plain, read_table

COLUMNS = ("file", "x1", "y1", "x2", "y2")
_NAMED = 5  # Rows that a message names.


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """A row of a table of boxes.

    Attributes:
      where: File and line.
      name: The photo, as the table calls it.
      box: [x1, y1, x2, y2], the first and the last pixel.
    """

    where: str
    name: str
    box: np.ndarray


def read_boxes(file: pathlib.Path) -> list[Row]:
    """The rows of a table of boxes, in their order; its columns are `COLUMNS`, in any order, and others do not count.

    Raises:
      OSError: The file cannot be read.
      ValueError: A column is missing, or a value is no number; the message names file and line.
    """
    if not file.exists():
        raise FileNotFoundError(f"{file}: there is no such table of face boxes; its columns are {', '.join(COLUMNS)}")
    table = read_table(file)
    places = _places(table)
    rows = []
    for line in table.rows:
        name, *values = (table.cells(line)[place] for place in places)
        try:
            box = np.asarray([float(value.replace("_", "?")) for value in values])
        except ValueError:
            box = np.full(4, np.nan)
        if not np.isfinite(box).all():
            raise LineError(f"{line.where}: x1, y1, x2 and y2 must be four numbers, not {', '.join(values)}")
        rows.append(Row(line.where, name, box))
    return rows


def _places(table: Table) -> list[int]:
    """Where each of the `COLUMNS` stands in the table."""
    words = [plain(word) for word in table.header]
    wrong = [column for column in COLUMNS if words.count(column) != 1]
    if wrong:
        found = "there twice" if any(column in words for column in wrong) else "not found"
        raise LineError(
            f"{table.first.where}: the columns are {', '.join(COLUMNS)}; {', '.join(wrong)} {found} in"
            f" {', '.join(map(repr, table.header))}"
        )
    if "roll" in words:
        print(
            f"warning: {table.first.where}: the column roll is not used; boxes of a table are upright", file=sys.stderr
        )
    if points := [word for word in words if re.fullmatch(r"[xy]\d+", word) and word not in COLUMNS]:
        raise LineError(
            f"{table.first.where}: {', '.join(points[:3])} stand beside x1, y1, x2, y2, as in a table of points; a"
            f" table of boxes has the columns {', '.join(COLUMNS)}"
        )
    return [words.index(column) for column in COLUMNS]


def _real(path: pathlib.Path) -> pathlib.Path:
    """The path without links; one that leads back to itself stays."""
    return pathlib.Path(os.path.realpath(path))


def boxes_of_table(
    file: pathlib.Path, photo_files: Sequence[pathlib.Path]
) -> Mapping[pathlib.Path, Sequence[np.ndarray]]:
    """The boxes of each photo, which a table calls by its path from the table's folder, or by its bare name.

    Rows that are for none of the photos, and rows that repeat another one, are told on stderr.

    Raises:
      OSError: The table cannot be read.
      ValueError: See `read_boxes`; or a bare name fits several photos, or a photo is called by several names.
    """
    by_path = {_real(path): path for path in photo_files}
    found: dict[pathlib.Path, list[Row]] = {path: [] for path in photo_files}
    unused = []
    for row in read_boxes(file):
        path = by_path.get(_real(file.parent / row.name))
        bare = [] if path is None else [path]
        if path is None and not os.path.lexists(file.parent / row.name):  # Else it is the path of another photo.
            bare = [photo for photo in by_path.values() if photo.name == row.name]
        if len(bare) > 1:
            raise ValueError(
                f"{row.where}: {row.name!r} fits {len(bare)} photos, {', '.join(map(str, bare))}; give their paths from"
                f" {file.parent}"
            )
        if bare:
            found[bare[0]].append(row)
        else:
            unused.append(row)
    for photo, rows in found.items():
        others = [row for row in rows if row.name != rows[0].name]
        if others:
            raise ValueError(
                f"{others[0].where}: {others[0].name!r} is {photo}, which {rows[0].where} calls {rows[0].name!r}; a"
                " photo has one name, and a row for each of its faces"
            )
    if unused:
        named = ", ".join(f"{row.name!r} (line {row.where.rpartition(' ')[2]})" for row in unused[:_NAMED])
        more = ", ..." if len(unused) > _NAMED else ""
        print(f"warning: {file}: {len(unused)} rows are for none of the photos given: {named}{more}", file=sys.stderr)
    boxes = {photo: distinct_boxes(rows) for photo, rows in found.items()}
    return {path: boxes[by_path[_real(path)]] for path in photo_files}


def distinct_boxes(rows: Sequence[Row]) -> list[np.ndarray]:
    """The boxes of one photo, each once: two rows of one box would be one face twice, and are told on stderr."""
    first: dict[tuple[float, ...], Row] = {}
    for row in rows:
        before = first.setdefault(tuple(row.box), row)
        if before is not row:
            box = ", ".join(f"{value:g}" for value in row.box)
            print(
                f"warning: {row.where}: box ({box}) of {row.name} is that of {before.where}; it is taken once",
                file=sys.stderr,
            )
    return [row.box for row in first.values()]
