"""Heat-maps: drawn targets against their formulas, and points that come back from them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.images import heatmaps
from tolerances import assert_float32_close, float32_error

SIZE = 32
argmax = jax.jit(heatmaps.argmax)
quarter = jax.jit(heatmaps.quarter)
dark = jax.jit(heatmaps.dark, static_argnames="sigma")
soft_argmax = jax.jit(heatmaps.soft_argmax)
draw_unbiased = jax.jit(heatmaps.draw_unbiased, static_argnums=1)
draw_published = jax.jit(heatmaps.draw_published, static_argnums=1)
log_gaussian = jax.jit(heatmaps.log_gaussian_probabilities, static_argnums=1)
DECODERS = {
    "argmax": argmax,
    "quarter": quarter,
    "dark": functools.partial(dark, sigma=2.0),
    "soft_argmax": functools.partial(soft_argmax, beta=15.0),
}


def _cells(seed: int, low: float = 0.0, high: float = SIZE - 1.0, points: int = 200) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(low, high, (2, points, 2)), jnp.float32)


def _map(*rows: list[float]) -> jax.Array:
    """One map [1, H, W, 1]."""
    return jnp.asarray(rows)[None, :, :, None]


@pytest.mark.parametrize(("centred", "cells"), [(True, [[0.0, 64.625]]), (False, [[0.375, 65.0]])])
def test_pixels_become_cells_and_back(centred: bool, cells: list):
    points = jnp.asarray([[[1.5, 260.0]]])
    np.testing.assert_array_equal(heatmaps.to_cells(points, 4, centred), [cells])
    np.testing.assert_array_equal(heatmaps.to_pixels(heatmaps.to_cells(points, 4, centred), 4, centred), points)


def test_the_published_map_of_a_face_of_384_pixels():
    """Oracle H2: from 0 to 100, 60.653066 at four cells, mean square 54.54; rows are y."""
    drawn = draw_published(heatmaps.to_cells(jnp.asarray([[[200.0, 160.0]]]), 4, centred=False), 96)
    assert drawn.shape == (1, 96, 96, 1)
    assert (drawn.max(), drawn.min(), drawn[0, 40, 50, 0]) == (100, 0, 100)
    assert_float32_close([drawn[0, 44, 50, 0], drawn[0, 40, 46, 0]], [60.653066] * 2, depth=8, scale=100)
    np.testing.assert_allclose(jnp.mean(drawn**2), 54.54, rtol=0, atol=5e-3)  # Two decimals.


def test_published_maps_reach_0_and_100_wherever_the_point_is():
    cells = jnp.concatenate([_cells(0), jnp.asarray([[[-3.0, 5.0], [1e4, -1e5]]] * 2)], axis=1)
    # Not compiled as a whole: a product and a difference in one operation leave 1e-13 where the two give 0.
    drawn = np.asarray(heatmaps.draw_published(cells, SIZE))
    np.testing.assert_array_equal(drawn.max(axis=(1, 2)), 100)
    np.testing.assert_array_equal(drawn.min(axis=(1, 2)), 0)
    np.testing.assert_array_equal(argmax(drawn), jnp.clip(jnp.round(cells), 0, SIZE - 1))


def test_unbiased_maps_are_gaussians_around_the_point_itself():
    cells = _cells(1, low=-4, high=SIZE + 4, points=3)
    drawn = draw_unbiased(cells, SIZE, 1.7)
    y, x = np.mgrid[:SIZE, :SIZE]
    x, y = (axis[None, :, :, None] - cells[:, None, None, :, i] for i, axis in enumerate((x, y)))
    # Of exponents to -70, whose error is relative here; what is smaller may be rounded to 0.
    expected = np.exp(-(x**2 + y**2) / (2 * 1.7**2))
    np.testing.assert_allclose(drawn, expected, rtol=float32_error(depth=6, scale=70), atol=1e-30)


def test_probabilities_of_gaussians_sum_to_one_and_have_their_shape():
    cells = _cells(2, low=-4, high=SIZE + 4, points=3)
    probability = jnp.exp(log_gaussian(cells, SIZE, 2.0))
    assert_float32_close(probability.sum(axis=(1, 2)), np.ones((2, 3)), depth=SIZE**2)
    drawn = draw_unbiased(cells, SIZE, 2.0)
    # Of a sum over all cells, and of exponents to -40; what is smaller does not count.
    relative = float32_error(depth=SIZE**2) + float32_error(depth=6, scale=40)
    expected = drawn / drawn.sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(probability, expected, rtol=relative, atol=1e-9)


def test_points_out_of_reach_are_those_three_sigma_outside():
    cells = jnp.asarray([[[-5.9, 3.0], [-6.1, 3.0], [3.0, 36.9], [3.0, 37.1], [jnp.nan, 3.0], [0.0, 31.0]]])
    np.testing.assert_array_equal(heatmaps.in_reach(cells, SIZE, 2.0), [[1, 0, 1, 0, 0, 1]])


@pytest.mark.parametrize(
    ("decoder", "mean", "worst"),
    [("argmax", 0.26, 0.5), ("quarter", 0.14, 0.5), ("dark", 0.03, 0.5), ("soft_argmax", 0.05, 0.5)],
)
def test_points_come_back_from_unbiased_maps(decoder: str, mean: float, worst: float):
    """Everywhere on the map, its border cells included, where DARK falls back to the cell."""
    cells = _cells(3)
    error = jnp.abs(DECODERS[decoder](draw_unbiased(cells, SIZE, 2.0)) - cells)
    assert error.mean() < mean
    assert error.max() <= worst + float32_error(depth=SIZE**2, scale=SIZE)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_dark_is_within_a_two_hundredth_of_a_cell_one_cell_from_the_border_and_at_any_height(sigma: float):
    cells = _cells(4, low=0.51, high=SIZE - 1.51)
    drawn = draw_unbiased(cells, SIZE, sigma)
    for height in (0.01, 1.0, 100.0):
        np.testing.assert_allclose(dark(height * drawn, sigma=sigma), cells, rtol=0, atol=1 / 200)


def test_dark_finds_the_peak_of_a_tilted_gaussian():
    y, x = np.mgrid[:SIZE, :SIZE] - np.asarray([14.3, 15.8])[:, None, None]
    tilted = _map(*np.exp(-(x**2 + 1.2 * x * y + y**2) / 18))
    # One step leads to the peak, but for the cut-off of the window that smooths.
    np.testing.assert_allclose(dark(tilted, sigma=2.0), [[[15.8, 14.3]]], rtol=0, atol=0.02)


def test_dark_smooths_noise_away_that_moves_the_argmax():
    cells = _cells(5, low=8, high=SIZE - 9)
    noise = np.random.default_rng(6).normal(0, 0.05, (2, SIZE, SIZE, 200)).astype(np.float32)
    noisy = draw_unbiased(cells, SIZE, 2.0) + noise
    error = {name: jnp.abs(DECODERS[name](noisy) - cells).mean() for name in ("argmax", "quarter", "dark")}
    assert error["dark"] < 0.6 * error["quarter"] < 0.6 * error["argmax"]


def test_dark_falls_back_to_quarter_where_there_is_no_peak():
    flat = jnp.ones((1, 6, 6, 1))
    ridge = flat * jnp.asarray([0.0, 0, 1, 2, 0, 0])[None, :, None, None]
    border = draw_unbiased(jnp.asarray([[[0.2, 3.3]]]), 6, 1.0)
    for maps in (flat, -flat, ridge, border):
        np.testing.assert_array_equal(dark(maps, sigma=1.0), quarter(maps))


def test_dark_moves_by_at_most_a_cell():
    rough = jnp.asarray(np.random.default_rng(7).uniform(0, 1, (3, 12, 12, 50)), jnp.float32)
    step = DECODERS["dark"](rough) - argmax(rough)
    assert jnp.abs(step).max() == 1


def test_quarter_looks_at_the_neighbours_along_each_axis():
    single = _map([0, 1, 0, 0], [2, 9, 3, 0], [0, 4, 0, 0])
    np.testing.assert_array_equal(quarter(single), [[[1.25, 1.25]]])
    np.testing.assert_array_equal(quarter(single[:, ::-1, ::-1]), [[[1.75, 0.75]]])
    np.testing.assert_array_equal(quarter(_map([9, 3, 0], [8, 0, 0], [0, 0, 0])), [[[0, 0]]])
    np.testing.assert_array_equal(quarter(_map([0, 3, 0], [3, 9, 3], [0, 3, 0])), [[[1, 1]]])


def test_argmax_is_x_then_y_and_takes_the_first_of_several():
    np.testing.assert_array_equal(argmax(_map([0, 0, 7, 0], [7, 0, 0, 7])), [[[2, 0]]])


def test_soft_argmax_of_logits_is_their_mean():
    cells = _cells(8, low=10, high=SIZE - 11)
    logits = 3.0 + log_gaussian(cells, SIZE, 2.0)
    assert_float32_close(soft_argmax(logits), cells, depth=SIZE**2, scale=SIZE)
    assert_float32_close(soft_argmax(_map([0, 0, 0], [0, 0, np.log(3.0)])), [[[1.25, 0.625]]], depth=12)


def test_the_mass_near_a_point_is_that_of_a_square():
    uniform = jnp.full((1, 10, 10, 2), 0.01)
    cells = jnp.asarray([[[5.0, 5.0], [0.4, 20.0]]])
    assert_float32_close(heatmaps.mass_near(uniform, cells, 2.0), [[0.25, 0.0]], depth=25)


def test_maps_need_not_be_square():
    maps = draw_unbiased(jnp.asarray([[[20.4, 9.3]]]), SIZE, 2.0)[:, :18]
    for name, decode in DECODERS.items():
        worst = 0.5 if name == "argmax" else 0.2  # A whole cell, or quarters and fractions of it.
        np.testing.assert_allclose(decode(maps), [[[20.4, 9.3]]], rtol=0, atol=worst, err_msg=name)
