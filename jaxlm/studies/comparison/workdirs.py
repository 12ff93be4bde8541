"""What the workdir of a study remembers: whose it is, what its runs were asked for, and whether that is so today."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import msgspec

from jaxlm import config as config_lib
from jaxlm import experiment
from jaxlm.checkpoints import directory_of
from jaxlm.config import Config
from jaxlm.files import read_json, write_json
from jaxlm.studies.comparison.file import Study
from jaxlm.studies.comparison.planning import Run, label_of

_ASKED, FAILED = "asked.json", "failed.json"
_QUESTION = "question.json"

LOCK = "study.lock"
"""The file that a process locks where it works, in the workdir and in the folders of runs."""


class _Asked(msgspec.Struct):
    """What asked.json holds: the config of a run that was begun, and the run that it starts from."""

    config: dict[str, Any]
    source: str | None


class _Question(msgspec.Struct):
    """What question.json holds: what the study of a workdir asks."""

    question: str


def check_own(study: Study, workdir: pathlib.Path) -> None:
    """Checks that a workdir is new, or that of this study, which its question tells.

    Raises:
      ValueError: It is another study's, or a training's.
      FileExistsError: It has files of the names of the results, and is no study's.
    """
    file = workdir / _QUESTION
    if directory_of(workdir).is_dir() or (workdir / "metrics.jsonl").exists():
        raise ValueError(f"{workdir} is the workdir of a training; a study takes another --workdir")
    if file.exists():
        if (asked := read_json(file, _Question).question) != study.question:
            raise ValueError(
                f"{workdir} is the workdir of another study, {asked!r}; this one asks {study.question!r}. Take another"
                f" --workdir; or, where only the words of the question have changed, delete {file}"
            )
        return
    foreign = [result.name for result in results_in(workdir) if result.exists()]
    if foreign and not (workdir / LOCK).exists():
        raise FileExistsError(f"{workdir} holds {', '.join(foreign)}, and no study; take another --workdir")


def remember_question(study: Study, workdir: pathlib.Path) -> None:
    """Writes whose workdir it is."""
    write_json(workdir / _QUESTION, {"question": study.question})


def results_in(workdir: pathlib.Path) -> list[pathlib.Path]:
    """The files of a study's results: for people, for tables, for programs, and the plot."""
    return [workdir / f"study.{ending}" for ending in ("md", "csv", "json", "png")]


def remember(run: Run, workdir: pathlib.Path) -> None:
    """Writes what a run is into its folder, before it begins."""
    file = run.folder(workdir) / _ASKED
    if not file.exists() or not _has_steps(run, workdir):
        write_json(file, {"config": json.loads(experiment.to_json(run.config)), "source": run.source})


def as_begun(run: Run, workdir: pathlib.Path) -> Run:
    """The run as it goes on: its checkpoints know the folder that it started from by the name of that day.

    The workdir may be spelt otherwise today, or lie elsewhere.

    Raises:
      ValueError: What the run was asked for cannot be read.
    """
    if run.source is None or not _has_steps(run, workdir) or (before := _asked(run, workdir)) is None:
        return run
    return dataclasses.replace(run, config=dataclasses.replace(run.config, init_from=before[0].init_from))


def _has_steps(run: Run, workdir: pathlib.Path) -> bool:
    return any(step.name.isdecimal() for step in directory_of(run.folder(workdir)).glob("*"))


def _asked(run: Run, workdir: pathlib.Path) -> tuple[Config, str | None] | None:
    """The config of a run that was begun, and the run that it starts from; None where it was not."""
    file = run.folder(workdir) / _ASKED
    if not file.exists():
        return None
    stored = read_json(file, _Asked)
    try:
        return experiment.from_json(json.dumps(stored.config)), stored.source
    except ValueError as error:
        raise ValueError(f"{file} cannot be read: {error}") from None


def check_unchanged(runs: Sequence[Run], workdir: pathlib.Path) -> None:
    """Raises ValueError where runs of the workdir were begun with another config; the fields are listed.

    Runs that failed before their first checkpoint do not count: settings that cannot be trained may be mended.
    """
    lines: dict[str, None] = {}
    for run in runs:
        mendable = (run.folder(workdir) / FAILED).exists() and not _has_steps(run, workdir)
        if mendable or (asked := _asked(run, workdir)) is None:
            continue
        before, source = asked
        if source != run.source:
            lines[f"arm {run.arm}: init_from: {source} here, {run.source} asked for"] = None
        # The folder of the source is named by way of the workdir, which may be called otherwise today.
        start = run.config.init_from if run.source else before.init_from
        found = config_lib.differences(dataclasses.replace(before, init_from=start), run.config)
        lines |= dict.fromkeys(f"arm {label_of(run.arm, run.trial)}: {line}" for line in found)
    if lines:
        told = "\n  ".join(lines)
        raise ValueError(
            f"{workdir} holds runs of these arms that were begun otherwise; bring the study's file back, give the arms"
            f" other names, or take another --workdir:\n  {told}"
        )
