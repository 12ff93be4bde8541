"""The residual U-Net: its sizes, and what its decoder sees."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.models.resunet import ResUNet, double

SMALL = {"widths": (8, 12), "blocks": 1, "decoder_width": 8}


def test_it_fits_into_15_megabytes():
    images = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    variables = jax.eval_shape(functools.partial(ResUNet(68).init, train=False), jax.random.key(0), images)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 3_124_508
    maps = jax.eval_shape(functools.partial(ResUNet(68).apply, train=False), variables, images)
    assert maps.shape == (1, 32, 32, 68)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_maps_and_variables_are_float32(dtype: str):
    init = functools.partial(ResUNet(5, dtype=jnp.dtype(dtype), **SMALL).init_with_output, train=False)
    maps, variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((4, 32, 32, 3)))
    assert maps.shape == (4, 8, 8, 5)
    assert {leaf.dtype for leaf in jax.tree.leaves((maps, variables))} == {jnp.dtype("float32")}


def test_every_parameter_is_in_use():
    model, rng = ResUNet(5, **SMALL), np.random.default_rng(0)
    x = rng.normal(size=(4, 32, 32, 3)).astype(np.float32)
    shapes = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)

    @jax.jit
    @jax.grad
    def gradient_of(params: dict) -> jax.Array:
        maps, _ = model.apply(variables | {"params": params}, x, train=True, mutable=["batch_stats"])
        return jnp.square(maps - 1.0).mean()

    gradient = jax.device_get(gradient_of(variables["params"]))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


def test_doubling_repeats_rows_and_columns():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)), jnp.float32)
    np.testing.assert_array_equal(double(x), np.repeat(np.repeat(x, 2, axis=1), 2, axis=2))
