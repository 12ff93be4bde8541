"""The results of a study: a row for each arm, by the trial that validation chose, and differences of pairs of arms."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm.checkpoints.identity import changes
from jaxlm.studies.comparison.file import Study, chain_of
from jaxlm.studies.comparison.outcomes import Result, key_of
from jaxlm.studies.comparison.planning import name_of
from jaxlm.studies.intervals import PairedDifference, SeedSummary, paired_difference, summarise_seeds


class ArmResult(NamedTuple):
    """A row of the table.

    Attributes:
      arm: The arm's name.
      trial: The trial that was chosen, from 1; None where the arm has none.
      tried: The mean NME of the validation over the seeds, in per cent, by trial; of those that finished most seeds.
      seeds: The seeds of the runs that are finished.
      by_seed: The NME of each of these in per cent, by the shift of the boxes in per cent.
      summary: Means and spread over the seeds, by the shift likewise.
      steps: The training steps, with those of the runs that it starts from.
      epochs: The epochs of the last training of this chain.
      best_epochs: For each seed the epoch whose checkpoint is judged, the best by validation.
      parameters: The number of trained numbers.
      seconds: The mean time of a run, without those that it starts from; None where none is known.
    """

    arm: str
    trial: int | None
    tried: dict[int, float]
    seeds: list[int]
    by_seed: dict[str, list[float]]
    summary: dict[str, SeedSummary]
    steps: int
    epochs: int
    best_epochs: list[float]
    parameters: int
    seconds: float | None


class Difference(NamedTuple):
    """How two arms differ, by the runs of the seeds that both have; below 0 the first is better.

    Attributes:
      arm, other: The two.
      shift: By how much boxes are off, in per cent of their side.
      seeds: The seeds.
      found: The difference.
    """

    arm: str
    other: str
    shift: float
    seeds: list[int]
    found: PairedDifference

    @property
    def verdict(self) -> str:
        """The difference in a few words."""
        if not self.found.is_clear:
            return "not clear" + (" (one seed)" if self.found.seeds is None else "")
        return f"{self.arm if self.found.mean < 0 else self.other} is better"


Results = Mapping[str, Result]


def choose_trial(study: Study, arm: str, results: Results) -> tuple[int | None, dict[int, float]]:
    """The trial whose validation is the best, and the means of those that were compared.

    Compared are the trials that finished most of the seeds, by the mean over the seeds of each run's best NME in
    validation. Each arm has equally many trials; what is best by chance is best for all alike.
    """
    trials = range(1, len(study.trials_of(arm)) + 1)
    found = {
        trial: [min(nme for _, nme in its.curve) for its in _of_arm(study, arm, trial, results).values()]
        for trial in trials
    }
    most = max(map(len, found.values()), default=0)
    if not most:
        return None, {}
    means = {trial: 100 * float(np.mean(best)) for trial, best in found.items() if len(best) == most}
    return min(means, key=means.__getitem__), means


def _of_arm(study: Study, arm: str, trial: int | None, results: Results) -> dict[int, Result]:
    """The finished runs of an arm, by seed."""
    named = {seed: results.get(name_of(arm, trial, seed)) for seed in study.seeds}
    return {seed: result for seed, result in named.items() if result}


def results_of(study: Study, results: Results, thresholds: Sequence[float]) -> list[ArmResult]:
    """The rows of the arms that have a finished run.

    Args:
      study: The study.
      results: The results of finished runs, by the runs' names.
      thresholds: The NMEs, fractions, at which FR and AUC are taken.
    """
    rows = []
    for arm in study.arms:
        trial, tried = choose_trial(study, arm, results)
        if not (runs := _of_arm(study, arm, trial, results)):
            continue
        errors = {key_of(shift): _errors(runs.values(), shift) for shift in study.shifts}
        one, seed = next(iter(runs.values())), next(iter(runs))
        before = [results.get(name_of(other, trial, seed)) for other in chain_of(study, arm)[:-1]]
        times = [result.seconds for result in runs.values() if result.seconds is not None]
        rows.append(
            ArmResult(
                arm=arm,
                trial=trial,
                tried=tried,
                seeds=list(runs),
                by_seed={key: (100 * nme.mean(axis=1)).tolist() for key, nme in errors.items()},
                summary={key: summarise_seeds(nme, thresholds) for key, nme in errors.items()},
                steps=one.steps + sum(result.steps for result in before if result),
                epochs=one.epochs,
                best_epochs=[result.best_step * result.epochs / result.steps for result in runs.values()],
                parameters=one.parameters,
                seconds=float(np.mean(times)) if times else None,
            )
        )
    return rows


def _errors(results: Iterable[Result], shift: float) -> np.ndarray:
    """Errors [seeds, faces] under a shift."""
    return np.asarray([result.errors[key_of(shift)] for result in results], np.float32)


def differences_of(study: Study, rows: Sequence[ArmResult], results: Results) -> list[Difference]:
    """The differences of the pairs that the study names, under each shift, where both arms have a seed in common."""
    trials = {row.arm: row.trial for row in rows}
    found = []
    for arm, other in study.compare:
        if arm in trials and other in trials:
            ours, theirs = (_of_arm(study, name, trials[name], results) for name in (arm, other))
            if seeds := [seed for seed in ours if seed in theirs]:
                for shift in study.shifts:
                    pair = (_errors([its[seed] for seed in seeds], shift) for its in (ours, theirs))
                    found.append(Difference(arm, other, 100 * shift, seeds, paired_difference(*pair)))
    return found


def check_judges(results: Results) -> None:
    """Raises ValueError where runs were judged by different faces."""
    named = iter(results.items())
    first, one = next(named)
    for name, result in named:
        if (result.faces, result.identity) != (one.faces, one.identity):
            raise ValueError(
                f"{first} and {name} were judged by different faces: the data set has changed between them; delete the"
                " folder of the one with the wrong data, and give the same command again"
            )


def check_same_faces(results: Results, identity: Mapping[str, str], workdir: pathlib.Path) -> None:
    """Raises ValueError where finished runs were judged by other faces than those of today; their folders are named.

    Args:
      results: The results of finished runs, by the runs' names.
      identity: Checksums of today's faces.
      workdir: The folder of the runs.
    """
    changed = {name: changes(result.identity, identity) for name, result in results.items()}
    if others := {name: about for name, about in changed.items() if about}:
        about = ", ".join(next(iter(others.values())))
        folders = "\n  ".join(str(workdir / name) for name in others)
        raise ValueError(
            f"the faces that judge have changed since these runs were judged ({about}); bring the old data back,"
            f" or delete these folders, so that their runs are trained again:\n  {folders}"
        )
