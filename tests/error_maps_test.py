"""Errors by point and part, and the mean face that they are drawn on."""

import matplotlib
import numpy as np
import pytest

from jaxlm.drawing import error_maps
from jaxlm.landmarks import Scheme, geometry
from jaxlm.landmarks.schemes import WFLW98
from tolerances import assert_float64_close

SQUARE = Scheme("square", (1, 0, 3, 2), parts={"top": (0, 1), "left": (0, 2)}, edges=((0, 1), (2, 3)))


def test_errors_are_averaged_over_faces_and_parts():
    errors = np.array([[0.1, 0.2, 0.3, 0.4], [0.3, 0.2, 0.1, 0.0]])
    assert_float64_close(error_maps.mean_by_point(errors), [0.2, 0.2, 0.2, 0.2], depth=2)
    assert error_maps.mean_by_part(errors, SQUARE) == pytest.approx({"top": 0.2, "left": 0.2})
    assert error_maps.mean_by_part(errors[:1], SQUARE) == pytest.approx({"top": 0.15, "left": 0.2})


def test_the_mean_shape_of_turned_and_scaled_copies_is_their_shape():
    shape, rng = np.asarray(WFLW98.mean_face), np.random.default_rng(0)
    angles, scales = rng.uniform(-0.5, 0.5, 20), rng.uniform(50, 80, 20)
    a, b = scales * np.cos(angles), scales * np.sin(angles)
    shifts = rng.uniform(0, 100, (2, 20))
    maps = np.stack([np.stack([a, -b, shifts[0]], -1), np.stack([b, a, shifts[1]], -1)], axis=-2)
    mean = error_maps.mean_shape(geometry.transform(shape, maps))
    back = geometry.transform(mean, geometry.similarity_fit(mean, shape))
    # Three fits and a mean, of places up to 200 pixels in faces of 50 at least.
    assert_float64_close(back, shape, depth=3 * 2 * 98 + 20, scale=200 / 50)


def test_discs_grow_and_darken_with_the_error_on_one_scale_for_all_runs():
    shape = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    errors = {"a": np.array([0.01, 0.02, 0.03, 0.04]), "b": np.array([0.08, 0.02, 0.0, 0.02])}
    figure = error_maps.error_map(errors, shape, SQUARE)
    faces = figure.axes[:2]
    assert [axes.get_title() for axes in faces] == ["a: 2.50 %", "b: 3.00 %"]
    for axes, values in zip(faces, errors.values(), strict=True):
        lines, discs = axes.collections
        assert len(lines.get_segments()) == 2
        np.testing.assert_array_equal(discs.get_offsets(), shape)
        assert_float64_close(discs.get_sizes(), values * discs.get_sizes().max() / values.max(), depth=4)
        assert_float64_close(discs.get_array(), 100 * values, depth=2)
        assert discs.get_clim() == (0, pytest.approx(8))
        low, high = axes.get_ylim()
        assert low > high, "y points downwards"
    assert faces[1].collections[1].get_sizes()[1] == faces[0].collections[1].get_sizes()[1]
    brightness = [sum(matplotlib.colormaps[discs.get_cmap().name](value)[:3]) for value in (0.0, 0.5, 1.0)]
    assert brightness == sorted(brightness, reverse=True)


def test_the_worst_points_are_numbered():
    shape = np.random.default_rng(0).random((98, 2))
    errors = np.full(98, 0.01)
    errors[[5, 17, 90]] = 0.02
    axes = error_maps.error_map({"run": errors}, shape, WFLW98).axes[0]
    assert {text.get_text() for text in axes.texts} == {"5", "17", "90"}
