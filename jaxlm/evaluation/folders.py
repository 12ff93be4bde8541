"""Where results go: never over those of another protocol, of other faces or of another model."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from jaxlm.files import read_json


def free_folder(parent: pathlib.Path, title: str, about: Mapping[str, Any], file: str = "metrics.json") -> pathlib.Path:
    """The folder in `parent` for results called `title`: a new one, or one with such results; see `is_free`.

    What a name must not hold in a folder's name, such as a / in the name of a data set, becomes _.
    """
    name = re.sub(r"[^\w.+\[\]-]", "_", title).lstrip(".") or "_"
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        if is_free(folder / file, about):
            return folder
    raise AssertionError("numbers do not end")


def check_free(file: pathlib.Path, about: Mapping[str, Any]) -> None:
    """Raises FileExistsError where a file of results, in a folder that was asked for, holds others; see `is_free`."""
    if not is_free(file, about):
        raise FileExistsError(f"{file} holds other results, and stays; name another folder with --out")


def is_free(file: pathlib.Path, about: Mapping[str, Any]) -> bool:
    """Whether a file of results does not exist, or holds results of the same kind, to be replaced by new ones.

    Args:
      file: A JSON file of results, which has the fields of `about` beside its numbers.
      about: What the results are of: their `protocol`, and checksums of `faces` and models. Older results do not have
        all of it.
    """
    if not file.exists():
        return True
    with contextlib.suppress(ValueError):  # What is damaged stays where it is.
        results = read_json(file, dict)
        return "protocol" in results and all(results.get(key, value) == value for key, value in about.items())
    return False
