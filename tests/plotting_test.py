"""Pictures: what is drawn lies where the points are, and every file is a readable picture."""

import pathlib

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxlm import plotting
from jaxlm.landmarks import FIVE, WFLW98, Scheme
from jaxlm.objectives import DetectionObjective

GREEN, PINK = (60, 230, 110), (255, 70, 170)


def blank(side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), 100, np.uint8)


def face(side: int = 64) -> np.ndarray:
    return np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]], np.float32) * side


def loose(points: int) -> Scheme:
    """A scheme without edges."""
    return Scheme("loose", tuple(range(points)))


def centroid(changed: np.ndarray) -> np.ndarray:
    """(x, y) of what a drawing changed, weighted by how much."""
    weight = np.abs(changed.astype(float) - 100).sum(-1)
    rows, columns = np.indices(weight.shape)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


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


@pytest.mark.parametrize("point", [(20.0, 31.0), (20.5, 31.25), (40.75, 10.5)], ids=str)
def test_points_are_drawn_around_pixel_centres_to_a_fraction(point: tuple[float, float]) -> None:
    drawn = plotting.draw_face(blank(), np.array([point]), loose(1))
    np.testing.assert_allclose(centroid(drawn), point, atol=0.15)


def test_drawing_leaves_its_input_alone() -> None:
    image, points = blank(), face()
    drawn = plotting.draw_face(image, points, FIVE)
    assert (image == 100).all()
    assert (drawn != 100).any()
    np.testing.assert_array_equal(points, face())


def test_edges_join_their_points() -> None:
    scheme = Scheme("pair", (0, 1, 2), edges=((0, 1),))
    drawn = plotting.draw_face(blank(), np.array([[10.0, 20.0], [50.0, 20.0], [30.0, 50.0]]), scheme)
    assert (drawn[20, 10:51] != 100).any(-1).all()
    assert (drawn[25:45] == 100).all()


def test_parts_have_colours_of_their_own() -> None:
    drawn = plotting.draw_face(blank(512), 4.0 + 500 * np.random.default_rng(0).random((98, 2)), WFLW98)
    colours = {tuple(colour) for colour in drawn.reshape(-1, 3)[(drawn.reshape(-1, 3) != 100).any(-1)].tolist()}
    assert {(90, 190, 255), (255, 95, 105), (70, 225, 150)} <= colours


def test_truth_is_green_and_prediction_pink() -> None:
    drawn = plotting.draw_face(blank(), np.array([[45.0, 30.0]]), loose(1), truth=np.array([[15.0, 30.0]]))
    assert tuple(drawn[30, 15]) == GREEN
    assert tuple(drawn[30, 45]) == PINK


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e12, -1e12], ids=str)
def test_points_that_cannot_be_drawn_do_not_stop_the_others(bad: float) -> None:
    points = face()
    points[0] = bad
    drawn = plotting.draw_face(blank(), points, FIVE)
    x, y = points[4].round().astype(int)
    assert (drawn[y, x] != 100).any()


def test_contact_sheet_scales_points_with_their_images() -> None:
    point = np.array([[[15.5, 7.5]], [[15.5, 23.5]]])
    sheet = plotting.contact_sheet([blank(32)] * 2, point, loose(1), columns=2, side=128)
    assert sheet.shape == (128 + 2 * 4, 2 * 128 + 3 * 4, 3)
    tiles = sheet[4:132, 4:132], sheet[4:132, 136:264]
    np.testing.assert_allclose(centroid(tiles[0]), (63.5, 31.5), atol=0.2)
    np.testing.assert_allclose(centroid(tiles[1]), (63.5, 95.5), atol=0.2)


def test_contact_sheet_fills_rows_and_leaves_the_rest_dark() -> None:
    sheet = plotting.contact_sheet([blank(32)] * 4, np.stack([face(32)] * 4), FIVE, columns=3, side=40)
    assert sheet.shape == (2 * 44 + 4, 3 * 44 + 4, 3)
    assert (sheet[48:, 48:] == 24).all()
    assert (sheet[52:60, 5:40] == 100).any()


def test_saved_images_keep_their_colours(tmp_path: pathlib.Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    plotting.save_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(cv2.cvtColor(cv2.imread(str(tmp_path / "a.png")), cv2.COLOR_BGR2RGB), image)
    with pytest.raises(OSError, match="does the folder exist"):
        plotting.save_image(tmp_path / "missing" / "a.png", image)


def test_worst_faces_come_first(tmp_path: pathlib.Path) -> None:
    grey = np.array([60, 120, 180], np.uint8)
    images = [np.full((32, 32, 3), value, np.uint8) for value in grey]
    points = np.stack([face(32)] * 3)
    file = tmp_path / "worst.png"
    nme = np.array([0.05, 0.31, 0.12])
    plotting.worst_faces(file, images, points + 1, points, nme, FIVE, protocol="test, inter-ocular")
    picture = cv2.imread(str(file))
    corners = [picture[36 + 8, 8 + 228 * column, 0] for column in range(3)]
    np.testing.assert_array_equal(corners, grey[[1, 2, 0]])


def test_ced_curve_is_exact(tmp_path: pathlib.Path, figures: list[Figure]) -> None:
    nme = {"full": np.array([0.04, 0.02, 0.30, 0.08]), "half": np.array([0.01, 0.05])}
    plotting.ced_plot(tmp_path / "ced.png", nme, (0.08, 0.10), protocol="synthetic test, inter-ocular")
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
    plotting.training_curves(tmp_path / "curves.png", rows, DetectionObjective.measure)
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


def test_sensitivity_has_a_panel_for_each_error_and_a_line_for_each_model(tmp_path: pathlib.Path, figures) -> None:
    errors, lines = np.array([0.0, 10.0]), {"a": np.array([0.04, 0.05]), "b": np.array([0.03, 0.09])}
    file = tmp_path / "sensitivity.png"
    plotting.sensitivity_plot(file, {"box shift": (errors, lines), "box scale": (errors, lines)}, protocol="made up")
    assert shape_of(file)
    panels = figures[0].axes
    assert [axes.get_xlabel() for axes in panels] == ["box shift", "box scale"]
    for axes in panels:
        drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
        np.testing.assert_allclose(drawn["a"], [4, 5])
        np.testing.assert_allclose(drawn["b"], [3, 9])
