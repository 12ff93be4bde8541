"""The runs of a study: their order, configs, commands and folders."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import pathlib
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

from jaxlm import experiment, models
from jaxlm.config import Config
from jaxlm.data_pipelines import prepared
from jaxlm.evaluation import VALIDATION
from jaxlm.landmarks import split_names
from jaxlm.overrides import override
from jaxlm.studies.comparison.file import Study, chain_of, check_owned


@dataclasses.dataclass(frozen=True)
class Run:
    """A training of a study.

    Attributes:
      arm: The arm's name.
      trial: Which of the arm's trials, from 1; None where it has none.
      seed: The seed.
      config: The whole config.
      words: The command line of `jaxlm train`, without the workdir and what it starts from.
      source: The name of the run that it starts from; None where there is none.
    """

    arm: str
    trial: int | None
    seed: int
    config: Config
    words: tuple[str, ...]
    source: str | None

    @property
    def name(self) -> str:
        """The run's folder below the workdir, such as `sepbn/trial2/seed0`."""
        return name_of(self.arm, self.trial, self.seed)

    def folder(self, workdir: pathlib.Path) -> pathlib.Path:
        """The folder of its files, the workdir of its training."""
        return workdir / self.name

    def command(self, workdir: pathlib.Path) -> str:
        """The command that trains this run alone."""
        start = ["--init-from", str(self.config.init_from)] if self.source else []
        return f"jaxlm train {shlex.join([*self.words, *start, '--workdir', str(self.folder(workdir))])}"


def name_of(arm: str, trial: int | None, seed: int) -> str:
    """The name of a run."""
    return "/".join([arm, *([] if trial is None else [f"trial{trial}"]), f"seed{seed}"])


def make_plan(study: Study, workdir: pathlib.Path, common: Sequence[str] = ()) -> list[Run]:
    """All runs, in the order of the work: seed by seed, so that all arms have a first result early.

    Args:
      study: The study.
      workdir: The folder of its runs; runs of a chain start from folders in it.
      common: Overrides of all runs, which count more than those in the file.

    Raises:
      ValueError: An experiment or a setting is not known, two arms or trials are the same, or an arm cannot be judged.
    """
    configs, words = {}, {}
    for arm in study.arms:
        check_owned(common, arm, study.arms[arm], "what stands behind --")
        for trial in _trials(study, arm):
            words[arm, trial] = _words(study, arm, trial, common)
            with _told_for(arm, trial):
                configs[arm, trial] = _config(words[arm, trial])
                _check(configs[arm, trial], study.split == VALIDATION or trial is not None)
                _check_split(study.split, configs[arm, trial].data.train_split)
    _check_different(study, configs)
    runs = []
    for seed in study.seeds:
        # Trials outside of arms: how long each arm takes is known after the first trial.
        for arm, trial in sorted(configs, key=lambda key: (key[1] or 0, len(chain_of(study, key[0])))):
            config, its_words = configs[arm, trial], [*words[arm, trial], "--seed", str(seed)]
            source = None
            if (before := study.arms[arm].init_from) is not None:
                source = name_of(before, trial, seed)
                config = dataclasses.replace(config, init_from=str(workdir / source))
            runs.append(Run(arm, trial, seed, dataclasses.replace(config, seed=seed), tuple(its_words), source))
    return runs


def _trials(study: Study, arm: str) -> Sequence[int | None]:
    return range(1, len(study.trials_of(arm)) + 1) or [None]


def _words(study: Study, arm: str, trial: int | None, common: Sequence[str]) -> list[str]:
    settings = [study.settings, study.arms[arm].settings]
    settings += [] if trial is None else [study.trials_of(arm)[trial - 1]]
    overrides = [word for text in settings for word in shlex.split(text)]
    return ["--experiment", study.arms[arm].experiment, *overrides, *common]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are raised."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _config(words: Sequence[str]) -> Config:
    """The config of a command line; raises ValueError where it is none."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return override(_Parser(), words[1], words[2:])
    except SystemExit:  # tyro's, of values that are of another type than their field.
        told = " ".join(word for word in said.getvalue().split() if any(map(str.isalnum, word)))
        raise ValueError(told or "its settings cannot be read") from None


@contextlib.contextmanager
def _told_for(arm: str, trial: int | None) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"arm {label_of(arm, trial)}: {error}") from None


def label_of(arm: str, trial: int | None) -> str:
    """An arm and its trial, in words."""
    return arm if trial is None else f"{arm}, trial {trial}"


def _check(config: Config, validates: bool) -> None:
    """Raises ValueError where the runs of a config cannot be compared, or hold no faces out and need some."""
    if config.model.name in models.TRANSLATORS:
        raise ValueError(f"model {config.model.name} is a translator; a study compares detectors")
    if validates and not config.data.validation_percent:
        raise ValueError("no faces are held out to judge by; give --data.validation-percent more than 0")


def _check_split(split: str, train_split: str) -> None:
    """Raises ValueError where the faces that judge are among those to train on."""
    for ours in prepared.SPLIT_UNIONS.get(split, split).split("+"):
        for theirs in prepared.SPLIT_UNIONS.get(train_split, train_split).split("+"):
            same_split = ours.partition("[")[0] == theirs.partition("[")[0]
            if same_split and (ours == theirs or not ("[" in ours and "[" in theirs)):
                raise ValueError(
                    f"split = {split!r} judges by faces of {theirs} that it is trained on; take {VALIDATION!r}, the"
                    " faces held out, or a split such as 'test'"
                )


def _check_different(study: Study, configs: dict[tuple[str, int | None], Config]) -> None:
    """Raises ValueError where two arms or trials are one and the same training."""
    seen: dict[str, str] = {}
    for (arm, trial), config in configs.items():
        same = f"{study.arms[arm].init_from} {experiment.to_json(config)}"
        if same in seen:
            raise ValueError(f"{seen[same]} and {label_of(arm, trial)} are the same training; leave one out")
        seen[same] = label_of(arm, trial)


def missing_sets(runs: Iterable[Run]) -> list[str]:
    """A sentence for each set or pack of the runs that is not there; rendered faces are made when they are wanted."""
    told: dict[str, None] = {}
    for data in {run.config.data: None for run in runs}:
        sets = [] if data.dataset == "synthetic" else split_names(data.dataset)
        for dataset in [*sets, *([data.styled] if data.styled else [])]:
            try:
                prepared.scheme_of(dataset, data.data_dir)
            except FileNotFoundError as error:
                told[str(error)] = None
    return list(told)
