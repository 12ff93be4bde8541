"""Batch normalisation against Flax's bit for bit, and the two running variances by hand."""

import functools

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxlm.models.cnn import CNN
from jaxlm.models.layers import BatchNorm
from tolerances import assert_float32_close


def inputs(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(0.4, 1.5, shape).astype(np.float32)


def variables_of(channels: int) -> dict:
    """As of a trained layer."""
    rng = np.random.default_rng(1)
    drawn = [rng.uniform(0.2, 0.9, channels).astype(np.float32) for _ in range(4)]
    return {
        "params": dict(zip(("scale", "bias"), drawn, strict=False)),
        "batch_stats": {"mean": drawn[2], "var": drawn[3]},
    }


@functools.partial(jax.jit, static_argnames=("layer", "train"))
def run(layer: nn.Module, variables: dict, x: jax.Array, *, train: bool) -> tuple[jax.Array, dict]:
    return layer.apply(variables, x, use_running_average=not train, mutable=["batch_stats"])


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
def test_by_default_it_is_flax_batch_norm_bit_for_bit(train: bool) -> None:
    x, variables = inputs((6, 4, 4, 10)), variables_of(10)
    theirs = run(nn.BatchNorm(momentum=0.9, epsilon=1e-5), variables, x, train=train)
    jax.tree.map(np.testing.assert_array_equal, run(BatchNorm(), variables, x, train=train), theirs)


def test_the_unbiased_running_variance_is_n_over_n_minus_1_of_the_batch_variance() -> None:
    x = np.asarray([1, 3, 5, 7], np.float32).reshape(2, 2, 1, 1)  # Mean 4, variance 5; unbiased 20 / 3.
    variables = {
        "params": {"scale": np.ones(1, np.float32), "bias": np.zeros(1, np.float32)},
        "batch_stats": {"mean": np.zeros(1, np.float32), "var": np.ones(1, np.float32)},
    }
    (biased, ours), (unbiased, theirs) = (run(BatchNorm(kind), variables, x, train=True) for kind in (False, True))
    np.testing.assert_array_equal(biased, unbiased)  # The batch itself is normalised alike.
    assert_float32_close(ours["batch_stats"]["var"], [0.9 + 0.1 * 5], depth=8)
    assert_float32_close(theirs["batch_stats"]["var"], [0.9 + 0.1 * 20 / 3], depth=8)
    np.testing.assert_array_equal(ours["batch_stats"]["mean"], theirs["batch_stats"]["mean"])


@pytest.mark.parametrize("norm", ["batch", "sepbn"])
def test_the_network_passes_the_option_to_both_normalisations(norm: str) -> None:
    x = np.random.default_rng(2).uniform(-1, 1, (2, 4, 4, 3)).astype(np.float32)
    models = [CNN(5, (10,), 4, norm, unbiased_running_var=kind) for kind in (False, True)]
    shapes = jax.eval_shape(functools.partial(models[0].init, train=False), jax.random.key(0), x)
    rng = np.random.default_rng(3)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype), shapes)
    steps = [jax.jit(functools.partial(model.apply, train=True, mutable=["batch_stats"])) for model in models]
    old = variables["batch_stats"]["block1"]["norm"]["var"]
    ours, theirs = (step(variables, x)[1]["batch_stats"]["block1"]["norm"]["var"] - 0.9 * old for step in steps)
    assert_float32_close(theirs, ours * 32 / 31, depth=8, scale=1)  # Of 2 x 4 x 4 cells.
    assert np.abs(theirs - ours).min() > 1e-4
