"""Finds the evaluations that lie in a folder of results, of one model alone."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping

import msgspec

from jaxlm.evaluation.error_table import ErrorRow
from jaxlm.files import read_json


class StoredEvaluation(msgspec.Struct):
    """A metrics.json: of a detector with `rows`, of a translator with `figures`.

    `faces` and `model` are checksums; see `checkpoints.identity`. Older files have neither.
    """

    protocol: dict[str, str]
    rows: list[ErrorRow] = []  # msgspec copies it.
    figures: dict[str, float] = {}
    faces: dict[str, str] = {}
    model: dict[str, str] = {}


def last_evaluation(
    parent: pathlib.Path, model: Mapping[str, str], split: str | None
) -> tuple[pathlib.Path, StoredEvaluation] | None:
    """The folder and content of the last evaluation in `parent`, of one model and, if it is given, of `split`.

    Several models may share a folder of results: the steps of a run, and files of one name in different folders.

    Raises:
      ValueError: A metrics.json is damaged.
    """
    files = sorted(parent.glob("*/metrics.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files:
        stored = read_json(file, StoredEvaluation)
        if is_of(stored, model) and (split is None or f", {split}: " in stored.protocol.get("data", "")):
            return file.parent, stored
    return None


def is_of(stored: StoredEvaluation, model: Mapping[str, str]) -> bool:
    """Whether an evaluation is that of a model; an older one says nothing of weights, and of a run the step alone."""
    if stored.model:
        return stored.model == dict(model)
    told = re.search(r", step (\d+)(?:, head (.+))?$", stored.protocol.get("run", ""))
    return told is not None and told[1] == model["step"] and told[2] in (None, model["head"])
