import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import tasks
from jaxlm.config import TaskConfig


def test_pixels_are_taken_as_they_are_in_the_order_x_y():
    task = tasks.build(TaskConfig(), input_size=128)
    np.testing.assert_array_equal(task.points(jnp.asarray([[1.0, 2.0, 3.0, 4.0]])), [[[1, 2], [3, 4]]])


def test_units_count_from_the_centre_in_half_sides():
    task = tasks.build(TaskConfig(options={"units": "unit"}), input_size=64)
    points = task.points(jnp.asarray([[0.0, 0.0, 1.0, -1.0]]))
    np.testing.assert_allclose(points, [[[31.5, 31.5], [63.5, -0.5]]])


@pytest.mark.parametrize("units", ["pixels", "unit"])
def test_the_loss_is_one_for_one_pixel_in_either_unit(units: str):
    """Oracle S11: the L1 loss of a constant offset of one pixel is 1.0."""
    task = tasks.build(TaskConfig(options={"units": units}), input_size=64)
    outputs = jnp.linspace(-0.5, 0.5, 20).reshape(2, 10)
    loss = task.loss(outputs, task.points(outputs) + 1.0, jnp.ones((2, 5), bool))
    np.testing.assert_allclose(loss, [1.0, 1.0], rtol=1e-6)


def test_unknown_losses_and_options_are_named():
    with pytest.raises(ValueError, match="known: l1, smooth_l1, wing"):
        tasks.build(TaskConfig(options={"loss_name": "l3"}), 64)
    with pytest.raises(ValueError, match="Did you mean units"):
        tasks.build(TaskConfig(options={"unit": "pixels"}), 64)
