"""Tasks: what raw outputs mean, for coordinates and for heat-maps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import tasks
from jaxlm.config import ModelConfig, TaskConfig
from jaxlm.images import heatmaps
from jaxlm.tasks import registry
from tolerances import assert_float32_close


def test_pixels_are_taken_as_they_are_in_the_order_x_y():
    task = tasks.build(TaskConfig(), ModelConfig(input_size=128))
    np.testing.assert_array_equal(task.points(jnp.asarray([[1.0, 2.0, 3.0, 4.0]])), [[[1, 2], [3, 4]]])


def test_units_count_from_the_centre_in_half_sides():
    task = tasks.build(TaskConfig(options={"units": "unit"}), ModelConfig(input_size=64))
    points = task.points(jnp.asarray([[0.0, 0.0, 1.0, -1.0]]))
    np.testing.assert_array_equal(points, [[[31.5, 31.5], [63.5, -0.5]]])


@pytest.mark.parametrize("units", ["pixels", "unit"])
def test_the_loss_is_one_for_one_pixel_in_either_unit(units: str):
    """Oracle S11: the L1 loss of a constant offset of one pixel is 1.0."""
    task = tasks.build(TaskConfig(options={"units": units}), ModelConfig(input_size=64))
    outputs = jnp.linspace(-0.5, 0.5, 20).reshape(2, 10)
    loss = task.loss(outputs, task.points(outputs) + 1.0, jnp.ones((2, 5), bool))
    assert_float32_close(loss, [1.0, 1.0], depth=10, scale=64)


def test_unknown_losses_and_options_are_named():
    with pytest.raises(ValueError, match="known: l1, smooth_l1, wing"):
        tasks.build(TaskConfig(options={"loss_name": "l3"}), ModelConfig())
    with pytest.raises(ValueError, match="Did you mean units"):
        tasks.build(TaskConfig(options={"unit": "pixels"}), ModelConfig())
    with pytest.raises(ValueError, match=r"unknown task 'heatmap'.* Did you mean heatmaps"):
        tasks.build(TaskConfig(name="heatmap"), ModelConfig())


def test_regressed_coordinates_carry_no_confidence():
    assert tasks.build(TaskConfig(), ModelConfig(input_size=128)).confidence(jnp.zeros((2, 10))) is None


draw_published = jax.jit(heatmaps.draw_published, static_argnums=1)
draw_unbiased = jax.jit(heatmaps.draw_unbiased, static_argnums=1)
log_gaussian = jax.jit(heatmaps.log_gaussian_probabilities, static_argnums=1)
PUBLISHED = {"target": "published", "loss_name": "mse", "sigma": 4.0, "decoder": "argmax"}


def _heatmap_task(input_size: int = 64, **options: Any) -> registry.HeatMapTask:
    return tasks.build(TaskConfig("heatmaps", options), ModelConfig(input_size=input_size))


def _points(seed: int, low: float, high: float) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(low, high, (2, 30, 2)), jnp.float32)


@pytest.mark.parametrize(("legacy_axes", "row", "column"), [(True, 25, 65), (False, 65, 25)])
def test_legacy_axes_are_those_of_the_published_code(legacy_axes: bool, row: int, column: int):
    """Oracle H3: the label (100, 260) of a 384 px crop."""
    task = _heatmap_task(384, legacy_axes=legacy_axes, **PUBLISHED)
    maps = jnp.zeros((1, 96, 96, 1)).at[0, row, column].set(100.0)
    np.testing.assert_array_equal(task.points(maps), [[[100, 260]]])
    cells = jnp.asarray([[[column, row]]], jnp.float32)
    target = draw_published(cells, 96)
    np.testing.assert_array_equal(task.loss(target, jnp.asarray([[[100.0, 260.0]]]), jnp.ones((1, 1))), [0])


@pytest.mark.parametrize("legacy_axes", [True, False])
def test_published_maps_give_points_back_within_two_pixels(legacy_axes: bool):
    """Oracle H4."""
    task = _heatmap_task(legacy_axes=legacy_axes, **PUBLISHED)
    points = _points(0, 0, 61.9)
    cells = points[..., ::-1] / 4 if legacy_axes else points / 4
    error = jnp.abs(jax.jit(task.points)(draw_published(cells, 16)) - points)
    assert 1.9 < error.max() <= 2.0


@pytest.mark.parametrize(
    ("loss_name", "decoder", "worst"),
    [
        ("adaptive_wing", "argmax", 2.001),
        ("adaptive_wing", "quarter", 1.1),
        ("adaptive_wing", "dark", 0.02),
        ("mse", "dark", 0.02),
        ("soft_argmax", "soft_argmax", 0.03),
        ("soft_argmax", "dark", 0.02),
        ("star", "soft_argmax", 0.03),
    ],
)
def test_perfect_maps_have_the_points_no_loss_and_full_confidence(loss_name: str, decoder: str, worst: float):
    task = _heatmap_task(128, loss_name=loss_name, decoder=decoder, sigma=1.5)
    points = _points(1, 30, 97)
    cells = heatmaps.to_cells(points, 4, centred=True)
    logits = loss_name in ("soft_argmax", "star")
    outputs = (log_gaussian if logits else draw_unbiased)(cells, 32, 1.5)
    assert jnp.abs(jax.jit(task.points)(outputs) - points).max() <= worst
    loss = jax.jit(task.loss)(outputs, points, jnp.ones((2, 30)))
    # STAR still counts the spread: two eigenvalues of sigma^2 in half sides of the map, without bias.
    spread = 2 * (1.5 / 15.5) ** 2 / (1 - 1 / (4 * np.pi * 1.5**2))
    # Logarithms of cells that count are down to -10.
    assert_float32_close(loss, [spread if loss_name == "star" else 0.0] * 2, depth=32 * 32, scale=10)
    confidence = jax.jit(task.confidence)(outputs)
    assert confidence.shape == (2, 30)
    assert (confidence > 0.85).all()
    assert (confidence <= 1).all()


@pytest.mark.parametrize("options", [PUBLISHED, {}, {"loss_name": "soft_argmax"}, {"loss_name": "star"}])
def test_confidence_falls_where_a_map_shows_nothing(options: dict):
    confidence = jax.jit(_heatmap_task(**options).confidence)
    assert (confidence(0.01 * jnp.ones((1, 16, 16, 2))) < 0.45).all()
    assert (confidence(-jnp.ones((1, 16, 16, 2))) >= 0).all()


@pytest.mark.parametrize("options", [PUBLISHED, {}, {"loss_name": "soft_argmax"}, {"loss_name": "star"}])
def test_points_far_outside_of_the_crop_do_not_count(options: dict):
    task = _heatmap_task(**options)
    outputs = jnp.asarray(np.random.default_rng(2).normal(0, 1, (1, 16, 16, 2)), jnp.float32)
    points, visible = jnp.asarray([[[20.0, 30.0], [20.0, -500.0]]]), jnp.ones((1, 2))
    value_and_gradient = jax.jit(jax.value_and_grad(lambda maps: task.loss(maps, points, visible).sum()))
    loss, gradient = value_and_gradient(outputs)
    np.testing.assert_array_equal(gradient[..., 1], 0)
    assert jnp.abs(gradient[..., 0]).sum() > 0
    assert_float32_close(loss, value_and_gradient(outputs.at[..., 1].set(0.0))[0], depth=2 * 16 * 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"loss_name": "adaptiv_wing"},
            "loss_name of task heatmaps cannot be 'adaptiv_wing'. Did you mean adaptive_wing",
        ),
        ({"decoder": "drak"}, r"Did you mean dark\?"),
        ({"target": "published"}, "for loss mse, not adaptive_wing"),
        ({"legacy_axes": True}, "wants target published"),
        ({"decoder": "soft_argmax"}, "reads logits, and loss adaptive_wing teaches heights"),
        ({"sigma": 0.0}, "sigma must be above 0"),
        ({"stride": 5}, "64 pixels cannot be cut into cells of 5"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        _heatmap_task(**options)


@pytest.mark.parametrize("shape", [(1, 32, 32, 5), (1, 16, 15, 5), (1, 10)])
def test_outputs_of_another_size_are_refused(shape: tuple):
    with pytest.raises(ValueError, match=r"\[B, 16, 16, N\]; the model's outputs are \[1, "):
        _heatmap_task().points(jnp.zeros(shape))


def test_all_stages_are_supervised_and_the_last_is_read():
    task = _heatmap_task(loss_name="mse", decoder="argmax")
    rng = np.random.default_rng(0)
    first, last = (jnp.asarray(rng.random((2, 16, 16, 3)), jnp.float32) for _ in range(2))
    points, visible = jnp.asarray(rng.uniform(0, 63, (2, 3, 2)), jnp.float32), jnp.ones((2, 3))
    loss, read, trust = map(jax.jit, (task.loss, task.points, task.confidence))
    one_by_one = [loss(maps, points, visible) for maps in (first, last)]
    assert_float32_close(loss((first, last), points, visible), sum(one_by_one) / 2, depth=3 * 16 * 16)
    np.testing.assert_array_equal(read((first, last)), read(last))
    np.testing.assert_array_equal(trust((first, last)), trust(last))
