"""A file of JSON lines that holds the results of a command as they are found, so that it can go on where it ended."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from jaxlm.files import regular_size

Row = dict[str, Any]

_HEAD = b'{"settings": '


class RowLog:
    """Rows of results, those of one item (a photo, a video) after those of another.

    The file has a line `settings`, a line for each row, and a line `done` behind the rows of each item. Nothing is
    written before the first row: then earlier results by the same settings stay, others are replaced. What follows the
    last finished item, as a killed process leaves it, is written over.

    Attributes:
      done: What was said of each finished item, by its name.
      others: Whether the file holds results by other settings.
      ours: Whether it holds results by these settings, be it of no finished item.
    """

    def __init__(self, file: pathlib.Path, settings: Mapping[str, Any], check: Callable[[Row], object]) -> None:
        """Reads what is there; raises OSError where it cannot be read, ValueError where a line but the last is damaged.

        Args:
          file: The file.
          settings: What the rows depend on beside their item, as JSON has it.
          check: Is called with each row that is there; raises ValueError where it is none that was written.
        """
        self.done: dict[str, Row] = {}
        self.others = self.ours = False
        self._file, self._settings, self._check = file, _line({"settings": settings}), check
        self._opened: IO[bytes] | None = None
        # From where to where the rows of each item lie; those of the next one lie from `_start` to `_end`.
        self._places: dict[str, tuple[int, int]] = {}
        self._start = self._end = 0
        self._item: str | None = None
        if file.exists():
            regular_size(file)
            self._read()

    @property
    def unfinished(self) -> str | None:
        """The item that has rows and is not finished; None where there is none."""
        return self._item if self._end > self._start else None

    def add(self, item: str, row: Row) -> None:
        """Writes a row of an item, the next one or that of the row before; raises OSError where it cannot."""
        self._open()
        self._item = item
        self._append(_line(row))

    def _open(self) -> None:
        if self._opened is None:
            self._opened = self._file.open("r+b" if self._end else "wb")
            self._opened.seek(self._end)
            self._opened.truncate()
            if not self._end:
                self._append(self._settings)
                self._start = self._end

    def finish(self, item: str, said: Row) -> None:
        """Says that the rows of an item are all there, or that it has none; they stand for those that it had before."""
        self._open()
        place = self._start, self._end
        self._append(_line({"done": item, **said}))
        self._note(item, said, place)

    def rows(self) -> Iterator[Row]:
        """The rows of all items, and last those of an item that is not finished, in place of those it had before."""
        places = [place for item, place in self._places.items() if item != self._item]
        places.append((self._start, self._end))
        if self._end:
            with open(self._file, "rb") as file:
                for start, end in places:
                    file.seek(start)
                    while file.tell() < end:
                        yield json.loads(file.readline())

    def first_rows(self) -> Iterator[tuple[str, Row]]:
        """Each finished item that has rows, with its first one."""
        if self._places:
            with open(self._file, "rb") as file:
                for item, (start, end) in self._places.items():
                    if end > start:
                        file.seek(start)
                        yield item, json.loads(file.readline())

    def close(self) -> None:
        """Closes the file; raises OSError where a full disk lost the last row."""
        if self._opened:
            self._opened.close()

    def _append(self, line: bytes) -> None:
        assert self._opened is not None
        self._opened.write(line)
        self._opened.flush()
        self._end += len(line)

    def _note(self, item: str, said: Row, place: tuple[int, int]) -> None:
        self.done[item], self._places[item] = said, place
        self._start, self._item = self._end, None

    def _read(self) -> None:
        with open(self._file, "rb") as lines:
            head = lines.readline()
            if head[: len(_HEAD)] != _HEAD[: len(head)]:
                raise ValueError(self._damaged(1))
            if not head.endswith(b"\n"):
                return
            settings = _row(head)
            if settings is None or "settings" not in settings:
                raise ValueError(self._damaged(1))
            if head != self._settings:
                self.others = True
                return
            self.ours = True
            start = position = self._start = self._end = len(self._settings)
            for number, line in enumerate(lines, start=2):
                if not line.endswith(b"\n"):  # A killed process leaves a part of its last line.
                    return
                row = _row(line)
                if row is None:
                    raise ValueError(self._damaged(number))
                position += len(line)
                if "done" in row:
                    place = start, position - len(line)
                    start = self._end = position
                    self._note(row.pop("done"), row, place)
                    continue
                try:
                    self._check(row)
                except ValueError as error:
                    raise ValueError(self._damaged(number, f" ({error})")) from None

    def _damaged(self, number: int, why: str = "") -> str:
        return (
            f"{self._file}, line {number} is damaged{why}, and other lines hold results; mend the file or move it away,"
            " and give the same command again"
        )


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _row(line: bytes) -> Row | None:
    """The row of a whole line; None where it is damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("done", ""), str) else None
