"""Device memory of a training step, and computing again what need not be kept."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest

from jaxlm import summary
from jaxlm.config import AugmentConfig, Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.training import memory, step
from jaxlm.training.step import init_state, make_recipe, train_step
from runs import changed
from tolerances import assert_float32_trees_close


@pytest.fixture
def deep(debug: Config) -> Config:
    """A network of cheap operations between a few products."""
    options = {"widths": (4, 8), "norm": "batch", "head_width": 8}
    return dataclasses.replace(
        changed(debug, model={"options": options}, data={"batch_size": 16}, optim={"name": "sgd"}),
        augment=AugmentConfig(),
    )


def test_computing_again_gives_the_same_step(deep: Config):
    batch = next(input_lib.train_batches(input_lib.open_faces(deep.data.dataset, "train", ""), 16, 0, 0, 1))
    batch = {name: batch[name] for name in ("image", "points", "visible")}
    recipes = [make_recipe(changed(deep, optim={"remat": remat}), 48, 2.0) for remat in (False, True)]
    state = jax.jit(functools.partial(init_state, recipes[0]))()
    states = [jax.jit(functools.partial(train_step, recipe=recipe))(state, batch)[0] for recipe in recipes]
    # Gradients are sums over the cells of 16 faces; some are nothing but their rounding.
    assert_float32_trees_close(*states, depth=16 * 32 * 32, scale=1)


def test_products_alone_are_kept_for_the_gradient():
    def layers(kernels: list[jax.Array], x: jax.Array) -> jax.Array:
        for kernel in kernels:
            x = jnp.tanh(jnp.sin(x @ kernel))
        return x.sum()

    def kept(function: Callable[..., jax.Array]) -> int:
        kernels, x = [jnp.ones((8, 8))] * 4, jnp.ones((100, 8))
        residuals = jax.eval_shape(lambda kernels: jax.vjp(function, kernels, x)[1], kernels)
        return sum(leaf.shape == x.shape for leaf in jax.tree.leaves(residuals))

    # The input and the results of four products, where else each layer keeps what three derivatives need.
    assert kept(jax.checkpoint(layers, policy=step.is_product)) == 5
    assert kept(layers) > 8


def test_a_larger_batch_takes_more(deep: Config):
    one, two = (memory.of_training(changed(deep, data={"batch_size": size})) for size in (16, 32))
    assert two.state == one.state
    assert two.batch == 2 * one.batch
    assert two.intermediate > 1.5 * one.intermediate


def test_the_summary_prints_it(debug: Config, capsys: pytest.CaptureFixture[str]):
    summary.main(["--experiment", "debug", "--memory", "--model.options.widths", "4"])
    assert f"at batch {debug.data.batch_size}: " in capsys.readouterr().out
