import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.config import OptimConfig
from jaxlm.training import optim
from tolerances import assert_float32_close, float32_error


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1e-10),
        (937, 1.250099875e-6),
        (374800, 5.0000005e-4),
        (749600, 1e-3),
        (1311800, 5.0000005e-4),
        (1873999, 1.0000195e-10),
    ],
)
def test_learning_rate_of_the_published_sepbn_recipe(step: int, expected: float):
    """Oracle S9: 2000 epochs of 937 steps, 800 of them warm-up."""
    schedule = optim.cosine_decay(1e-3, 800 * 937, 2000 * 937)
    np.testing.assert_allclose(jax.jit(schedule)(step), expected, rtol=float32_error(depth=10))


def test_learning_rate_without_warm_up_starts_at_its_peak():
    schedule = optim.cosine_decay(0.1, 0, 10)
    np.testing.assert_allclose(
        [schedule(0), schedule(5), schedule(10)], [0.1, 0.05, 1e-10], rtol=float32_error(depth=10)
    )


def test_learning_rate_of_the_released_heat_map_code_falls_from_its_first_epoch_on():
    """Oracle H5: Adam at 0.004, milestones 0 to 5, gamma 0.2."""
    decay = tuple((epoch, 0.2) for epoch in range(6))
    config = OptimConfig(name="adamw", learning_rate=4e-3, warmup_epochs=0, decay=decay)
    _, schedule = optim.optimiser(config, steps_per_epoch=10, epochs=6)
    rates = [float(jax.jit(schedule)(10 * epoch + 9)) for epoch in range(6)]
    np.testing.assert_allclose(rates, [8e-4, 1.6e-4, 3.2e-5, 6.4e-6, 1.28e-6, 2.56e-7], rtol=float32_error(depth=10))


def test_step_decay_warms_up_then_falls_at_the_step_where_an_epoch_begins():
    schedule = optim.step_decay(0.01, warmup_steps=4, decay=[(10, 0.4), (15, 0.4)])
    rates = [float(schedule(step)) for step in (0, 1, 4, 9, 10, 14, 15, 99)]
    expected = [0, 0.0025, 0.01, 0.01, 0.004, 0.004, 0.0016, 0.0016]
    np.testing.assert_allclose(rates, expected, rtol=float32_error(depth=10))


def test_learning_rate_of_the_published_translator():
    config = OptimConfig(learning_rate=1e-3, warmup_epochs=0, schedule="linear", betas=(0.5, 0.9))
    _, rate = optim.optimiser(config, steps_per_epoch=1_000, epochs=50)
    np.testing.assert_allclose([rate(0), rate(1_000), rate(25_500)], [1e-3, 1e-3, 5e-4], rtol=float32_error(depth=10))
    assert rate(50_000) == rate(60_000) == 0
    warm = optim.linear_decay(1e-3, 2_000, 50_000)
    np.testing.assert_allclose([warm(0), warm(500), warm(25_500)], [0, 2.5e-4, 5e-4], rtol=float32_error(depth=10))


def test_betas_are_those_of_adam():
    """The second step of Adam by hand, for gradients 1 and -1."""
    config = OptimConfig(learning_rate=1.0, warmup_epochs=0, decay=((9, 1.0),), betas=(0.5, 0.9))
    optimiser, _ = optim.optimiser(config, steps_per_epoch=1, epochs=1)
    params = {"kernel": jnp.zeros(())}
    _, state = optimiser.update({"kernel": jnp.ones(())}, optimiser.init(params), params)
    updates, _ = optimiser.update({"kernel": -jnp.ones(())}, state, params)
    mean, square = (0.5 * 0.5 - 0.5) / (1 - 0.5**2), (0.1 * 0.9 + 0.1) / (1 - 0.9**2)
    assert_float32_close(updates["kernel"], -mean / np.sqrt(square), depth=12, scale=1)


def test_temperature_falls_from_30_to_1_in_29_epochs_and_stays():
    """Oracle S7."""
    steps = jnp.arange(0, 40 * 937, 937)
    expected = np.maximum(1, 30 - np.arange(40))
    np.testing.assert_array_equal(optim.temperature(30.0, steps, 937), expected)
    np.testing.assert_array_equal(optim.temperature(30.0, steps + 936, 937), expected)


def test_sgd_couples_weight_decay_to_every_parameter():
    """Oracle S10: with a zero gradient, w <- w - lr * 5e-4 * w for kernel, scale and bias alike."""
    config = OptimConfig(name="sgd", learning_rate=0.1, warmup_epochs=0, weight_decay=5e-4)
    optimiser, _ = optim.optimiser(config, steps_per_epoch=10, epochs=10)
    params = {"kernel": jnp.ones((2, 2)), "scale": jnp.full(3, 2.0), "bias": jnp.full(3, -1.0)}
    updates, _ = optimiser.update(jax.tree.map(jnp.zeros_like, params), optimiser.init(params), params)
    for name, value in params.items():
        assert_float32_close(updates[name], -0.1 * 5e-4 * value, depth=3)


def test_sgd_momentum_is_pytorchs():
    config = OptimConfig(name="sgd", learning_rate=0.1, warmup_epochs=0)
    optimiser, schedule = optim.optimiser(config, steps_per_epoch=100, epochs=10)
    params, state, velocity, expected = jnp.ones(()), None, 0.0, 1.0
    state = optimiser.init(params)
    for step in range(5):
        updates, state = optimiser.update(jnp.asarray(0.5), state, params)
        params = params + updates
        velocity = 0.9 * velocity + 0.5
        expected -= float(schedule(step)) * velocity
        assert_float32_close(params, expected, depth=5 * 4, scale=1)


def test_clip_norm_bounds_the_gradient():
    config = OptimConfig(name="sgd", learning_rate=1.0, warmup_epochs=0, clip_norm=1.0)
    optimiser, _ = optim.optimiser(config, 10, 10)
    params = jnp.zeros(2)
    updates, _ = optimiser.update(jnp.asarray([30.0, 40.0]), optimiser.init(params), params)
    assert_float32_close(updates, [-0.6, -0.8], depth=6)


def test_adamw_decouples_weight_decay():
    config = OptimConfig(name="adamw", learning_rate=0.1, warmup_epochs=0, weight_decay=0.01)
    optimiser, _ = optim.optimiser(config, 10, 10)
    params = jnp.full(2, 3.0)
    updates, _ = optimiser.update(jnp.zeros(2), optimiser.init(params), params)
    assert_float32_close(updates, np.full(2, -0.1 * 0.01 * 3.0), depth=6)


PARAMETERS = {
    "trunk": {"conv": {"kernel": jnp.full(3, 2.0)}},
    "head": {"kernel": jnp.full(2, -1.0), "bias": jnp.ones(1)},
}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_factor_is_that_of_the_learning_rate(name: str):
    """Weight decay included: each part moves as it would at its own rate."""
    gradients = jax.tree.map(lambda leaf: 0.3 * leaf + 0.1, PARAMETERS)

    def three_steps(config: OptimConfig) -> dict:
        optimiser, _ = optim.optimiser(config, steps_per_epoch=10, epochs=10)
        params, state = PARAMETERS, optimiser.init(PARAMETERS)
        for _ in range(3):
            updates, state = optimiser.update(gradients, state, params)
            params = jax.tree.map(jnp.add, params, updates)
        return jax.tree.map(jnp.subtract, params, PARAMETERS)

    settings = {"name": name, "warmup_epochs": 0, "weight_decay": 0.01}
    rates = (("trunk", 0.5), ("trunk/conv", 0.5), ("head/bias", 0.0))
    parts = three_steps(OptimConfig(learning_rate=1e-3, rates=rates, **settings))
    whole = three_steps(OptimConfig(learning_rate=1e-3, **settings))
    quarter = three_steps(OptimConfig(learning_rate=2.5e-4, **settings))
    np.testing.assert_array_equal(parts["head"]["bias"], 0)
    assert_float32_close(parts["head"]["kernel"], whole["head"]["kernel"], depth=10, scale=1)
    assert_float32_close(parts["trunk"]["conv"]["kernel"], quarter["trunk"]["conv"]["kernel"], depth=10, scale=2)


def test_frozen_parts_do_not_count_in_the_clipping():
    config = OptimConfig(
        name="sgd", learning_rate=1.0, warmup_epochs=0, clip_norm=1.0, rates=(("trunk", 0.0), ("head/kernel", 0.1))
    )
    optimiser, _ = optim.optimiser(config, 10, 10)
    gradients = {
        "trunk": {"conv": {"kernel": jnp.full(3, 1e6)}},
        "head": {"kernel": jnp.asarray([30.0, 0.0]), "bias": jnp.asarray([40.0])},
    }
    updates, _ = optimiser.update(gradients, optimiser.init(PARAMETERS), PARAMETERS)
    assert_float32_close(updates["head"]["bias"], [-0.8], depth=6)
    assert_float32_close(updates["head"]["kernel"], [-0.06, 0], depth=6)
    np.testing.assert_array_equal(updates["trunk"]["conv"]["kernel"], 0)


@pytest.mark.parametrize("part", ["heads", "head/kern", "kernel"])
def test_a_part_without_parameters_is_named(part: str):
    optimiser, _ = optim.optimiser(OptimConfig(rates=((part, 0.1),)), 10, 10)
    with pytest.raises(ValueError, match=f"names '{part}', where there are no parameters; there are head, trunk"):
        optimiser.init(PARAMETERS)
