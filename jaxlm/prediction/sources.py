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
import sys
import unicodedata
from collections.abc import Mapping, Sequence

from jaxlm.landmarks import photos
from jaxlm.prediction.video_kinds import is_video

SUFFIX = "_landmarks"
"""What the picture of a file has behind the file's own name."""
LOG, JSON, CSV, LOCK = "predictions.jsonl", "predictions.json", "predictions.csv", ".predictions.lock"
"""The other files in a folder of results."""

# Names may have 255 bytes; what is written beside a name until it is whole has some more.
_LONGEST = 230
_TOLD = 5


def find_files(arguments: Sequence[str]) -> list[pathlib.Path]:
    """The files that arguments stand for: themselves, those below a folder, or those that a pattern matches.

    Of folders, and of folders that a pattern matches, photos and videos are taken; others are told on stderr. So are
    results of earlier calls, which are never taken.

    Raises:
      ValueError: A folder or pattern stands for none.
    """
    files: dict[str, pathlib.Path] = {}
    for argument in arguments:
        path = pathlib.Path(argument)
        if glob.has_magic(argument) and not path.exists():
            found = _matching(argument)
        else:
            found = _in_folder(path) if path.is_dir() else _without_results(argument, [path])
        if not found:
            raise ValueError(f"{argument}: there are no photos or videos")
        for file in found:
            files.setdefault(os.path.abspath(file), file)
    return list(files.values())


def _matching(pattern: str) -> list[pathlib.Path]:
    """The files that a pattern matches, of every ending, and the photos and videos in folders that it matches."""
    found: list[pathlib.Path] = []
    folder, last = os.path.split(pattern)
    literal = os.path.join(glob.escape(folder), last) if os.path.isdir(folder) else pattern  # A folder called `[1]`.
    for name in sorted(glob.glob(literal, recursive=True)):
        path = pathlib.Path(name)
        if path.is_dir():
            found += _in_folder(path)
        elif (kind := kind_of(path)) == "a file":
            found.append(path)
        else:
            print(f"{pattern}: passed over {path.name} ({kind})", file=sys.stderr)
    return _without_results(pattern, found)


def _in_folder(folder: pathlib.Path) -> list[pathlib.Path]:
    """The photos and videos below a folder, sorted."""
    found: list[pathlib.Path] = []
    results: list[str] = []
    others: list[str] = []
    of_results: dict[str, bool] = {}
    for root, folders, names in os.walk(folder, onerror=lambda error: print(f"warning: {error}", file=sys.stderr)):
        of_results[root] = of_results.get(os.path.dirname(root), False) or not {LOG, JSON}.isdisjoint(names)
        others += [f"{name} (a link to a folder)" for name in folders if os.path.islink(os.path.join(root, name))]
        for name in names:
            file = pathlib.Path(root, name)
            if of_results[root] and _is_result(name):
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


def _without_results(argument: str, files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The files that are no results; those lie in a folder with predictions."""
    results = [
        file for file in files if _is_result(file.name) and any((file.parent / name).exists() for name in (LOG, JSON))
    ]
    _tell(argument, [file.name for file in results], "of earlier results")
    return [file for file in files if file not in set(results)]


def _is_result(name: str) -> bool:
    if name.startswith(".") and name.endswith((".part", ".incomplete")):  # What a killed process leaves.
        return True
    return name in (LOG, JSON, CSV, LOCK) or pathlib.PurePath(name).stem.endswith(SUFFIX)


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
        print(f"{where}: passed over {counted(len(names), 'file')} {what}: {shown}{more}", file=sys.stderr)


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
