"""The section of a report about confidences: whether they are true, and what leaving out unsure faces is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxlm.drawing import confidence_plots
from jaxlm.drawing import report_page as page
from jaxlm.drawing.report_page import Column, Section
from jaxlm.evaluation import inference
from jaxlm.prediction import reliability
from jaxlm.studies.report_runs import Detection

_KEPT = (1.0, 0.9, 0.8, 0.5)


def confidences(group: Sequence[Detection], protocol: str) -> Section | None:
    """The risk-coverage curve and the reliability diagram; None where no model of the group has confidences.

    Args:
      group: Detectors that were judged alike.
      protocol: Title of the pictures.
    """
    curves = {
        result.run.name: reliability.risk_by_coverage(result.evaluation.predicted.confidence.mean(1), result.nme)
        for result in group
        if result.evaluation and result.evaluation.predicted.confidence is not None
    }
    if not curves:
        return None
    text = (
        "What confidences are worth: the mean NME of the faces that are kept when the least sure ones, by the mean over"
        " their points, are left out. A curve that falls to the left puts the bad faces last; a flat one is blind."
    )
    figure = confidence_plots.risk_coverage_figure(curves, protocol=protocol)
    columns = [
        Column(f"{100 * kept:.0f} % kept", [_risk_at(kept, *curve) for curve in curves.values()], "{:.3f}".format, min)
        for kept in _KEPT
    ]
    parts = [page.paragraph(text), page.drawing(figure, "mean NME over the share of the faces that are kept")]
    parts.append(page.table([Column("run", list(curves)), *columns], "NME (%) of the surest faces"))
    return Section("Confidence", parts + _reliability(group, protocol))


def _risk_at(kept: float, coverage: np.ndarray, risk: np.ndarray) -> float:
    """The risk in per cent where at least a share `kept` is kept."""
    return 100 * float(risk[min(int(np.searchsorted(coverage, kept - 1e-9)), len(risk) - 1)])


def _reliability(group: Sequence[Detection], protocol: str) -> list[str]:
    """The diagram and the table of the models whose confidences are probabilities."""
    found = {}
    for result in group:
        evaluation, meaning = result.evaluation, result.run.trained.confidence
        if evaluation and meaning and (sure := evaluation.predicted.confidence) is not None:
            points, faces = evaluation.predicted.points, evaluation.faces
            errors = inference.point_errors(points, faces, result.scheme, meaning.normaliser)
            found[result.run.name] = sure, reliability.near_points(errors, meaning.within), meaning
    if not found:
        return [page.paragraph("Confidences are raw scores; jaxlm calibrate gives them a meaning.")]
    meaning = next(iter(found.values()))[2]
    text = (
        f"A confidence is {meaning.meaning}. On the dashed line it is true: below, the model is too sure. Where these"
        " faces are those that calibrate fitted it to, the line flatters."
    )
    bins = {name: reliability.reliability_bins(sure, near)[:2] for name, (sure, near, _) in found.items()}
    near = f"within {100 * meaning.within:g} %"
    figure = confidence_plots.reliability_figure(bins, near=near, protocol=protocol)
    parts_of = {"all points": list(range(group[0].scheme.num_points)), **(group[0].scheme.parts or {})}
    columns = [
        Column(
            part.replace("_", " "),
            [
                100 * reliability.calibration_error(sure[:, list(points)], near[:, list(points)])
                for sure, near, _ in found.values()
            ],
            "{:.1f}".format,
            min,
        )
        for part, points in parts_of.items()
    ]
    table = page.table([Column("run", list(found)), *columns], "Expected calibration error (%), in ten bins")
    return [page.paragraph(text), page.drawing(figure, "share of near points over confidence"), table]
