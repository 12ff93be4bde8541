import dataclasses
import functools
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxlm import experiment
from jaxlm.config import Config, DataConfig
from jaxlm.models.layers import operators
from jaxlm.training.objectives import Crops
from jaxlm.training.step import make_recipe


@functools.cache
def trace(text: str) -> Any:
    """Traces initialisation and loss of a config: shapes alone, nothing is computed. Returns the parameters' shapes.

    With the operators of accelerators, which take fewer steps to write down.
    """
    config = experiment.from_json(text)
    recipe = make_recipe(config, num_faces=10 * config.data.batch_size, margin=2.0)
    batch_size, size, points = config.data.batch_size, config.model.input_size, recipe.scheme.num_points
    shape = functools.partial(jax.ShapeDtypeStruct, dtype="float32")
    visible = jax.ShapeDtypeStruct((batch_size, points), "bool")
    crops = Crops(shape((batch_size, size, size, 3)), shape((batch_size, points, 2)), visible)
    with operators.traced_for("accelerator"):
        variables = jax.eval_shape(recipe.objective.init, jax.random.key(0), crops)
        params, statistics = variables["params"], variables.get("batch_stats", {})
        loss, (values, batch_stats) = jax.eval_shape(
            recipe.objective.loss, params, statistics, crops, jax.random.key(0), shape((), dtype="int32")
        )
    assert loss.shape == ()
    assert {value.shape for value in values.values()} == {()}
    assert jax.tree.map(jnp.shape, statistics) == jax.tree.map(jnp.shape, batch_stats)
    return params


def traced(config: Config) -> Config:
    """What decides the trace: model, task, types, and the scheme, which is one for all that learn from one set.

    Two stacks stand for more, which are alike, and sides of 128 for their multiples.
    """
    data = DataConfig(batch_size=16, dataset=config.data.dataset, scheme=config.data.scheme)
    options = config.model.options
    options = options | ({"stacks": min(2, options["stacks"])} if "stacks" in options else {})
    if "+" not in config.data.scheme:
        data = DataConfig(batch_size=16, scheme="ibug68")
        options = options | ({"scheme": "ibug68"} if "scheme" in options else {})
    size = config.model.input_size
    model = dataclasses.replace(config.model, input_size=size if size % 128 else 128, options=options)
    return Config(model=model, task=config.task, data=data, dtype=config.dtype)


def without_files(config: Config) -> Config:
    """The config with features of no file in place of those that a command makes first."""
    if not config.task.options.get("features", "").endswith(".npz"):
        return config
    return dataclasses.replace(
        config, task=dataclasses.replace(config.task, options=config.task.options | {"features": "laplacian"})
    )


@pytest.mark.parametrize("name", experiment.names())
def test_every_experiment_traces(name: str):
    """Model and loss fit together, and the optimiser finds the parameters that it is told of."""
    config = without_files(experiment.load(name))
    recipe = make_recipe(config, num_faces=10 * config.data.batch_size, margin=2.0)
    jax.eval_shape(recipe.optimiser.init, trace(experiment.to_json(traced(config))))


@pytest.mark.parametrize("name", experiment.names())
def test_every_experiment_has_its_command_in_its_docstring(name: str):
    module = importlib.import_module(f"experiments.{name}")
    assert f"python -m jaxlm.train --experiment {name}" in module.__doc__


@pytest.mark.parametrize("name", experiment.names())
def test_every_experiment_says_what_is_as_published_and_what_differs(name: str):
    """Each in a sentence or two, so that no figure is held against a published one by mistake."""
    text = " ".join(importlib.import_module(f"experiments.{name}").__doc__.split())
    assert "As published:" in text
    assert "Differs:" in text or "As published: nothing" in text
