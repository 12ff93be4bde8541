"""Which files predict takes, and how their pictures and their names in results are called.

Names of files are bytes. Python holds those that are no UTF-8 in a form (surrogates) that no text file can, so results
hold `printable` names, which `real_name` turns back.
"""

from __future__ import annotations

import collections
import glob
import hashlib
import itertools
import os
import pathlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxlm.files import check_place, matching
from jaxlm.landmarks import photos
from jaxlm.prediction.videos.kinds import is_video
from jaxlm.runtime.progress import say

SUFFIX = "_landmarks"
"""What the picture of a file has behind the file's own name."""
LOG, JSON, CSV, LOCK = "predictions.jsonl", "predictions.json", "predictions.csv", ".predictions.lock"
COCO = "predictions_coco.json"
"""The other files in a folder of results."""

# Names may have 255 bytes; what is written beside a name until it is whole has some more.
_LONGEST = 230
_TOLD = 5


def find_files(arguments: Sequence[str], tell_problem: Callable[[str], object]) -> list[pathlib.Path]:
    """The files that arguments stand for: themselves, those below a folder, or those that a pattern matches.

    Of folders, and of folders that a pattern matches, photos and videos are taken; others are told on stderr. So are
    results of earlier calls, which are never taken.

    Args:
      arguments: Files, folders and patterns.
      tell_problem: Is called with a line for each argument that stands for none, and each folder that cannot be read.
    """
    files: dict[str, pathlib.Path] = {}
    for argument in arguments:
        found = _Search(argument, tell_problem).files()
        if not found:
            tell_problem(f"{argument}: there are no photos or videos")
        for file in found:
            # However its folder is called; a link has a name of its own.
            files.setdefault(os.path.join(os.path.realpath(file.parent), file.name), file)
    return list(files.values())


class _Search:
    """The files that one argument stands for."""

    def __init__(self, argument: str, tell_problem: Callable[[str], object]) -> None:
        self._argument, self._tell_problem = argument, tell_problem
        self._visited: set[str] = set()
        self._of_results: dict[str, bool] = {}

    def files(self) -> list[pathlib.Path]:
        """What is found, in order."""
        if glob.has_magic(self._argument) and not os.path.lexists(self._argument):
            return self._matching()
        path = pathlib.Path(self._argument)
        return self._in_folder(path) if os.path.isdir(path) else self._without_results([path])

    def _matching(self) -> list[pathlib.Path]:
        """The files that a pattern matches, of every ending, and the photos and videos in folders that it matches."""
        found: list[pathlib.Path] = []
        for path in map(pathlib.Path, matching(self._argument, self._tell_unreadable)):
            if os.path.isdir(path):
                found += self._in_folder(path)
            elif (kind := kind_of(path)) == "a file":
                found.append(path)
            else:
                say(f"{self._argument}: passed over {path.name} ({kind})", error=True)
        return self._without_results(found)

    def _in_folder(self, folder: pathlib.Path) -> list[pathlib.Path]:
        """The photos and videos below a folder, sorted; of folders that were visited before, none."""
        found: list[pathlib.Path] = []
        results: list[str] = []
        others: list[str] = []
        for root, folders, names in os.walk(folder, onerror=self._tell_unreadable):
            if (real := os.path.realpath(root)) in self._visited:
                folders.clear()
                continue
            self._visited.add(real)
            others += [f"{name} (a link to a folder)" for name in folders if os.path.islink(os.path.join(root, name))]
            for name in names:
                file = pathlib.Path(root, name)
                if _is_result(name) and self._is_of_results(real):
                    results.append(name)
                elif (kind := kind_of(file)) != "a file":
                    others.append(f"{name} ({kind})")
                elif file.suffix.lower() in photos.ENDINGS or is_video(file):
                    found.append(file)
                else:
                    others.append(name)
        _tell(str(folder), others, "that are no photos or videos")
        _tell(str(folder), results, "of earlier results")
        return sorted(found)

    def _without_results(self, files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
        """The files that are no results."""
        results = {
            file for file in files if _is_result(file.name) and self._is_of_results(os.path.realpath(file.parent))
        }
        _tell(self._argument, [file.name for file in results], "of earlier results")
        return [file for file in files if file not in results]

    def _is_of_results(self, folder: str) -> bool:
        """Whether a folder, by its real path, has predictions in it, or lies below one that has."""
        if folder not in self._of_results:
            here = any(os.path.lexists(os.path.join(folder, name)) for name in (LOG, JSON))
            above = os.path.dirname(folder)
            self._of_results[folder] = here or (above != folder and self._is_of_results(above))
        return self._of_results[folder]

    def _tell_unreadable(self, error: OSError) -> None:
        self._tell_problem(f"{error.filename}: the folder cannot be read: {error.strerror}")


def _is_result(name: str) -> bool:
    if name.startswith(".") and name.endswith((".part", ".incomplete")):  # What a killed process leaves.
        return True
    return name in (LOG, JSON, CSV, COCO, LOCK) or pathlib.PurePath(name).stem.endswith(SUFFIX)


def kind_of(file: pathlib.Path) -> str:
    """`a file`, `a folder`, `a FIFO`, ...; what cannot be looked at, as a link to nothing, is a file."""
    try:
        return photos.kind_of_file(file)
    except OSError:
        return "a file"


def _tell(where: str, names: Sequence[str], what: str) -> None:
    if names:
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        shown = ", ".join(sorted(names)[:_TOLD])
        say(f"{where}: passed over {counted(len(names), 'file')} {what}: {shown}{more}", error=True)


def counted(number: int, noun: str) -> str:
    """`no faces`, `1 face`, `2 faces`."""
    return f"{number or 'no'} {noun}{'s' * (number != 1)}"


def printable(name: str) -> str:
    r"""A name for a text file: bytes that are no UTF-8 become `\xe9`, and a backslash `\\` for that to be told apart.

    On Windows, where names are text and hold backslashes, they stay as they are.
    """
    data = os.fsencode(name)
    return (data if os.sep == "\\" else data.replace(b"\\", b"\\\\")).decode("utf-8", "backslashreplace")


def real_name(text: str) -> str:
    """The name that `printable` gave, as Python opens it."""
    data = text.encode("utf-8", "surrogateescape")
    if os.sep != "\\":
        data = re.sub(rb"\\(?:x([0-9a-f]{2})|\\)", lambda m: bytes.fromhex(m[1].decode()) if m[1] else b"\\", data)
    return os.fsdecode(data)


def picture_path(named: Any) -> str | None:
    """The path of a picture from a log, from the folder of results; None for one that is none, or leads out of it."""
    path = pathlib.PurePath(real_name(named) if isinstance(named, str) else "")
    return None if path.is_absolute() or ".." in path.parts or not path.stem else str(path)


def has_table(folder: pathlib.Path) -> bool:
    """Whether there is a table of results in a folder, with something in it."""
    table = folder / JSON
    return table.exists() and table.stat().st_size > len("[]\n")


def is_there(out: pathlib.Path, picture: str) -> bool:
    """Whether there is a picture in the folder of results, and no link on the way to it."""
    try:
        check_place(out, out / picture)
        return (out / picture).is_file()
    except OSError:
        return False


def picture_names(files: Sequence[pathlib.Path], taken: Mapping[str, pathlib.Path] | None = None) -> list[pathlib.Path]:
    """A path for the picture of each file, below a folder for all of them and without ending.

    It is the file's own name with as many folders in front as tell it from the others, and with its ending where only
    that does. Names that are too long are cut, and have a checksum at their end.

    Args:
      files: The files.
      taken: What was given to files before, by their absolute paths; it stays.
    """
    full = [os.path.abspath(file) for file in files]
    names = dict(taken or {})
    used = {_same(name) for name in names.values()}
    parts = {file: pathlib.PurePath(file).relative_to(pathlib.PurePath(file).anchor).parts for file in full}
    waiting = [file for file in parts if file not in names]
    deepest = max(map(len, parts.values()), default=0)
    for ending, depth in itertools.product((False, True), range(1, deepest + 1)):
        if not waiting:
            break
        tails = {file: _tail(parts[file], depth, ending) for file in parts}
        count = collections.Counter(map(_same, tails.values()))
        for file in waiting:
            same = _same(tails[file])
            if count[same] == 1 and same not in used:
                names[file] = tails[file]
                used.add(same)
        waiting = [file for file in waiting if file not in names]
    for file in waiting:  # Only the case of letters, or what was cut, tells them apart.
        names[file] = pathlib.Path(f"{_cut(pathlib.PurePath(file).name)}~{_checksum(file)}{SUFFIX}")
    return [names[file] for file in full]


def _tail(parts: tuple[str, ...], depth: int, ending: bool) -> pathlib.Path:
    """The name of a picture by the last `depth` parts of a file's path, with or without its ending."""
    *folders, name = parts[-depth:]
    return pathlib.Path(*folders, _cut(name if ending else pathlib.PurePath(name).stem) + SUFFIX)


def _cut(name: str) -> str:
    """A name that leaves room for what is put behind it."""
    if len(os.fsencode(name)) + len(SUFFIX) <= _LONGEST:
        return name
    kept = name
    while len(os.fsencode(kept)) > _LONGEST - 2 * len(SUFFIX):
        kept = kept[:-1]
    return f"{kept}~{_checksum(name)}"


def _checksum(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:8]


def _same(name: pathlib.Path) -> str:
    """Equal for names that some file systems take for one."""
    return unicodedata.normalize("NFC", str(name)).casefold()
