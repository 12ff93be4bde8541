"""How much of an error is the labels': distances worked out by hand."""

import pathlib

import numpy as np
import pytest

from benchmarks.agreement import Predictions, read, rows, to_line


def faces(slide: float) -> Predictions:
    """A face whose eyes are 100 apart, on a level contour; predictions lie `slide` along it, other points are exact."""
    truth = np.zeros((1, 68, 2))
    truth[0, :17, 0] = 10 * np.arange(17)
    truth[0, 36], truth[0, 45] = (0, -50), (100, -50)
    points = truth.copy()
    points[0, :17, 0] += slide
    return Predictions(np.array(["face"]), points, truth)


def test_points_that_slide_along_the_contour_are_near_its_line():
    table = {name: values for name, *values in rows(faces(4.0), faces(3.0))}
    assert table["first to labels"] == pytest.approx([4 * 17 / 68, 4, 0])
    assert table["second to labels"] == pytest.approx([3 * 17 / 68, 3, 0])
    assert table["mean of both to labels"] == pytest.approx([3.5 * 17 / 68, 3.5, 0])
    assert table["first to second"] == pytest.approx([17 / 68, 1, 0])
    # The line starts 4 after the first point; all others lie on it.
    assert table["labels to the first's line"] == pytest.approx([4 / 68, 4 / 17, 0])


def test_distances_to_a_line_end_at_its_ends_and_bear_corners_that_coincide():
    line = np.array([[[0.0, 0], [4, 0], [4, 0], [4, 3]]])
    points = np.array([[[2.0, 1], [-3, 4], [5, 2], [4, 9]]])
    np.testing.assert_allclose(to_line(points, line), [[1, 5, 1, 6]])


def test_files_are_matched_by_the_names_of_faces(tmp_path: pathlib.Path):
    points = np.arange(2 * 68 * 2, dtype=np.float32).reshape(2, 68, 2)
    np.savez(tmp_path / "a.npz", names=np.array(["x", "y"]), points=points, truth=points)
    np.savez(tmp_path / "b.npz", names=np.array(["y", "x"]), points=points[::-1], truth=points[::-1])
    assert all(values == [0, 0, 0] for _, *values in rows(read(tmp_path / "a.npz"), read(tmp_path / "b.npz"))[:4])
    np.savez(tmp_path / "c.npz", names=np.array(["x", "z"]), points=points, truth=points)
    with pytest.raises(ValueError, match="same faces"):
        rows(read(tmp_path / "a.npz"), read(tmp_path / "c.npz"))
    np.savez(tmp_path / "d.npz", names=np.array(["x"]), points=points[:1, :5], truth=points[:1, :5])
    with pytest.raises(ValueError, match=r"d\.npz"):
        read(tmp_path / "d.npz")
