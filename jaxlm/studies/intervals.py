"""What the errors of several runs say together: means and spreads over seeds, paired differences, their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxlm.tasks import metrics

RESAMPLES = 5_000
"""How often `bootstrap` draws faces."""

_SHARE = 0.95

Interval = tuple[float, float]


class SeedSummary(NamedTuple):
    """Runs that differ in their seed: means over the seeds; NME and FR in per cent, AUC in 0..1.

    Attributes:
      nme: The mean NME.
      deviation: The standard deviation of the NME over the seeds; None where there is one.
      failure_rate: FR at each threshold.
      auc: AUC up to each threshold.
    """

    nme: float
    deviation: float | None
    failure_rate: tuple[float, ...]
    auc: tuple[float, ...]


def summarise_seeds(nme: np.ndarray, thresholds: Sequence[float]) -> SeedSummary:
    """The summary of errors [seeds, faces], fractions, as are the thresholds."""
    means = 100 * nme.mean(axis=1)
    everyone = np.ones(nme.shape[1], bool)
    summaries = [metrics.summarise(seed, everyone, thresholds) for seed in nme]
    return SeedSummary(
        nme=float(means.mean()),
        deviation=float(means.std(ddof=1)) if len(means) > 1 else None,
        failure_rate=tuple((100 * np.mean([one.failure_rate for one in summaries], axis=0)).tolist()),
        auc=tuple(np.mean([one.auc for one in summaries], axis=0).tolist()),
    )


class PairedDifference(NamedTuple):
    """The NME of one arm minus that of another, in points of per cent, with 95 % intervals.

    Attributes:
      mean: The mean over faces and seeds.
      faces: The interval over the faces: what other faces would say of these very trainings.
      seeds: The interval over the seeds: what trainings of other seeds would say on these very faces; None for one.
    """

    mean: float
    faces: Interval
    seeds: Interval | None

    @property
    def is_clear(self) -> bool:
        """Whether both intervals leave 0 out, on one side; with one seed nothing is clear."""
        if self.seeds is None:
            return False
        return max(self.faces[1], self.seeds[1]) < 0 or min(self.faces[0], self.seeds[0]) > 0


def paired_difference(ours: np.ndarray, theirs: np.ndarray) -> PairedDifference:
    """The difference of two arms whose errors [S seeds, F faces], fractions, are of the same seeds and faces.

    With d[s, f] = 100 (ours - theirs), the mean is that of all d. The interval over the faces is `bootstrap` of the F
    means of d over the seeds. The interval over the seeds is `t_interval` of the S means of d over the faces.
    """
    difference = 100 * (np.asarray(ours, np.float64) - np.asarray(theirs, np.float64))
    by_seed = difference.mean(axis=1)
    return PairedDifference(
        mean=float(difference.mean()),
        faces=bootstrap(difference.mean(axis=0)),
        seeds=t_interval(by_seed) if len(by_seed) > 1 else None,
    )


def bootstrap(values: np.ndarray) -> Interval:
    """The 95 % percentile interval of the mean of values [n], over resamples of them (Efron, 1979)."""
    rng = np.random.default_rng(0)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (50 - 50 * _SHARE, 50 + 50 * _SHARE))
    return float(low), float(high)


def t_interval(values: np.ndarray) -> Interval:
    """Student's 95 % interval of the mean m of n values, n > 1: m -+ t s / sqrt(n).

    s is their standard deviation, with n - 1 in its denominator, and t the 0.975 quantile of Student's distribution
    with n - 1 degrees of freedom: 12.706 for n = 2, 4.303 for 3, 2.776 for 5.
    """
    half = student_quantile(len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def student_quantile(freedom: int) -> float:
    """The t within which Student's distribution with `freedom` degrees of freedom has 95 % of its mass."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):  # Halves: no digit of a float is left after 53.
        angle = (low + high) / 2
        low, high = (angle, high) if _mass_within(angle, freedom) < _SHARE else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def _mass_within(angle: float, freedom: int) -> float:
    """P(|T| < sqrt(freedom) tan(angle)), a finite sum for whole degrees of freedom (Abramowitz and Stegun, 26.7.3)."""
    odd = freedom % 2
    term = total = math.cos(angle) if odd else 1.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    if not odd:
        return math.sin(angle) * total
    return 2 / math.pi * (angle + (math.sin(angle) * total if freedom > 1 else 0))
