"""How far confidences can be trusted: maps fitted to errors, calibration error, and risk by coverage. NumPy alone.

Errors are fractions of a normaliser. Points whose error is NaN, since they have no place, do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from jaxlm.checkpoints import ConfidenceMap
from jaxlm.checkpoints.confidence import Line, logit
from jaxlm.landmarks import Scheme

WITHIN = 0.05
"""Confidence is fitted as the probability that a point is within this share of the normaliser."""

# Weight of the prior in each fit, which keeps lines finite where all points are near.
_RIDGE = 1.0
_STEPS, _DECIMALS, _MOST = 100, 4, 100
# Mean and its derivative by the linear predictor, of Bernoulli trials and of positive errors.
_Mean = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Bins(NamedTuple):
    """Points in bins of equal numbers by their confidence: mean confidence, share that is near, number [bins]."""

    confidence: np.ndarray
    near: np.ndarray
    number: np.ndarray


def fit_confidence(raw: np.ndarray, errors: np.ndarray, scheme: Scheme) -> ConfidenceMap:
    """The meaning of a model's raw scores [n, N] by the errors of its points [n, N], for each part of the scheme.

    Errors are fractions of the usual normaliser of the scheme, `metrics.default_normaliser`.

    Probabilities are logistic in the logit of the score (Platt), errors log-linear in the logit of the probability
    (quasi-Poisson, whose mean is that of the errors). A part's lines are drawn to those of all points by a weak prior,
    and those that would run the other way are flat.
    """
    score, near = logit(raw), near_points(errors)
    whole = _fit(score, near, _bernoulli, Line(1.0, 0.0))
    whole_error = _fit(whole.slope * score + whole.offset, errors, _positive, Line(0.0, float(np.log(WITHIN))))
    lines, error_lines = [whole] * scheme.num_points, [whole_error] * scheme.num_points
    for part in map(list, (scheme.parts or {}).values()):
        line = _fit(score[:, part], near[:, part], _bernoulli, whole)
        line = line if line.slope >= 0 else _flat(score[:, part], near[:, part], _bernoulli, whole)
        known = line.slope * score[:, part] + line.offset
        error_line = _fit(known, errors[:, part], _positive, whole_error)
        if error_line.slope > 0 or line.slope == 0:
            error_line = _flat(known, errors[:, part], _positive, whole_error)
        for point in part:
            lines[point], error_lines[point] = line, error_line
    normaliser: Literal["inter_ocular", "box"] = "inter_ocular" if scheme.eye_corners else "box"
    return ConfidenceMap(WITHIN, normaliser, tuple(lines), tuple(error_lines))


def near_points(errors: np.ndarray, within: float = WITHIN) -> np.ndarray:
    """Whether the error of each point is at most `within`, as 0 or 1; NaN where it is not known."""
    return np.where(np.isnan(errors), np.nan, errors <= within)


def reliability_bins(confidence: np.ndarray, near: np.ndarray, bins: int = 10) -> Bins:
    """Points in `bins` bins of equal numbers, by arrays of one shape; there are less bins where there are less points.

    Args:
      confidence: Probabilities.
      near: Whether each point is near, 0 or 1; NaN where it is not known.
      bins: The number of bins.
    """
    known = ~np.isnan(near)
    order = np.argsort(confidence[known], kind="stable")
    of_bins = [part for part in np.array_split(order, bins) if len(part)]
    confidence, near = confidence[known].astype(np.float64), near[known]
    columns = zip(*((confidence[part].mean(), near[part].mean(), len(part)) for part in of_bins), strict=True)
    return Bins(*map(np.array, columns))


def calibration_error(confidence: np.ndarray, near: np.ndarray, bins: int = 10) -> float:
    """The expected calibration error: by how much mean confidence and share of near points differ in bins, in mean."""
    found = reliability_bins(confidence, near, bins)
    return float(np.average(np.abs(found.confidence - found.near), weights=found.number))


def risk_by_coverage(confidence: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of faces or points [n] that are kept, the surest first, and the mean error [n] of those.

    Args:
      confidence: Of each [n].
      errors: Of each [n]; those that are NaN are left out.
    """
    known = ~np.isnan(errors)
    order = np.argsort(-confidence[known], kind="stable")
    count = np.arange(1, len(order) + 1)
    return count / len(order), np.cumsum(errors[known][order]) / count


def _bernoulli(predictor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = 1 / (1 + np.exp(-predictor))
    return mean, mean * (1 - mean)


def _positive(predictor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = np.exp(predictor)
    return mean, mean


def _fit(x: np.ndarray, y: np.ndarray, mean_of: _Mean, prior: Line) -> Line:
    """The line of a generalised linear model with a canonical link, by Newton's method; NaN in `y` does not count."""
    known = ~np.isnan(y)
    design, target = np.stack([x[known], np.ones(known.sum())], axis=1), y[known]
    line = start = np.array(prior)
    for _ in range(_STEPS):
        mean, slope = mean_of(design @ line)
        gradient = design.T @ (mean - target) + _RIDGE * (line - start)
        step = np.linalg.solve((design * slope[:, None]).T @ design + _RIDGE * np.eye(2), gradient)
        line = line - step / max(1.0, np.abs(step).max())  # Far from its end, Newton's method leaps too far.
        if np.abs(step).max() < 1e-9:
            break
    return Line(*np.round(np.clip(line, -_MOST, _MOST), _DECIMALS).tolist())


def _flat(x: np.ndarray, y: np.ndarray, mean_of: _Mean, prior: Line) -> Line:
    """The line of no slope."""
    return Line(0.0, _fit(np.zeros_like(x), y, mean_of, prior._replace(slope=0.0)).offset)
