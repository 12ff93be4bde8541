"""Where results go: never over those of another protocol, of other faces or of another model."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from jaxlm.data_pipelines.input import Faces
from jaxlm.files import read_json

_RESULTS = ("metrics.json", "sensitivity.json", "disentangle.json")


def title_of(faces: Faces, *asked: str | None) -> str:
    """`DATASET-SPLIT`, with what else was asked for behind it."""
    return "-".join([faces.dataset, faces.split, *filter(None, asked)])


def free_folder(parent: pathlib.Path, title: str, about: Mapping[str, Any], file: str = "metrics.json") -> pathlib.Path:
    """The folder in `parent` for results called `title`: a new one, or one with such results; see `is_free`.

    All results in it, as an evaluation and the sensitivity to boxes, are of the same faces and (first) model.
    What a name must not hold in a folder's name, such as a / in the name of a data set, becomes _.
    """
    name = re.sub(r"[^\w.+\[\]-]", "_", title).lstrip(".") or "_"
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        others = (folder / other for other in _RESULTS if other != file)
        if is_free(folder / file, about) and all(_may_be_beside(other, about) for other in others):
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


def _may_be_beside(file: pathlib.Path, about: Mapping[str, Any]) -> bool:
    """Whether a file of results of another kind does not exist, or is of the same faces and model."""
    if not file.exists():
        return True
    with contextlib.suppress(ValueError):
        results = read_json(file, dict)
        pairs = ((results.get("faces"), about.get("faces")), (_first_model(results), _first_model(about)))
        return all(None in pair or pair[0] == pair[1] for pair in pairs)
    return False


def _first_model(results: Mapping[str, Any]) -> Any:
    """The checksums of the model, or of the first of several, that results are of; older ones lack them."""
    models = results.get("models")
    return next(iter(models.values()), None) if isinstance(models, dict) else results.get("model")
