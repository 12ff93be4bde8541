"""Text files of people, line by line: the one set of rules for lists, tables and .pts files.

- Text is UTF-8, with or without a byte order mark. UTF-16 and other bytes are refused by their names.
- Lines end as those of any system, and blank ones are passed over. A cell never runs over several lines, so a quote
  that is not closed spoils its own line alone.
- Values of a list stand between blanks. Cells of a table stand between commas, semicolons or tabs, whichever its header
  has most of; blanks in front of a cell do not count. A first line `sep=;`, as Excel has it, says which.
- Endings of files count in any case.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import itertools
import re
import stat
from pathlib import Path
from typing import NamedTuple

DELIMITERS = ",;\t"
NAME_WORDS = frozenset(
    (
        "file",
        "filename",
        "filepath",
        "files",
        "image",
        "imagefile",
        "imageid",
        "imagename",
        "imagepath",
        "img",
        "imgname",
        "imgpath",
        "name",
        "path",
        "photo",
        "photoname",
        "picture",
    )
)
"""What people call the column of the photos' names, as `plain` spells it."""

_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_LARGEST = 512 << 20  # Bytes of a list: a million faces of 68 points are about as large.
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_DELIMITED = "write commas, semicolons or tabs between them"
_SHOWN = 60  # Characters of a line that a message quotes.


class LineError(ValueError):
    """A file or a line of it cannot be read; the message names both."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a text file.

    Attributes:
      path: The file.
      number: Number of the line, counted from 1.
      text: The line, without its end.
    """

    path: Path
    number: int
    text: str

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return f"{self.path}, line {self.number}"

    def cells(self, delimiter: str) -> list[str]:
        """The cells between delimiters, without quotes and without blanks in front of a cell.

        Raises:
          LineError: A quote is not closed, or stands inside a cell.
        """
        try:
            (cells,) = csv.reader([self.text], delimiter=delimiter, strict=True, skipinitialspace=True)
        except csv.Error as error:
            open_quote = "unexpected end of data" in str(error)
            fault = "a quote is opened and not closed" if open_quote else str(error)
            raise LineError(f"{self.where}: {fault}: {shorten(self.text)!r}") from None
        return cells


class Table(NamedTuple):
    """A table with a header.

    Attributes:
      path: The file.
      header: The words of its first line that is not blank, without blanks around them.
      first: That line.
      rows: The other lines that are not blank.
      delimiter: What stands between cells.
    """

    path: Path
    header: list[str]
    first: Line
    rows: list[Line]
    delimiter: str

    def cells(self, row: Line) -> list[str]:
        """The cells of a row.

        Raises:
          LineError: Their number is not that of the header, or see `Line.cells`.
        """
        cells = row.cells(self.delimiter)
        if len(cells) != len(self.header):
            raise LineError(f"{row.where}: {len(cells)} values instead of {len(self.header)}, as the header has")
        return cells


def read_lines(path: Path) -> list[Line]:
    """The lines of a text file that are not blank.

    Raises:
      OSError: The file cannot be read.
      LineError: It is no text, not of UTF-8, or far too large.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise LineError(f"{path} is no regular file")
    if status.st_size > _LARGEST:
        raise LineError(f"{path}: the file is larger than {_LARGEST >> 20} MB; no list of faces is so large")
    data = path.read_bytes()
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            raise LineError(f"{path}, line 1: the file is {name}; save it as UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    if (at := data.find(b"\0")) >= 0:
        number = len(data[:at].splitlines()) or 1
        raise LineError(f"{path}, line {number}: a zero byte; the file is UTF-16 or no text; save it as UTF-8 text")
    lines = enumerate(data.splitlines(), start=1)
    return [Line(path, number, _decode(path, number, line)) for number, line in lines if line.strip()]


def _decode(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        around = line[max(error.start - 20, 0) : error.start + 20].decode("latin-1")
        raise LineError(
            f"{path}, line {number}: the byte {line[error.start]:#04x} is no UTF-8; as Latin-1 it reads {around!r};"
            " save the file as UTF-8"
        ) from None


def read_table(path: Path) -> Table:
    """The table in a text file; its first line is the header.

    Raises:
      OSError: The file cannot be read.
      LineError: It is empty or no text, or its header cannot be read.
    """
    lines = read_lines(path)
    if not lines:
        raise LineError(f"{path}: the file is empty; its first line should name the columns")
    first, *rows = lines
    said = _SEPARATOR.fullmatch(first.text)
    if said and said[1] not in DELIMITERS:
        raise LineError(f"{first.where}: cells stand between {said[1]!r}; {_DELIMITED}")
    if said and not rows:
        raise LineError(f"{path}: the file is empty but for its first line; its second should name the columns")
    if said:
        first, *rows = rows
    text = re.sub('"[^"]*"', "", first.text)
    delimiter = said[1] if said else max(DELIMITERS, key=text.count)
    if not said and delimiter not in text and (other := next((mark for mark in "|:" if mark in text), "")):
        raise LineError(f"{first.where}: cells stand between {other!r}: {shorten(first.text)!r}; {_DELIMITED}")
    if not said and delimiter not in text and len(text.split()) > 2:
        raise LineError(f"{first.where}: cells stand between blanks: {shorten(first.text)!r}; {_DELIMITED}")
    return Table(path, [cell.strip() for cell in first.cells(delimiter)], first, rows, delimiter)


def plain(word: str) -> str:
    """A word of a header in lower case and without blanks, `_`, `-` and `.`, so that spellings agree."""
    return re.sub(r"[\s_.\-]+", "", word).lower()


def shorten(text: str) -> str:
    """The beginning of a text, for a message."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def files_with_ending(folder: Path, ending: str) -> list[Path]:
    """The files of a folder whose names end so, in any case, by name; none where there is no such folder.

    Links to nothing are among them: to read one is an error, and to pass it over would be none.

    Raises:
      OSError: The folder cannot be read.
      LineError: Two of the files have one name but for the case of their endings.
    """
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.name.lower().endswith(ending.lower()))
    files = sorted(path for path in found if path.is_file() or not path.exists())
    for one, two in itertools.pairwise(sorted(files, key=lambda path: path.name[: -len(ending)])):
        if one.name[: -len(ending)] == two.name[: -len(ending)]:
            raise LineError(f"{one} and {two.name} differ in their ending's case alone; move one of them away")
    return files
