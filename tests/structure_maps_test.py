"""Structure maps against distances by hand, and the tables of boundaries."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.images import structure_maps
from jaxlm.landmarks import Scheme, load_scheme
from jaxlm.landmarks.schemes import FIVE, IBUG68, WFLW98
from tolerances import assert_float32_close, float32_error

# A curve of three points and a straight one of two.
PAIR = Scheme("pair", tuple(range(5)), boundaries={"bow": (0, 1, 2), "line": (3, 4)})


def face(scheme: Scheme, size: int) -> np.ndarray:
    """The scheme's mean face in the middle of a map, [1, N, 2]."""
    return (0.15 + 0.7 * np.asarray(scheme.mean_face, np.float32))[None] * size


def boundary_maps(points: np.ndarray, scheme: Scheme, size: int, sigma: float = 1.0) -> np.ndarray:
    return np.asarray(draw_boundaries(scheme.name, size)(points, sigma))


@functools.cache
def draw_boundaries(scheme: str, size: int) -> Callable[[np.ndarray, float], jax.Array]:
    """One program for each scheme and size."""
    known = {known.name: known for known in (PAIR, FIVE, IBUG68, WFLW98)}
    return jax.jit(lambda points, sigma: structure_maps.boundary_maps(points, known[scheme], size, sigma))


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return x, y


def test_dot_is_a_gaussian_of_the_distance_to_a_point_between_pixels() -> None:
    x, y = grid(16)
    dots = structure_maps.dot_map(jnp.asarray([[[5.3, 9.75]]]), 16, sigma=2.0)
    assert dots.shape == (1, 16, 16, 1)
    expected = np.exp(-((x - 5.3) ** 2 + (y - 9.75) ** 2) / 8)  # Of -26 at most, whose error is relative here.
    np.testing.assert_allclose(dots[0, ..., 0], expected, rtol=float32_error(depth=6, scale=26))


def test_dots_are_1_at_landmarks_on_pixels_and_join_by_their_maximum() -> None:
    points = jnp.asarray([[[2.0, 3.0], [10.0, 3.0], [-40.0, 3.0]]])
    dots = structure_maps.dot_map(points, 16)[0, ..., 0]
    assert dots[3, 2] == dots[3, 10] == 1.0
    assert dots[3, 6] == pytest.approx(np.exp(-8.0), rel=float32_error(depth=1, scale=8))


@pytest.mark.parametrize(("point", "pixel"), [((10.9, 10.2), (10, 10)), ((2.5, 9.0), (3, 9)), ((2.0, 0.0), (2, 0))])
def test_published_dots_sit_on_whole_pixels_in_a_window_of_seven(point: tuple, pixel: tuple) -> None:
    dots = structure_maps.published_dot_map(jnp.asarray([[point]]), 16)
    x, y = grid(16)
    x, y = x - pixel[0], y - pixel[1]
    expected = np.where((abs(x) <= 3) & (abs(y) <= 3), np.exp(-(x**2 + y**2) / 2), 0)
    for channel in range(3):
        np.testing.assert_allclose(dots[0, ..., channel], expected, rtol=float32_error(depth=1, scale=9))


def test_published_dots_outside_of_the_map_leave_it_empty() -> None:
    points = jnp.asarray([[[-9.0, 4.0], [4.0, 19.5]]])
    assert not structure_maps.published_dot_map(points, 16).any()


def test_straight_boundary_is_a_gaussian_of_the_distance_to_a_segment() -> None:
    points = jnp.asarray([[[0, 0], [0, 5], [0, 9], [4.25, 6.25], [10.25, 6.25]]], jnp.float32)
    x, y = grid(16)
    distance = np.hypot(x - np.clip(x, 4.25, 10.25), y - 6.25)  # No pixel is where the map is cut off.
    expected = np.where(distance < 3 * 1.5, np.exp(-(distance**2) / (2 * 1.5**2)), 0)
    maps = boundary_maps(points, PAIR, 16, sigma=1.5)
    assert maps.shape == (1, 16, 16, 2)
    assert_float32_close(maps[0, ..., 1], expected, depth=10, scale=16)
    assert_float32_close(maps[0, 2, 0, 0], 1.0, depth=4)


def test_spline_is_natural_and_cubic() -> None:
    # By hand: chords 5 and 5, so 20 m = 6 (0.8 + 0.8) * (0, -1) and m = (0, -0.48) in the middle, 0 at the ends.
    curve = np.asarray(structure_maps.spline(jnp.asarray([[[0.0, 0.0], [3.0, 4.0], [6.0, 0.0]]])))[0]
    assert curve.shape == (9, 2)
    assert_float32_close(curve[[0, 4, 8]], [[0, 0], [3, 4], [6, 0]], depth=10)
    # Half way, 25 / 6 * -0.48 * (1/8 - 1/2) = 0.75 above the chord's middle.
    assert_float32_close(curve[2], [1.5, 2.75], depth=30)
    assert_float32_close(curve[6], [4.5, 2.75], depth=30)


def test_spline_through_a_circle_follows_it() -> None:
    angle = np.linspace(0, np.pi, 17)
    points = 50 + 30 * np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)
    curve = np.asarray(structure_maps.spline(jnp.asarray(points[None]))[0])
    # What a cubic leaves of a circle between points 11 degrees apart.
    np.testing.assert_allclose(np.hypot(*(curve - 50).T)[8:-8], 30, rtol=0, atol=0.01)


def test_coincident_landmarks_do_no_harm() -> None:
    points = jnp.asarray([[[4.0, 4.0], [4.0, 4.0], [4.0, 4.0], [9.0, 9.0], [9.0, 9.0]]])
    maps = boundary_maps(points, PAIR, 16)
    assert np.isfinite(maps).all()
    dots = structure_maps.dot_map(points[0, ::3][:, None], 16)[..., 0].T
    np.testing.assert_allclose(maps[0], dots, atol=0.012)  # Boundaries are cut off at three sigma, exp(-4.5) = 0.011.


@pytest.mark.parametrize(("scheme", "count"), [(IBUG68, 13), (WFLW98, 15)], ids=["68", "98"])
def test_each_scheme_has_its_published_number_of_maps(scheme: Scheme, count: int) -> None:
    points = jnp.asarray(face(scheme, 64))
    maps = boundary_maps(points, scheme, 64)
    assert maps.shape == (1, 64, 64, count)
    assert maps.min() == 0.0
    assert (maps.max(axis=(0, 1, 2)) > 0.9).all()
    # Every landmark of a boundary lies on its curve.
    for channel, curve in enumerate(scheme.boundaries.values()):
        for x, y in np.rint(face(scheme, 64)[0, list(curve)]).astype(int):
            assert maps[0, y, x, channel] >= np.exp(-0.25) - float32_error(depth=30, scale=64)


@pytest.mark.parametrize("scheme", [IBUG68, WFLW98], ids=["68", "98"])
def test_mirrored_points_give_mirrored_maps_of_the_mirrored_boundaries(scheme: Scheme) -> None:
    rng = np.random.default_rng(0)
    points = face(scheme, 64) + rng.normal(0, 0.5, (1, scheme.num_points, 2)).astype(np.float32)
    mirrored = points[:, np.asarray(scheme.flip)] * [-1, 1] + [63, 0]
    curves = [frozenset(curve) for curve in scheme.boundaries.values()]
    order = [curves.index(frozenset(scheme.flip[i] for i in curve)) for curve in curves]
    maps = boundary_maps(jnp.asarray(points), scheme, 64)
    flipped = boundary_maps(jnp.asarray(mirrored, jnp.float32), scheme, 64)
    assert_float32_close(flipped[..., order], maps[:, :, ::-1], depth=30, scale=64)


def test_boundaries_of_98_points_run_through_the_same_places_as_those_of_68() -> None:
    assert list(WFLW98.boundaries)[:13] == list(IBUG68.boundaries)
    points = jnp.asarray(face(WFLW98, 64))
    chosen = jnp.asarray(face(IBUG68, 64))
    dense = boundary_maps(points, WFLW98, 64, sigma=3.0)[..., :13]
    sparse = boundary_maps(chosen, IBUG68, 64, sigma=3.0)
    assert np.abs(dense - sparse).max() < 0.3


def test_points_of_wflw_on_no_boundary_are_the_pupils() -> None:
    on_curves = {point for curve in WFLW98.boundaries.values() for point in curve}
    assert set(range(98)) - on_curves == {96, 97}
    assert {point for curve in IBUG68.boundaries.values() for point in curve} == set(range(68))


def test_a_scheme_without_boundaries_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme five has no boundaries"):
        boundary_maps(jnp.zeros((1, 5, 2)), FIVE, 16)


def test_a_scheme_file_may_list_boundaries(tmp_path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('name = "own"\ncount = 4\n[boundaries]\nbrow = [0, 1, 3]\n')
    assert load_scheme(str(file)).boundaries == {"brow": (0, 1, 3)}
    file.write_text('name = "own"\ncount = 4\n[boundaries]\nbrow = [0, 1, 4]\n')
    with pytest.raises(ValueError, match=r"`boundaries.brow` names points \[4\]"):
        load_scheme(str(file))
    with pytest.raises(ValueError, match=r"`boundaries` \['dot'\] have fewer than two points"):
        dataclasses.replace(FIVE, boundaries={"dot": (1,)})
