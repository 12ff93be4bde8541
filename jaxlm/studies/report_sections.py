"""The sections of a report: tables and pictures of a group of models, each with a sentence that explains it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib.ticker import EngFormatter

from jaxlm.drawing import attention_maps, error_maps, plots
from jaxlm.drawing import report_page as page
from jaxlm.drawing.report_page import Column, Section
from jaxlm.evaluation import box_sensitivity, inference, judging, sepbn_attention
from jaxlm.studies.report_runs import Detection, Run, Translation
from jaxlm.styles import translator_report
from jaxlm.training import objectives

_ATTENTION_FACES = 6
# The width of plots in inches, which is that of the page.
_WIDTH = 11.7

_engineering = EngFormatter(places=2)


def results(group: Sequence[Detection]) -> Section:
    """The table of detectors that were judged alike, with the stamp of their protocol."""
    runs, full = [result.run for result in group], [result.rows[0] for result in group]
    columns = [_names(runs), Column("NME %", [row.nme for row in full], "{:.3f}".format, min)]
    for threshold in full[0].auc:
        columns += [
            Column(f"FR@{threshold} %", [row.failure_rate[threshold] for row in full], "{:.2f}".format, min),
            Column(f"AUC@{threshold}", [row.auc[threshold] for row in full], "{:.4f}".format, max),
        ]
    text = "Errors over all faces, and what the models cost."
    if len(group) > 1:
        text += " In each column the best value stands out."
    parts = [page.paragraph(text), page.table(columns), page.terms(group[0].protocol), page.table(_costs(runs))]
    if f", {judging.VALIDATION}: " in group[0].protocol["data"]:
        text = "The best step of a run is chosen by its held-out faces, so errors on a test set are larger as a rule."
        parts.insert(3, page.paragraph(text))
    return Section("Results", parts)


def _names(runs: Sequence[Run]) -> Column:
    return Column("run", [run.name for run in runs])


def _costs(runs: Sequence[Run]) -> list[Column]:
    return [
        _names(runs),
        Column("model", [run.trained.config.model.name for run in runs]),
        Column("input px", [run.trained.config.model.input_size for run in runs]),
        Column("parameters", [run.summary.parameters for run in runs], _engineering, min),
        Column("MB (float32)", [run.summary.megabytes for run in runs], "{:.1f}".format, min),
        Column("MACs", [run.summary.macs for run in runs], _engineering, min),
        Column("step", [run.trained.step for run in runs], "{:,}".format),
        Column("saved", [f"{run.saved:%Y-%m-%d %H:%M}" for run in runs]),
    ]


def error_distribution(group: Sequence[Detection]) -> Section:
    """The curves of all detectors of a group on one axis."""
    thresholds = judging.thresholds_of(group[0].scheme)
    last = f"{100 * thresholds[-1]:g}"
    curves = {
        f"{result.run.name} (AUC@{last} {result.rows[0].auc[last]:.3f})": result.nme[np.isfinite(result.nme)]
        for result in group
    }
    figure = plots.ced_figure(curves, thresholds, protocol=title_of(group))
    figure.set_size_inches(_WIDTH, 5)
    text = (
        "The share of faces whose NME is at most that of the axis: the further up and left a curve, the better the"
        " model. Dashed lines mark the thresholds of FR and AUC."
    )
    return Section("Error distribution", [page.paragraph(text), page.drawing(figure, "cumulative error curves")])


def title_of(group: Sequence[Detection]) -> str:
    """Data, split and normaliser, for the head of a picture."""
    data, normaliser = group[0].protocol["data"].partition(":")[0], group[0].protocol["NME"].split(", ")[1]
    return f"{data}, {normaliser}"


def points_and_parts(group: Sequence[Detection]) -> Section | None:
    """Maps of the errors point by point, and the table by parts; None where no faces are at hand."""
    judged = {result.run.name: result.evaluation for result in group if result.evaluation}
    if not judged:
        return None
    scheme = group[0].scheme
    errors = {
        name: inference.point_errors(its.predicted.points, its.faces, scheme, its.normaliser)
        for name, its in judged.items()
    }
    faces = next(iter(judged.values())).faces
    shape = np.asarray(scheme.mean_face) if scheme.mean_face else error_maps.mean_shape(faces.points)
    figure = error_maps.error_map({name: error_maps.mean_by_point(its) for name, its in errors.items()}, shape, scheme)
    text = (
        "Where on the face the errors are, on one scale for all runs: the larger and darker the disc, the larger the"
        " mean error of that point, by the same normaliser as the NME. The numbers of the three worst points, counted"
        " from 0, stand beside them."
    )
    parts = [page.paragraph(text), page.drawing(figure, "mean error of each point on a mean face")]
    if scheme.parts:
        by_part = [error_maps.mean_by_part(its, scheme) for its in errors.values()]
        columns = [
            Column(part.replace("_", " "), [100 * row[part] for row in by_part], "{:.2f}".format, min)
            for part in scheme.parts
        ]
        parts.append(page.table([Column("run", list(errors)), *columns], "Mean error by facial part (%)"))
    return Section("Errors by point and part", parts)


def worst_faces(group: Sequence[Detection]) -> Section:
    """The worst faces of each detector, and their names."""
    parts = [page.paragraph("The faces of the largest NME: annotated points green, predicted ones pink.")]
    for result in group:
        parts += [page.heading(result.run.name), page.photo(result.worst, f"worst faces of {result.run.name}")]
        judged = np.where(np.isfinite(result.nme), result.nme, -1.0)
        worst = np.argsort(-judged)[: min(24, int((judged >= 0).sum()))]
        names = ", ".join(f"{result.names[face]} ({100 * result.nme[face]:.2f} %)" for face in worst)
        parts.append(page.folded(f"Names of the {len(worst)} worst", names))
    return Section("Worst faces", parts)


def box_errors(group: Sequence[Detection]) -> Section | None:
    """The error over shifts and scales of the face box; it takes long. None where no faces are at hand."""
    judged = {result.run: result.evaluation for result in group if result.evaluation}
    if not judged:
        return None
    curves = {
        run.name: box_sensitivity.error_curves(run.trained, its.faces, its.normaliser, f"{run.name}: box errors")
        for run, its in judged.items()
    }
    figure = plots.sensitivity_figure(box_sensitivity.panels_of(curves), protocol=title_of(group))
    figure.set_size_inches(_WIDTH, 4.8)
    text = (
        "Detectors give boxes of differing place and size. The curves say what that costs: every face box is moved, the"
        " mean of four directions, or scaled about its centre. A flat curve is a robust model."
    )
    black = max(curve.black.max() for kinds in curves.values() for curve in kinds.values())
    if black > 0:
        text += f" Up to {100 * black:.0f} % of a crop's area lies outside of its prepared frame, and is black."
    parts = [page.paragraph(text), page.drawing(figure, "NME over errors of the face box")]
    for kind in ("shift", "scale"):
        errors = next(iter(curves.values()))[kind].errors
        columns = [
            Column(f"{100 * error:.0f} %", [100 * its[kind].nme[i] for its in curves.values()], "{:.2f}".format, min)
            for i, error in enumerate(errors)
        ]
        caption = f"NME (%) by box {kind}, in per cent of the side of the box"
        parts.append(page.table([Column("run", list(curves)), *columns], caption))
    return Section("Box errors", parts)


def subsets(group: Sequence[Detection]) -> Section | None:
    """Tables of the errors on subsets of the faces, where there are any."""
    if len(group[0].rows) == 1:
        return None
    parts = [page.paragraph("Errors on all faces and on subsets: splits, attributes, bins of yaw in degrees.")]
    threshold = list(group[0].rows[0].auc)[-1]
    measures = (
        ("NME (%)", lambda row: row.nme, "{:.3f}", min),
        (f"FR@{threshold} (%)", lambda row: row.failure_rate[threshold], "{:.2f}", min),
        (f"AUC@{threshold}", lambda row: row.auc[threshold], "{:.4f}", max),
    )
    for caption, value_of, form, best in measures:
        columns = [
            Column(f"{row.subset} ({row.faces})", [value_of(result.rows[i]) for result in group], form.format, best)
            for i, row in enumerate(group[0].rows)
        ]
        parts.append(page.table([_names([result.run for result in group]), *columns], caption))
    return Section("Subsets", parts)


def training(runs: Sequence[Run]) -> Section | None:
    """The curves of detectors or of translators; None where no folder has any."""
    rows = {run.name: run.history for run in runs if run.history}
    if not rows:
        return None
    measure = objectives.kind(runs[0].trained.config).measure
    text = (
        "What was logged while training: pale lines are means over batches of augmented training faces, dots the"
        " held-out faces. Losses of different tasks are different things; compare them within a run."
    )
    figure = plots.compare_runs(rows, measure)
    figure.set_size_inches(_WIDTH, 7)
    kind = "translators" if runs[0].translates else "detectors"
    return Section(f"Training of {kind}", [page.paragraph(text), page.drawing(figure, "training curves")])


def separate_attention(detections: Sequence[Detection]) -> Section | None:
    """The attention of SepBN on some faces, for each detector that has SepBN; None if none has."""
    parts = []
    for result in detections:
        if result.evaluation is None:
            continue
        try:
            crops, layers = sepbn_attention.attention_of_faces(
                result.run.trained, result.evaluation.faces, _ATTENTION_FACES
            )
        except sepbn_attention.NoAttentionError:
            continue
        figure = attention_maps.attention_figure(crops, {path: layer.attention for path, layer in layers.items()})
        parts += [page.heading(result.run.name), page.drawing(figure, f"attention of SepBN in {result.run.name}")]
    text = (
        "Which affine set of each SepBN layer a face takes: the columns of a matrix are layers, its rows sets, whose"
        " weights sum to 1. A layer whose column is the same for all faces uses one fixed mixture of its sets."
    )
    return Section("SepBN attention", [page.paragraph(text), *parts]) if parts else None


def translations(group: Sequence[Translation]) -> Section:
    """The table of translators that were judged alike, and their grids of styles and structures."""
    runs = [result.run for result in group]
    columns = [
        Column(label, [factor * result.values[key] for result in group], form.format, _best_of(key))
        for key, (label, form, factor) in translator_report.ROWS.items()
    ]
    text = (
        "How faithfully translators render faces again from their own structure and style: the lower, the better. The"
        " KL divergences and the share of active units say how much of a face its style code holds."
    )
    parts = [page.paragraph(text), page.table([_names(runs), *columns]), page.terms(group[0].protocol)]
    parts.append(page.table(_costs(runs)))
    text = "Row 0 shows structures, column 0 styles, and each cell the face of its column in the style of its row."
    parts.append(page.paragraph(text))
    for result in group:
        parts += [page.heading(result.run.name), page.photo(result.transfers, f"transfers of {result.run.name}")]
    return Section("Faces in other styles", parts)


def _best_of(key: str) -> Callable[[Iterable[float]], float] | None:
    return min if key in ("reconstruction", "perceptual", "l1") else None
