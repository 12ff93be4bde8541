"""Plots of confidences: how often points are near, and what is left of the error when unsure faces are left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from jaxlm.drawing.plots import LINE_COLOURS, style

# Where fewer faces are kept, their mean error says nothing.
_FEWEST_KEPT = 10


def reliability_figure(bins: Mapping[str, tuple[np.ndarray, np.ndarray]], *, near: str, protocol: str) -> Figure:
    """The reliability diagram: the share of points that are near over their confidence, with the diagonal.

    Args:
      bins: Mean confidence and share of near points of each bin [bins], by the line's label.
      near: What a near point is, for the axis.
      protocol: Title: data and split.
    """
    figure = Figure(figsize=(7.2, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.45", linewidth=1, linestyle="--")
    for index, (label, (confidence, share)) in enumerate(bins.items()):
        colour = LINE_COLOURS[index % len(LINE_COLOURS)]
        axes.plot(confidence, share, color=colour, marker="o", ms=4, linewidth=1.6, label=label)
    style(axes)
    low = min((float(min(confidence.min(), share.min())) for confidence, share in bins.values()), default=0.0)
    start = np.floor(10 * low) / 10
    axes.set(xlim=(start, 1), ylim=(start, 1), xlabel="confidence", ylabel=f"share of points {near}", title=protocol)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def risk_coverage_figure(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], *, protocol: str) -> Figure:
    """The mean NME of the surest faces over the share that is kept.

    Args:
      curves: Shares of the faces [n] and the mean NME of those [n], fractions, by the curve's label; drawn in per cent.
      protocol: Title: data, split and normaliser.
    """
    figure = Figure(figsize=(7.2, 5), layout="constrained")
    axes = figure.subplots()
    for index, (label, (coverage, risk)) in enumerate(curves.items()):
        first = min(_FEWEST_KEPT, len(coverage)) - 1
        colour = LINE_COLOURS[index % len(LINE_COLOURS)]
        axes.plot(100 * coverage[first:], 100 * risk[first:], color=colour, linewidth=1.8, label=label)
    style(axes)
    axes.set(xlim=(0, 100), xlabel="faces kept, the surest first (%)", ylabel="mean NME of these (%)", title=protocol)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", frameon=False)
    return figure
