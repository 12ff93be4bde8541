"""Where the results of an evaluation go: never over those of another protocol or of other faces."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import re
from collections.abc import Mapping

from jaxlm.files import read_json


def free_folder(
    parent: pathlib.Path, title: str, protocol: Mapping[str, str], identity: Mapping[str, str]
) -> pathlib.Path:
    """The folder in `parent` for results called `title`: a new one, or one with such results.

    Those are by the same protocol and on the same faces, by their `identity_of`; older results say nothing of theirs.
    What a name must not hold in a folder's name, such as a / in the name of a data set, becomes _.
    """
    name = re.sub(r"[^\w.+\[\]-]", "_", title).lstrip(".") or "_"
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        stored = folder / "metrics.json"
        if not stored.exists():
            return folder
        with contextlib.suppress(ValueError):  # What is damaged stays where it is.
            results = read_json(stored, dict)
            if results.get("protocol") == dict(protocol) and results.get("faces", identity) == dict(identity):
                return folder
    raise AssertionError("numbers do not end")
