"""The models of a report: how they were trained, and their results on faces, in groups of one protocol."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from jaxlm import checkpoints, models, tasks
from jaxlm.checkpoints import Trained
from jaxlm.checkpoints.identity import model_identity
from jaxlm.drawing import pictures
from jaxlm.evaluation import cost, judging
from jaxlm.evaluation.error_table import ErrorRow
from jaxlm.evaluation.stored import last_evaluation
from jaxlm.files import Archive
from jaxlm.landmarks import Scheme
from jaxlm.runtime.progress import read_metrics
from jaxlm.styles import translation, translator_report


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A training run, or the model of a file of weights.

    Attributes:
      name: The end of its path, as long as it takes to tell it from the others of a report.
      folder: The folder of its results: the workdir, or runs/NAME for a file of weights NAME.npz.
      trained: The model.
      summary: Layers, parameters and multiply-accumulates.
      history: The rows of its `metrics.jsonl`; none for a file of weights.
      saved: When the model was saved.
    """

    name: str
    folder: pathlib.Path
    trained: Trained
    summary: cost.Summary
    history: Sequence[Mapping[str, float | str]]
    saved: datetime.datetime

    @property
    def translates(self) -> bool:
        return self.trained.config.model.name in models.TRANSLATORS


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """The result of a run on some faces.

    Attributes:
      run: The run.
      protocol: All that numbers depend on besides the run, by what each line is about.
      names: The names of the faces, as far as they are known.
      folder: The folder it was read from, where the faces are not at hand; None if the run was judged anew.
      identity: Checksums of the faces, as far as they are known; see `identity_of`.
    """

    run: Run
    protocol: Mapping[str, str]
    names: tuple[str, ...]
    folder: pathlib.Path | None
    identity: Mapping[str, str]


@dataclasses.dataclass(frozen=True, eq=False)
class Detection(Result):
    """The result of a detector.

    Attributes:
      rows: The table, one row a subset.
      nme: The NME of each face [n], fractions.
      worst: A PNG file of the worst faces.
      evaluation: The whole evaluation; None where the result was read from a folder.
    """

    rows: Sequence[ErrorRow]
    nme: np.ndarray
    worst: bytes
    evaluation: judging.Evaluation | None

    @property
    def scheme(self) -> Scheme:
        return self.run.trained.scheme


@dataclasses.dataclass(frozen=True, eq=False)
class Translation(Result):
    """The result of a translator.

    Attributes:
      values: The values of `translator_report.ROWS`.
      transfers: A PNG file of a grid of styles and structures.
    """

    values: Mapping[str, float]
    transfers: bytes


ResultT = TypeVar("ResultT", bound=Result)

_WORST = 12


def open_runs(paths: Sequence[pathlib.Path], step: int | None = None, head: str | None = None) -> list[Run]:
    """The runs and files of weights at some paths; for `step` and `head` see `checkpoints.open_model`.

    Raises:
      FileNotFoundError, CheckpointError, ValueError: See `checkpoints.open_models`.
    """
    paths = list(dict.fromkeys(map(checkpoints.absolute, paths)))
    opened = checkpoints.open_models(paths, step=step, head=head)
    return [_as_run(name, path, trained) for name, path, trained in zip(short_names(paths), paths, opened, strict=True)]


def short_names(paths: Sequence[pathlib.Path]) -> list[str]:
    """The end of each of several different paths, as long as it takes to tell it from the others."""

    def end(path: pathlib.Path, length: int) -> str:
        return "/".join(path.parts[-length:])

    def is_unique(path: pathlib.Path, length: int) -> bool:
        return sum(end(path, length) == end(other, length) for other in paths) == 1

    return [end(path, next(length for length in itertools.count(1) if is_unique(path, length))) for path in paths]


def _as_run(name: str, path: pathlib.Path, trained: Trained) -> Run:
    config, folder = trained.config, checkpoints.results_folder(path)
    weights, metrics_file = checkpoints.is_weights(path), folder / "metrics.jsonl"
    saved = checkpoints.resolved(path) if weights else checkpoints.directory_of(path) / str(trained.step)
    channels = tasks.structure_channels(config.task, config.model, trained.scheme)
    return Run(
        name=name,
        folder=folder,
        trained=trained,
        summary=cost.summarise(trained.model, config.model.input_size, channels),
        history=read_metrics(metrics_file) if not weights and metrics_file.exists() else [],
        saved=datetime.datetime.fromtimestamp(saved.stat().st_mtime),
    )


def result_of(run: Run, dataset: str | None, data_dir: str | None, split: str | None) -> Result | None:
    """The result of a run on the faces that `dataset`, `data_dir` and `split` name, by default those it is judged by.

    Where these are not at hand, and no `dataset` was asked for, the result of the last evaluation of the same weights
    in the run's folder is taken; None if there is none.

    Raises:
      FileNotFoundError: `dataset` is not prepared.
      ValueError: There is no such split, or its points do not fit the run.
    """
    try:
        return (_translate if run.translates else _detect)(run, dataset, data_dir, split)
    except FileNotFoundError:
        if dataset is not None:
            raise
        return _stored(run, split)


def _detect(run: Run, dataset: str | None, data_dir: str | None, split: str | None) -> Detection:
    evaluation = judging.evaluate_model(run.trained, run.name, dataset, data_dir, split)
    return Detection(
        run=run,
        protocol=_without_run(evaluation.protocol),
        names=evaluation.faces.names,
        folder=None,
        identity=evaluation.identity,
        rows=evaluation.rows,
        nme=evaluation.nme,
        worst=pictures.encode(".png", judging.worst_faces(evaluation, _WORST)),
        evaluation=evaluation,
    )


def _translate(run: Run, dataset: str | None, data_dir: str | None, split: str | None) -> Translation:
    judged = translator_report.judge_translator(run.trained, run.name, dataset, data_dir, split)
    grid = translator_report.transfers(translation.as_translator(run.trained), judged.faces)
    protocol = _without_run(judged.protocol)
    return Translation(
        run=run,
        protocol=protocol,
        names=judged.faces.names,
        folder=None,
        identity=judged.identity,
        values=judged.metrics,
        transfers=pictures.encode(".png", grid),
    )


def _stored(run: Run, split: str | None) -> Result | None:
    """The last evaluation of the run's weights in its folder, of `split` if one is given."""
    found = last_evaluation(run.folder / "evaluation", model_identity(run.trained), split)
    if found is None:
        return None
    folder, document = found
    protocol = _without_run(document.protocol)
    if run.translates:
        if missing := [name for name in translator_report.ROWS if name not in document.figures]:
            raise ValueError(f"{folder / 'metrics.json'} has no {', '.join(missing)}; judge {run.name} again")
        return Translation(
            run=run,
            protocol=protocol,
            names=(),
            folder=folder,
            identity=document.faces,
            values=document.figures,
            transfers=_read_png(folder / "transfer.png"),
        )
    predictions = Archive(folder / "predictions.npz", "not what jaxlm evaluate wrote")
    names = predictions.read("names", "U", (None,))
    return Detection(
        run=run,
        protocol=protocol,
        names=tuple(names.tolist()),
        folder=folder,
        identity=document.faces,
        rows=document.rows,
        nme=predictions.read("nme", "f", names.shape),
        worst=_read_png(folder / "worst.png"),
        evaluation=None,
    )


def _read_png(path: pathlib.Path) -> bytes:
    """The bytes of a PNG file; raises ValueError where it is none."""
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"{path} is no PNG file; judge the model again")
    return content


def _without_run(protocol: Mapping[str, str]) -> dict[str, str]:
    return {name: line for name, line in protocol.items() if name != "run"}


def groups(results: Sequence[ResultT]) -> list[list[ResultT]]:
    """The results whose numbers can be compared: those of one protocol on the same faces, as their checksums say."""
    found: dict[object, list[ResultT]] = {}
    for result in results:
        faces = (result.names, tuple(result.identity.items()))
        found.setdefault((tuple(result.protocol.items()), faces), []).append(result)
    return list(found.values())
