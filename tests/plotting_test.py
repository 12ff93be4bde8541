"""Plots: their lines are the numbers given, and every file is a readable picture."""

import pathlib

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxlm.drawing import plots
from jaxlm.training.objectives.detection import DetectionObjective
from tolerances import assert_float64_close


def shape_of(file: pathlib.Path) -> tuple[int, ...]:
    picture = cv2.imread(str(file))
    assert picture.std() > 5, "an empty picture"
    return picture.shape


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    saved = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **kwargs: (saved.append(self), save(self, *args, **kwargs))
    )
    return saved


def test_ced_curve_is_exact(tmp_path: pathlib.Path, figures: list[Figure]) -> None:
    nme = {"full": np.array([0.04, 0.02, 0.30, 0.08]), "half": np.array([0.01, 0.05])}
    plots.ced_plot(tmp_path / "ced.png", nme, (0.08, 0.10), protocol="synthetic test, inter-ocular")
    axes = figures[0].axes[0]
    curve = axes.lines[0]
    share = dict(zip(np.round(curve.get_xdata(), 4), curve.get_ydata(), strict=True))
    assert (share[2.0], share[4.0], share[8.0], share[30.0]) == (25, 50, 75, 100)
    assert [line.get_xdata()[0] for line in axes.lines[2:]] == pytest.approx([8, 10])
    assert axes.get_xlim() == pytest.approx((0, 12.5))
    assert axes.get_title() == "synthetic test, inter-ocular"
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == [
        "full: 11.00 % (n = 4)",
        "half: 3.00 % (n = 2)",
    ]
    assert shape_of(tmp_path / "ced.png") == (650, 1170, 3)


def test_training_curves_draw_both_splits(tmp_path: pathlib.Path, figures: list[Figure]) -> None:
    rows = [
        {"step": 10, "split": "train", "loss": 4.0, "nme": 0.5, "learning_rate": 1e-3},
        {"step": 20, "split": "train", "loss": 2.0, "nme": 0.2, "learning_rate": 1e-4},
        {"step": 20, "split": "validation", "nme": 0.25},
    ]
    plots.training_curves(tmp_path / "curves.png", rows, DetectionObjective.measure)
    curves = [
        {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
        for axes in figures[0].axes
    ]
    assert curves == [
        {"train": ([10, 20], [4.0, 2.0])},
        {"train": ([10, 20], [50.0, 20.0]), "validation": ([20], [25.0])},
        {"train": ([10, 20], [1e-3, 1e-4])},
    ]
    assert shape_of(tmp_path / "curves.png") == (960, 960, 3)


def test_curves_of_several_runs_share_axes() -> None:
    rows = {
        "a": [
            {"step": 10, "split": "train", "loss": 4.0, "nme": 0.5},
            {"step": 20, "split": "train", "loss": 2.0, "nme": 0.2},
            {"step": 20, "split": "validation", "nme": 0.25},
        ],
        "b": [{"step": 5, "split": "train", "loss": 3.0, "nme": 0.4}],
    }
    figure = plots.compare_runs(rows, DetectionObjective.measure)
    drawn = [
        [(line.get_label(), list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
        for axes in figure.axes
    ]
    assert drawn == [
        [("a", [10, 20], [50.0, 20.0]), ("a", [20], [25.0]), ("b", [5], [40.0])],
        [("a", [10, 20], [4.0, 2.0]), ("b", [5], [3.0])],
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    colours = [line.get_color() for line in figure.axes[0].lines]
    assert colours[0] == colours[1] != colours[2]


def test_sensitivity_has_a_panel_for_each_error_and_a_line_for_each_model(tmp_path: pathlib.Path, figures) -> None:
    errors, lines = np.array([0.0, 10.0]), {"a": np.array([0.04, 0.05]), "b": np.array([0.03, 0.09])}
    file = tmp_path / "sensitivity.png"
    plots.sensitivity_plot(file, {"box shift": (errors, lines), "box scale": (errors, lines)}, protocol="made up")
    assert shape_of(file)
    panels = figures[0].axes
    assert [axes.get_xlabel() for axes in panels] == ["box shift", "box scale"]
    for axes in panels:
        drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
        assert_float64_close(drawn["a"], [4, 5], depth=1)
        assert_float64_close(drawn["b"], [3, 9], depth=1)
