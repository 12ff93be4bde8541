"""Losses against hand-made numbers and their own definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.tasks.point_losses import LOSSES, l1, smooth_l1, wing
from tolerances import assert_float32_close

JITTED = {name: jax.jit(loss) for name, loss in LOSSES.items()}
GRADIENTS = {name: jax.jit(jax.grad(lambda *faces, loss=loss: loss(*faces).sum())) for name, loss in LOSSES.items()}


def _faces(seed: int, count: int = 3, points: int = 5) -> tuple[jax.Array, jax.Array]:
    predicted, truth = np.random.default_rng(seed).uniform(0, 128, (2, count, points, 2)).astype(np.float32)
    return jnp.asarray(predicted), jnp.asarray(truth)


def _offset(error: float) -> tuple[jax.Array, jax.Array]:
    _, truth = _faces(0, count=1)
    return truth + error, truth


@pytest.mark.parametrize("offset", [1.0, -1.0])
def test_l1_of_one_pixel_is_one(offset):
    assert_float32_close(l1(*_offset(offset)), [1.0], depth=10, scale=128)


def test_l1_averages_over_the_coordinates():
    predicted = jnp.asarray([[[3.0, 4.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, -2.0]]])
    np.testing.assert_array_equal(l1(predicted, jnp.zeros((2, 2, 2))), [2.0, 0.5])


@pytest.mark.parametrize(("error", "beta", "expected"), [(0.5, 1.0, 0.125), (3.0, 1.0, 2.5), (1.0, 4.0, 0.125)])
def test_smooth_l1_on_both_sides_of_beta(error, beta, expected):
    assert_float32_close(smooth_l1(*_offset(error), beta=beta), [expected], depth=10, scale=128)


def test_wing_on_both_sides_of_the_width():
    assert_float32_close(wing(*_offset(2.0)), [10 * np.log(2)], depth=10, scale=128)
    assert_float32_close(wing(*_offset(20.0)), [20 - (10 - 10 * np.log(6))], depth=10, scale=128)


def test_wing_is_continuous_and_steepest_at_small_errors():
    size = jnp.linspace(0.01, 20, 2000)
    errors = jnp.broadcast_to(size[:, None, None], (2000, 1, 2))
    value = JITTED["wing"](errors, jnp.zeros_like(errors))
    slope = GRADIENTS["wing"](errors, jnp.zeros_like(errors)).sum(axis=(1, 2))
    assert np.abs(np.diff(value)).max() < 0.06
    assert_float32_close([slope[0], slope[-1]], [10 / 2.01, 1.0], depth=8)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_zero_at_the_truth_with_finite_gradients(name):
    _, truth = _faces(1)
    np.testing.assert_array_equal(JITTED[name](truth, truth), np.zeros(3))
    gradient = GRADIENTS[name](truth, truth)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", LOSSES)
def test_each_face_has_its_own_loss(name):
    predicted, truth = _faces(2)
    whole = JITTED[name](predicted, truth)
    assert whole.shape == (3,)
    alone = [JITTED[name](predicted[i : i + 1], truth[i : i + 1])[0] for i in range(3)]
    assert_float32_close(whole, alone, depth=10)


@pytest.mark.parametrize("name", LOSSES)
def test_points_of_weight_zero_are_not_there(name):
    predicted, truth = _faces(3)
    weight = jnp.asarray([[1, 1, 1, 0, 0]] * 3)
    spoilt = truth.at[:, 3:].set(jnp.nan)
    expected = JITTED[name](predicted[:, :3], truth[:, :3])
    assert_float32_close(JITTED[name](predicted, spoilt, weight), expected, depth=10)
    gradient = GRADIENTS[name](predicted, spoilt, weight)
    np.testing.assert_array_equal(gradient[:, 3:], 0)
    assert (np.abs(gradient[:, :3]) > 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_weights_make_a_weighted_mean(name):
    predicted, truth = _faces(4)
    quarters = JITTED[name](predicted, truth, jnp.full((3, 5), 0.25))
    assert_float32_close(quarters, JITTED[name](predicted, truth), depth=10)
    np.testing.assert_array_equal(JITTED[name](predicted, truth, jnp.zeros((3, 5))), np.zeros(3))
    twice = JITTED[name](predicted, truth, jnp.asarray([[2.0, 1, 1, 1, 1]] * 3))
    repeated = JITTED[name](*(jnp.concatenate([points, points[:, :1]], axis=1) for points in (predicted, truth)))
    assert_float32_close(twice, repeated, depth=12)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_refuse_to_broadcast(name):
    points = jnp.zeros((4, 5, 2))
    for other in (jnp.zeros((1, 5, 2)), jnp.zeros((5, 2)), jnp.zeros((4, 5, 1)), jnp.zeros((4, 10))):
        with pytest.raises(AssertionError):
            LOSSES[name](points, other)
    with pytest.raises(AssertionError):
        LOSSES[name](jnp.zeros((4, 10)), jnp.zeros((4, 10)))
    with pytest.raises(AssertionError):
        LOSSES[name](points, points, jnp.ones((4, 1)))
