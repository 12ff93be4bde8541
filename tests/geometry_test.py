"""Boxes, affine maps and similarity fits, all in float64."""

import numpy as np
import pytest

from jaxlm.landmarks import geometry
from tolerances import assert_float64_close


def test_square_box_and_margin_follow_the_sepbn_data_preparation():
    square = geometry.square_box(np.array([10, 20, 109, 139]))
    assert square == (0, 20, 120)
    region = geometry.widen(square, 2.0)
    assert region == (-60, -40, 240)
    landmark = np.array([60.0, 80.0])
    np.testing.assert_array_equal((landmark - region[:2]) * 256 / region.side, [128, 128])


def test_square_box_of_odd_sides_grows_right_and_down():
    assert geometry.square_box(np.array([0, 0, 6, 4])) == (0, -1, 8)


def test_square_box_is_even_holds_the_box_and_shares_its_centre():
    rng = np.random.default_rng(0)
    for _ in range(200):
        corner, extent = rng.integers(-50, 50, 2), rng.integers(0, 80, 2)
        left, top, side = geometry.square_box(np.concatenate([corner, corner + extent]))
        assert side % 2 == 0
        assert side in (max(extent) + 1, max(extent) + 2)
        assert left <= corner[0]
        assert top <= corner[1]
        assert np.all(corner + extent <= [left + side - 1, top + side - 1])
        centre = np.array([left, top]) + (side - 1) / 2
        # The rounding to whole pixels and that to an even side move the centre by half a pixel each.
        np.testing.assert_allclose(centre, corner + extent / 2, rtol=0, atol=1.0)


@pytest.mark.parametrize("margin", [1.0, 1.5, 2.0, 2.3])
def test_frame_affine_takes_the_edges_of_the_region_to_the_edges_of_the_frame(margin):
    square = geometry.Square(7, -3, 122)
    left, top, side = geometry.widen(square, margin)
    corners = np.array([[left - 0.5, top - 0.5], [left + side - 0.5, top + side - 0.5]])
    moved = geometry.transform(corners, geometry.frame_affine(square, 256, margin))
    assert_float64_close(moved, [[-0.5, -0.5], [255.5, 255.5]], depth=4)


def test_face_box_fills_the_central_half_at_margin_two():
    square = geometry.Square(10, 20, 60)
    corners = np.array([[9.5, 19.5], [69.5, 79.5]])
    moved = geometry.transform(corners, geometry.frame_affine(square, 256, 2.0))
    assert_float64_close(moved, [[63.5, 63.5], [191.5, 191.5]], depth=4)


def test_box_around_scales_about_the_centre():
    points = np.array([[2.0, 10.0], [6.0, 30.0], [4.0, 12.0]])
    np.testing.assert_array_equal(geometry.box_around(points, 1.0), [2, 10, 6, 30])
    np.testing.assert_array_equal(geometry.box_around(points, 1.5), [1, 5, 7, 35])


def test_invert_and_compose_undo_each_other_in_batches():
    rng = np.random.default_rng(1)
    affine, points = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 7, 2))
    back = geometry.transform(geometry.transform(points, affine), geometry.invert(affine))
    # An inverse makes rounding larger by the condition of the map.
    condition = np.linalg.cond(affine[..., :2]).max()
    assert_float64_close(back, points, depth=12, scale=condition * np.abs(affine).max())
    identity = geometry.compose(geometry.invert(affine), affine)
    expected = np.broadcast_to(np.eye(2, 3), (5, 2, 3))
    assert_float64_close(identity, expected, depth=12, scale=condition * np.abs(affine).max())


def test_compose_applies_the_first_map_first():
    scale, shift = np.array([[2.0, 0, 0], [0, 2, 0]]), np.array([[1.0, 0, 5], [0, 1, 0]])
    point = np.array([[1.0, 1.0]])
    np.testing.assert_array_equal(geometry.transform(point, geometry.compose(shift, scale)), [[7, 2]])
    np.testing.assert_array_equal(geometry.transform(point, geometry.compose(scale, shift)), [[12, 2]])


def test_similarity_fit_recovers_a_similarity():
    a, b = 1.7 * np.cos(0.4), 1.7 * np.sin(0.4)
    affine = np.array([[a, -b, 12.0], [b, a, -3.0]])
    points = np.random.default_rng(2).normal(size=(9, 2))
    assert_float64_close(geometry.similarity_fit(points, geometry.transform(points, affine)), affine, depth=2 * 9)


def test_similarity_fit_is_the_least_squares_solution_in_batches():
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(4, 9, 2)), rng.normal(size=(4, 9, 2))
    fits = geometry.similarity_fit(source, target)
    for points, goal, fit in zip(source, target, fits, strict=True):
        # Unknowns a, b, u, v of x' = a x - b y + u, y' = b x + a y + v.
        x, y, one, zero = points[:, 0], points[:, 1], np.ones(9), np.zeros(9)
        rows = np.concatenate([np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)])
        a, b, u, v = np.linalg.lstsq(rows, goal.T.reshape(-1), rcond=None)[0]
        assert_float64_close(fit, [[a, -b, u], [b, a, v]], depth=2 * 18, scale=np.abs(goal).max())


def test_similarity_fit_never_mirrors():
    points = np.random.default_rng(4).normal(size=(9, 2))
    fit = geometry.similarity_fit(points, points * [-1, 1])
    assert np.linalg.det(fit[:, :2]) > 0


def test_similarity_fit_of_one_place_is_an_error():
    with pytest.raises(ValueError, match="two different"):
        geometry.similarity_fit(np.ones((3, 2)), np.ones((3, 2)))
