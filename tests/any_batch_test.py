"""Detectors are traced with a number of faces that is open, as programs for export are."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import pytest

from jaxlm import experiment, models
from jaxlm.landmarks import load_scheme
from tiny_regressor import use_tiny_regressors


@pytest.mark.parametrize("name", ["dpr_gsr_300w", "dpr_glsr_300w"])
def test_the_networks_of_dpr_take_any_number_of_faces(name: str, monkeypatch: pytest.MonkeyPatch):
    use_tiny_regressors(monkeypatch)
    config = experiment.load(name)
    points = load_scheme(config.data.scheme).num_points
    model = models.build(config.model.name, points, config.model.options, jnp.float32)
    shape = (*jax.export.symbolic_shape("faces"), 64, 64, 3)
    one = jax.ShapeDtypeStruct((1, *shape[1:]), jnp.float32)
    variables = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), one)
    outputs = jax.eval_shape(
        functools.partial(model.apply, train=False), variables, jax.ShapeDtypeStruct(shape, jnp.float32)
    )
    assert {str(leaf.shape[0]) for leaf in jax.tree.leaves(outputs)} == {"faces"}
