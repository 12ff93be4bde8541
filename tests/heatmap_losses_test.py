"""Losses of heat-maps against hand-made numbers and their own definitions in numpy."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.images import heatmaps
from jaxlm.tasks import heatmap_losses
from tolerances import assert_float32_close

SIZE = 16
heatmap_mse = jax.jit(heatmap_losses.heatmap_mse)
adaptive_wing = jax.jit(heatmap_losses.adaptive_wing)
soft_argmax = jax.jit(heatmap_losses.soft_argmax, static_argnames="sigma")
star = jax.jit(heatmap_losses.star)
draw_unbiased = jax.jit(heatmaps.draw_unbiased, static_argnums=1)
log_gaussian = jax.jit(heatmaps.log_gaussian_probabilities, static_argnums=(1, 2))
MAP_LOSSES = {"mse": heatmap_mse, "adaptive_wing": adaptive_wing}
LOGIT_LOSSES = {"soft_argmax": soft_argmax, "star": star}


def _on_points(loss: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """A loss of drawn maps as one of true points, so that all four are called alike."""

    def call(maps: jax.Array, cells: jax.Array, weight: jax.Array | None = None) -> jax.Array:
        return loss(maps, heatmaps.draw_unbiased(cells, SIZE, 1.5), weight)

    return call


LOSSES = {name: jax.jit(_on_points(loss)) for name, loss in MAP_LOSSES.items()}
LOSSES |= {name: jax.jit(loss) for name, loss in LOGIT_LOSSES.items()}
GRADIENTS = {name: jax.jit(jax.grad(lambda *faces, loss=loss: loss(*faces).sum())) for name, loss in LOSSES.items()}


def _faces(seed: int, count: int = 3, points: int = 4) -> tuple[jax.Array, jax.Array]:
    """Random maps [B, S, S, N] and points [B, N, 2] in cells."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(0, 1, (count, SIZE, SIZE, points))
    return jnp.asarray(maps, jnp.float32), jnp.asarray(rng.uniform(3, 12, (count, points, 2)), jnp.float32)


def _point(x: float, y: float) -> jax.Array:
    return jnp.asarray(np.float32([[[x, y]]]))


def _logits(x: float, y: float, covariance: np.ndarray, size: int = 65) -> jax.Array:
    """Logits [1, size, size, 1] of a Gaussian with a covariance in cells."""
    offsets = np.stack(np.meshgrid(np.arange(size) - x, np.arange(size) - y), axis=-1)
    squared = np.einsum("hwi,ij,hwj->hw", offsets, np.linalg.inv(covariance), offsets)
    return jnp.asarray(-0.5 * squared, jnp.float32)[None, :, :, None]


def test_mse_of_empty_maps_is_the_mean_square_of_the_published_target():
    target = jax.jit(heatmaps.draw_published, static_argnums=1)(_point(48, 48), 96)
    np.testing.assert_allclose(heatmap_mse(jnp.zeros_like(target), target), [54.54], rtol=0, atol=5e-3)  # Two decimals.


def test_mse_of_a_constant_error_is_its_square():
    _, cells = _faces(0)
    target = draw_unbiased(cells, SIZE, 1.5)
    assert_float32_close(heatmap_mse(target - 3.0, target), [9.0] * 3, depth=4 * SIZE**2)


@pytest.mark.parametrize("y", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("error", [0.1, -0.3, 0.7, -2.0])
def test_adaptive_wing_is_its_formula_on_both_sides_of_theta(y: float, error: float):
    power = 2.1 - y
    slope = 14 / (1 + 0.5**power) * power * 0.5 ** (power - 1)
    offset = 0.5 * slope - 14 * np.log(1 + 0.5**power)
    expected = 14 * np.log(1 + abs(error) ** power) if abs(error) < 0.5 else slope * abs(error) - offset
    target = jnp.full((1, 3, 3, 2), y)
    assert_float32_close(adaptive_wing(target + error, target, foreground=0.0), [expected], depth=10, scale=14)
    weighted = 11 * expected if y > 0.2 else expected
    assert_float32_close(adaptive_wing(target + error, target), [weighted], depth=10, scale=14 * weighted / expected)


def test_adaptive_wing_is_smooth_where_the_logarithm_meets_the_line():
    value_and_slope = jax.jit(jax.value_and_grad(lambda d: adaptive_wing(0.4 + d, jnp.full((1, 1, 1, 1), 0.4))[0]))
    below, above = (value_and_slope(jnp.full((1, 1, 1, 1), size)) for size in (0.4999, 0.5001))
    # Between these errors, 0.0002 apart, the loss grows by 6e-4 of itself.
    np.testing.assert_allclose(below[0], above[0], rtol=1e-3)
    np.testing.assert_allclose(below[1], above[1], rtol=1e-3)


def test_adaptive_wing_counts_the_neighbours_of_the_foreground_eleven_times():
    target = jnp.zeros((1, 7, 7, 1)).at[0, 3, 0].set(1.0).at[0, 6, 5].set(0.19)
    predicted = jnp.where(target == 0, 0.1, target)
    gradient = jax.jit(jax.grad(lambda maps: adaptive_wing(maps, target).sum()))(predicted)[0, :, :, 0]
    near = np.zeros((7, 7), bool)
    near[2:5, :2] = True
    background = np.asarray(gradient)[~near & (np.asarray(target)[0, :, :, 0] == 0)]
    assert_float32_close(background, np.full(background.shape, background[0]), depth=10)
    assert_float32_close(gradient[2, 0], 11 * background[0], depth=10)
    assert gradient[3, 0] == gradient[6, 5] == 0


def test_soft_argmax_loss_is_zero_at_its_own_gaussian_and_grows_by_the_distance():
    cells = jnp.asarray([[[7.3, 8.1], [6.0, 9.5]]])
    logits = 5.0 + log_gaussian(cells, SIZE, 1.0)
    # Logarithms of cells that count are down to -10.
    assert_float32_close(soft_argmax(logits, cells), [0.0], depth=SIZE**2, scale=10)
    moved = soft_argmax(logits, cells + jnp.asarray([[[3.0, 4.0]]]), divergence_weight=0.0)
    assert_float32_close(moved, [5 * 2 / SIZE], depth=SIZE**2, scale=2)


def test_the_divergence_is_that_of_jensen_and_shannon():
    logits, _ = _faces(1, count=1, points=1)
    cells = _point(6.2, 9.0)
    p = np.asarray(heatmaps.probabilities(logits), np.float64).ravel()
    q = np.exp(np.asarray(log_gaussian(cells, SIZE, 2.0), np.float64)).ravel()
    middle = (p + q) / 2
    expected = (np.sum(p * np.log(p / middle)) + np.sum(q * np.log(q / middle))) / 2
    divergence = soft_argmax(logits, cells, sigma=2.0) - soft_argmax(logits, cells, sigma=2.0, divergence_weight=0.0)
    assert_float32_close(divergence, [expected], depth=SIZE**2, scale=10)


def test_the_divergence_of_maps_without_a_common_cell_is_the_logarithm_of_two():
    far = 200 * draw_unbiased(_point(0, 0), SIZE, 0.5)
    corner = _point(15, 15)
    divergence = soft_argmax(far, corner, sigma=0.5) - soft_argmax(far, corner, sigma=0.5, divergence_weight=0.0)
    assert_float32_close(divergence, [np.log(2)], depth=4, scale=200)


def test_star_of_a_round_map_is_smooth_l1_over_the_deviation():
    """Errors of 4 and 3 cells of 32 a half side, deviation 2 cells; and an error of 0.3 cells on the parabola."""
    logits = _logits(30, 31, 4.0 * np.eye(2))
    eigenvalue = 4 / 32**2
    # The unbiased covariance divides by 1 - sum p^2 = 1 - 1 / (4 pi variance).
    variance = eigenvalue / (1 - 1 / (16 * np.pi))
    linear = (4 / 32 - 0.005 + 3 / 32 - 0.005) / np.sqrt(variance + 1e-5)
    # Errors are differences of places up to 34.
    assert_float32_close(star(logits, _point(34, 34)), [linear + 2 * variance], depth=65**2, scale=linear * 34 / 3)
    parabola = 0.5 * (0.3 / 32) ** 2 / 0.01 / np.sqrt(variance + 1e-5)
    found = star(logits, _point(30.3, 31), restriction=0.0)
    assert_float32_close(found, [parabola], depth=65**2, scale=2 * parabola * 31 / 0.3)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 130])
def test_star_weighs_errors_along_the_spread_less_in_any_direction(degrees: float):
    angle = np.radians(degrees)
    axes = np.asarray([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    logits = _logits(32, 32, axes.T @ np.diag([25.0, 4.0]) @ axes)
    along, across = (star(logits, 32 + 5 * _point(*axis), restriction=0.0)[0] for axis in axes)
    variances = np.asarray([25, 4]) / 32**2 / (1 - 1 / (4 * np.pi * 10))
    ratio = np.sqrt((variances[0] + 1e-5) / (variances[1] + 1e-5))
    # Errors of 5 cells are differences of places up to 37.
    assert_float32_close(across / along, ratio, depth=65**2, scale=2 * ratio * 37 / 5)


def test_the_restriction_is_the_trace_of_the_covariance():
    logits = _logits(32, 32, np.asarray([[9.0, 3.0], [3.0, 4.0]]))
    restriction = star(logits, _point(32, 32), restriction=2.0) - star(logits, _point(32, 32), restriction=0.0)
    unbiased = 1 - 1 / (4 * np.pi * np.sqrt(27))
    # The difference of two losses, the second one that of a mean cell a rounding error away.
    assert_float32_close(restriction, [2 * 13 / 32**2 / unbiased], depth=65**2, scale=1)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_at_the_truth_and_on_flat_and_peaked_maps(name: str):
    cells = jnp.asarray([[[7.0, 8.0]]])
    for maps in (draw_unbiased(cells, SIZE, 1.5), jnp.zeros((1, SIZE, SIZE, 1))):
        for scale in (1.0, 1e4):
            assert np.isfinite(GRADIENTS[name](scale * maps, cells)).all()


@pytest.mark.parametrize("name", LOSSES)
def test_following_the_gradient_leads_to_the_point(name: str):
    maps, cells = _faces(2, count=1)
    step = {"mse": 100.0, "adaptive_wing": 2.0, "soft_argmax": 30.0, "star": 1.0}[name]
    before = LOSSES[name](maps, cells)
    for _ in range(200):
        maps -= step * GRADIENTS[name](maps, cells)
    assert LOSSES[name](maps, cells) < 0.5 * before
    decode = heatmaps.soft_argmax if name in LOGIT_LOSSES else heatmaps.argmax
    np.testing.assert_allclose(jax.jit(decode)(maps), cells, rtol=0, atol=1.0)  # 200 steps lead to its cell.


@pytest.mark.parametrize("name", LOSSES)
def test_each_face_has_its_own_loss(name: str):
    maps, cells = _faces(3)
    whole = LOSSES[name](maps, cells)
    assert whole.shape == (3,)
    alone = [LOSSES[name](maps[i : i + 1], cells[i : i + 1])[0] for i in range(3)]
    assert_float32_close(whole, alone, depth=4 * SIZE**2)


@pytest.mark.parametrize("name", LOSSES)
def test_points_of_weight_zero_are_not_there(name: str):
    maps, cells = _faces(4)
    weight = jnp.asarray([[1.0, 1, 0, 0]] * 3)
    spoilt = cells.at[:, 2:].set(jnp.nan)
    expected = LOSSES[name](maps[..., :2], cells[:, :2])
    assert_float32_close(LOSSES[name](maps, spoilt, weight), expected, depth=4 * SIZE**2)
    gradient = GRADIENTS[name](maps, spoilt, weight)
    np.testing.assert_array_equal(gradient[..., 2:], 0)
    assert (np.abs(gradient[..., :2]).sum(axis=(1, 2)) > 0).all()
    np.testing.assert_array_equal(LOSSES[name](maps, cells, jnp.zeros((3, 4))), np.zeros(3))


@pytest.mark.parametrize("name", LOSSES)
def test_weights_make_a_weighted_mean(name: str):
    maps, cells = _faces(5)
    twice = LOSSES[name](maps, cells, jnp.asarray([[2.0, 1, 1, 1]] * 3))
    again = jnp.asarray([0, 1, 2, 3, 0])
    repeated = LOSSES[name](maps[..., again], cells[:, again])
    assert_float32_close(twice, repeated, depth=5 * SIZE**2)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_refuse_to_broadcast(name: str):
    maps, cells = _faces(6)
    loss = (MAP_LOSSES | LOGIT_LOSSES)[name]
    truth = maps if name in MAP_LOSSES else cells
    for other in (truth[:1], truth[0], truth[..., :1], truth[:, :1]):
        with pytest.raises(AssertionError):
            loss(maps, other)
    for weight in (jnp.ones((3, 1)), jnp.ones(4)):
        with pytest.raises(AssertionError):
            loss(maps, truth, weight)
