"""Patterns of file names, `photos/**/*.jpg`, in folders whose links may lead in circles."""

from __future__ import annotations

import collections
import fnmatch
import glob
import os
import pathlib
from collections.abc import Callable, Iterator

# Called with the error of a folder that cannot be read.
TellError = Callable[[OSError], object]


def matching(pattern: str, tell_error: TellError) -> list[str]:
    """The names that a pattern matches, sorted: `*`, `?` and `[...]` in names, and `**` for folders of any depth.

    A name that is there as it stands is no pattern, as that of a folder `[1]`. As in a shell, names that begin with a
    dot are matched by patterns that do. Links to folders are followed; below `**`, each folder is visited once.
    """
    path = pathlib.PurePath(pattern)
    parts = list(path.parts[1:] if path.anchor else path.parts)
    if parts[-1:] == ["**"]:
        parts.append("*")
    places = [path.anchor]
    for part in parts:
        if part == "**":
            places = [folder for place in places for folder in _folders(place, tell_error)]
        else:
            places = [found for place in places for found in _matches(place, part, tell_error)]
    return sorted(set(places))


def _matches(folder: str, part: str, tell_error: TellError) -> list[str]:
    """What a pattern without folders matches in a folder."""
    literal = os.path.join(folder, part)
    if os.path.lexists(literal):
        return [literal]
    if not glob.has_magic(part):
        return []
    names = fnmatch.filter(_names(folder, tell_error), part)
    return [os.path.join(folder, name) for name in names if part.startswith(".") or not name.startswith(".")]


def _folders(start: str, tell_error: TellError) -> Iterator[str]:
    """A folder and those below it that are not hidden, each real one once; by its own name, if it has one here."""
    seen: set[str] = set()
    folders, links = [start], collections.deque[str]()
    while folders or links:
        folder = folders.pop() if folders else links.popleft()
        real = os.path.realpath(folder)
        if real in seen or not os.path.isdir(real):
            continue
        seen.add(real)
        yield folder
        for name in _names(folder, tell_error):
            inside = os.path.join(folder, name)
            if not name.startswith("."):
                (links if os.path.islink(inside) else folders).append(inside)


def _names(folder: str, tell_error: TellError) -> list[str]:
    """The names in a folder; none in what is no folder."""
    try:
        return sorted(os.listdir(folder or os.curdir))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        tell_error(error)
        return []
