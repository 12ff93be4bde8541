"""Plots: cumulative errors, training curves, errors over box errors and over the share of labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from jaxlm.files import replacing

File = str | os.PathLike[str]
# A figure that runs are judged by: its key among the metrics, its label, and the factor between the two.
Measure = tuple[str, str, float]

# The colours of Okabe and Ito, which people with any colour vision can tell apart.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def ced_plot(file: File, nme: Mapping[str, np.ndarray], thresholds: Sequence[float], *, protocol: str) -> None:
    """Writes the figure of `ced_figure` to a file."""
    save(ced_figure(nme, thresholds, protocol=protocol), file, dpi=130)


def ced_figure(nme: Mapping[str, np.ndarray], thresholds: Sequence[float], *, protocol: str) -> Figure:
    """Cumulative error distributions: the share of faces whose NME is at most x.

    Args:
      nme: NME of the faces [n], fractions, by the curve's label; it is drawn in per cent.
      thresholds: Values of NME, fractions, that are marked; the axis ends a little beyond the largest.
      protocol: Title: data, split and normaliser.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    end = 125 * max(thresholds)
    for index, (label, values) in enumerate(nme.items()):
        errors = 100 * np.sort(np.asarray(values))
        share = 100 * np.arange(len(errors) + 1) / len(errors)
        x = np.concatenate([[0.0], errors, [max(end, errors[-1])]])
        text = f"{label}: {errors.mean():.2f} % (n = {len(errors)})"
        colour = LINE_COLOURS[index % len(LINE_COLOURS)]
        axes.step(x, np.append(share, 100.0), where="post", color=colour, linewidth=1.8, label=text)
    for threshold in thresholds:
        axes.axvline(100 * threshold, color="0.45", linewidth=1, linestyle="--")
    style(axes)
    axes.set(xlim=(0, end), ylim=(0, 101), xlabel="NME (%)", ylabel="faces with at most this NME (%)", title=protocol)
    figure.legend(title="mean NME", loc="outside right upper", frameon=False)
    return figure


def training_curves(file: File, rows: Sequence[Mapping[str, Any]], measure: Measure) -> None:
    """Writes the loss, the run's measure and the learning rate over the steps.

    Args:
      file: Where the picture goes.
      rows: Rows of `metrics.jsonl`: `step`, `split` ("train" or "validation") and any of `loss`, the measure's key and
        `learning_rate`.
      measure: Figure that the run is judged by.
    """
    panels = (("loss", "loss", 1), measure, ("learning_rate", "learning rate", 1))
    figure = Figure(figsize=(8, 8), layout="constrained")
    for axes, (key, label, factor) in zip(figure.subplots(3, sharex=True), panels, strict=True):
        for split, colour, marker in (("train", LINE_COLOURS[0], ""), ("validation", LINE_COLOURS[1], "o")):
            curve = [(row["step"], factor * row[key]) for row in rows if row["split"] == split and key in row]
            if curve:
                axes.plot(*zip(*curve, strict=True), color=colour, marker=marker, ms=3.5, linewidth=1.4, label=split)
        style(axes)
        axes.set_ylabel(label)
        if key != "learning_rate":
            _logarithmic(axes)
            axes.legend(frameon=False, loc="upper right")
    axes.set_xlabel("step")
    save(figure, file, dpi=120)


def compare_runs(rows: Mapping[str, Sequence[Mapping[str, Any]]], measure: Measure) -> Figure:
    """The measure and the loss of several runs over their steps: training is pale, validation has dots.

    Args:
      rows: Rows of `metrics.jsonl`, by the run's label; see `training_curves`.
      measure: Figure that the runs are judged by.
    """
    figure = Figure(figsize=(9, 7), layout="constrained")
    for axes, (key, label, factor) in zip(figure.subplots(2, sharex=True), (measure, ("loss", "loss", 1)), strict=True):
        for index, (run, its_rows) in enumerate(rows.items()):
            look = {"color": LINE_COLOURS[index % len(LINE_COLOURS)], "label": run}
            for split, extra in (
                ("train", {"linewidth": 1.1, "alpha": 0.45}),
                ("validation", {"linewidth": 1.8, "marker": "o", "ms": 4}),
            ):
                curve = [(row["step"], factor * row[key]) for row in its_rows if row["split"] == split and key in row]
                if curve:
                    axes.plot(*zip(*curve, strict=True), **look, **extra)
        style(axes)
        axes.set_ylabel(label)
        _logarithmic(axes)
    axes.set_xlabel("step")
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    figure.legend(list(lines.values()), list(lines), loc="outside right upper", frameon=False)
    return figure


def sensitivity_plot(
    file: File, panels: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]], *, protocol: str
) -> None:
    """Writes the figure of `sensitivity_figure` to a file."""
    save(sensitivity_figure(panels, protocol=protocol), file, dpi=130)


def sensitivity_figure(panels: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]], *, protocol: str) -> Figure:
    """NME over the size of a box error, with a panel for each kind of error and a line for each model.

    Args:
      panels: By axis label: the sizes of the errors [k], and the NME [k], fractions, by the model's label.
      protocol: Title: data, split and normaliser.
    """
    figure = Figure(figsize=(4.6 * len(panels), 4.4), layout="constrained")
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (label, (errors, lines)) in zip(row, panels.items(), strict=True):
        for index, (model, nme) in enumerate(lines.items()):
            colour = LINE_COLOURS[index % len(LINE_COLOURS)]
            axes.plot(errors, 100 * nme, color=colour, marker="o", ms=3.5, linewidth=1.6, label=model)
        style(axes)
        axes.set_xlabel(label)
    row[0].set(ylabel="NME (%)", ylim=(0, None))
    figure.suptitle(protocol, fontsize=11)
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def limited_data_plot(file: File, panels: Mapping[str, Mapping[str, tuple[np.ndarray, ...]]], *, protocol: str) -> None:
    """Writes the NME over the share of the training faces, with a panel for each split and a line for each arm.

    Args:
      file: Where the picture goes.
      panels: By title and then by label: shares [k], NME [k] and half the height of its bar [k], all in per cent.
      protocol: Title: model, data and normaliser.
    """
    figure = Figure(figsize=(5.4 * len(panels), 4.8), layout="constrained")
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for index, (label, (shares, nme, deviation)) in enumerate(lines.items()):
            beside = 1.02 ** (index - (len(lines) - 1) / 2)  # Otherwise bars of equal shares hide each other.
            colour = LINE_COLOURS[index % len(LINE_COLOURS)]
            axes.errorbar(shares * beside, nme, deviation, color=colour, fmt="o-", ms=4, capsize=3, label=label)
        style(axes)
        axes.set(title=title, xscale="log", xlabel="training faces (%)", ylabel="NME (%)")
        axes.set_xticks(shares, [f"{share:g}" for share in shares])
        axes.xaxis.set_minor_formatter(NullFormatter())
    figure.suptitle(protocol, fontsize=11)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    save(figure, file, dpi=130)


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def style(axes: Axes) -> None:
    """Gives axes the look of all plots: no box, a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def save(figure: Figure, file: File, dpi: int) -> None:
    """Writes a figure to a file, whose name's ending gives the format."""
    ending = os.path.splitext(file)[1].removeprefix(".")
    with replacing(file) as whole:
        figure.savefig(whole, dpi=dpi, format=ending)
