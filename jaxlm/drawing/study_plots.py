"""The plot of a study: each run and the means, validation over the epochs, and errors where boxes are off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxlm.drawing.plots import LINE_COLOURS, File, save, style


class ArmLines(NamedTuple):
    """What is drawn of an arm; NME in per cent.

    Attributes:
      nme: [seeds, shifts], the first of which is no shift.
      curves: For each seed the epochs [k] and the NME of the validation [k].
    """

    nme: np.ndarray
    curves: Sequence[tuple[np.ndarray, np.ndarray]]


def study_plot(file: File, arms: Mapping[str, ArmLines], shifts: Sequence[float], *, title: str) -> None:
    """Writes the figure of `study_figure` to a file."""
    save(study_figure(arms, shifts, title=title), file, dpi=130)


def study_figure(arms: Mapping[str, ArmLines], shifts: Sequence[float], *, title: str) -> Figure:
    """Points of all runs and the mean of each arm, curves of the validation, and the NME over shifts, if there are any.

    Args:
      arms: What is drawn, by the arm's name.
      shifts: By how much boxes are off, in per cent of their side; the first is 0.
      title: The question and the protocol.
    """
    panels = [_points, _curves, *([_shifts] if len(shifts) > 1 else [])]
    figure = Figure(figsize=(4.8 * len(panels), 4.4), layout="constrained")
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for index, (name, lines) in enumerate(arms.items()):
            draw(axes, index, name, lines, shifts)
        style(axes)
    figure.axes[0].set(xlabel="NME (%): each seed, and the mean", yticks=range(len(arms)), yticklabels=list(arms))
    figure.axes[0].set_ylim(len(arms) - 0.5, -0.5)
    figure.axes[1].set(xlabel="epoch", ylabel="NME of the validation (%)", yscale="log")
    figure.axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.axes[1].yaxis.set_major_formatter("{x:g}")
    figure.axes[1].yaxis.set_minor_formatter("{x:g}")
    if len(shifts) > 1:
        figure.axes[2].set(xlabel="box shift (% of its side)", ylabel="NME (%)", xticks=shifts, ylim=(0, None))
    figure.suptitle(title, fontsize=11)
    figure.legend(*figure.axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def _colour(index: int) -> str:
    return LINE_COLOURS[index % len(LINE_COLOURS)]


def _points(axes: Axes, index: int, name: str, lines: ArmLines, shifts: Sequence[float]) -> None:
    nme = lines.nme[:, 0]
    axes.plot(nme, np.full(len(nme), index), "o", color=_colour(index), ms=6, alpha=0.6, markeredgewidth=0)
    axes.plot(nme.mean(), index, "|", color=_colour(index), ms=22, markeredgewidth=2.5)


def _curves(axes: Axes, index: int, name: str, lines: ArmLines, shifts: Sequence[float]) -> None:
    for number, (epochs, nme) in enumerate(lines.curves):
        label = name if not number else "_"  # The legend names each arm once.
        axes.plot(epochs, nme, color=_colour(index), linewidth=1.3, alpha=0.8, label=label)


def _shifts(axes: Axes, index: int, name: str, lines: ArmLines, shifts: Sequence[float]) -> None:
    axes.plot(shifts, lines.nme.mean(axis=0), color=_colour(index), linewidth=1.6)
    for nme in lines.nme:
        axes.plot(shifts, nme, "o", color=_colour(index), ms=4, alpha=0.6, markeredgewidth=0)
