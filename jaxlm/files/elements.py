"""XML from strangers, as a stream of its start tags. Nothing is expanded or loaded: a DOCTYPE is refused."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple
from xml.parsers import expat

from jaxlm.files.documents import regular_size

MOST_BYTES = 2**28
"""Size of the largest XML file that is read."""

_DEEPEST = 32
_PIECE = 2**16


class Element(NamedTuple):
    """A start tag.

    Attributes:
      depth: How many elements it lies in; 0 for the first one.
      tag: Its name.
      attributes: Its attributes.
      line: Number of its line, counted from 1.
    """

    depth: int
    tag: str
    attributes: dict[str, str]
    line: int


def read_elements(path: str | os.PathLike[str]) -> Iterator[Element]:
    """The start tags of an XML file in its order; text between tags is left out.

    Raises:
      OSError: The file cannot be read.
      ValueError: It is too large, nested too deep, no XML, or has a DOCTYPE, in which entities are declared; the
        message names file and line.
    """
    path = pathlib.Path(path)
    if regular_size(path) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES:,} bytes, which is too large for what it should hold")
    parser = expat.ParserCreate()
    found: list[Element] = []
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        if depth > _DEEPEST:
            raise ValueError(f"{path}, line {parser.CurrentLineNumber}: elements are nested too deep")
        found.append(Element(depth, tag, attributes, parser.CurrentLineNumber))
        depth += 1

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: object) -> None:
        raise ValueError(f"{path}, line {parser.CurrentLineNumber}: a DOCTYPE, which is not followed; remove it")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    with path.open("rb") as file:
        last = False
        while not last:
            piece = file.read(_PIECE)
            last = not piece
            try:
                parser.Parse(piece, last)
            except expat.ExpatError as error:
                raise ValueError(f"{path} is no XML: {error}") from None
            yield from found
            found.clear()
