import dataclasses
import functools
import importlib

import jax
import pytest

from jaxlm import experiment
from jaxlm.config import AugmentConfig, Config
from jaxlm.training.objectives import Crops
from jaxlm.training.step import init_state, make_recipe


@functools.cache
def trace(text: str) -> None:
    """Initialisation, optimiser and loss of a config fit together: shapes alone, nothing is computed."""
    config = experiment.from_json(text)
    recipe = make_recipe(config, num_faces=10 * config.data.batch_size, margin=2.0)
    batch_size, size, points = config.data.batch_size, config.model.input_size, recipe.scheme.num_points
    shape = functools.partial(jax.ShapeDtypeStruct, dtype="float32")
    visible = jax.ShapeDtypeStruct((batch_size, points), "bool")
    crops = Crops(shape((batch_size, size, size, 3)), shape((batch_size, points, 2)), visible)
    faces = {"image": jax.ShapeDtypeStruct((batch_size, 256, 256, 3), "uint8"), "points": crops.points}
    state = jax.eval_shape(functools.partial(init_state, recipe), faces | {"visible": visible})
    loss, (values, batch_stats) = jax.eval_shape(
        recipe.objective.loss, state.params, state.batch_stats, crops, jax.random.key(0), state.step
    )
    assert loss.shape == ()
    assert {value.shape for value in values.values()} == {()}
    shapes = [jax.tree.map(lambda leaf: leaf.shape, tree) for tree in (state.batch_stats, batch_stats)]
    assert shapes[0] == shapes[1]


def traced(config: Config) -> Config:
    """The same training step for whatever reaches it from outside."""
    data = dataclasses.replace(config.data, styled=None, batch_size=16)
    if "+" not in config.data.scheme:
        data = dataclasses.replace(data, dataset="any")
    return dataclasses.replace(
        config, data=data, augment=AugmentConfig(), init_from=type(config).init_from, epochs=10, max_megabytes=None
    )


@pytest.mark.parametrize("name", experiment.names())
def test_every_experiment_traces(name: str):
    config = experiment.load(name)
    make_recipe(config, num_faces=10 * config.data.batch_size, margin=2.0)
    trace(experiment.to_json(traced(config)))


@pytest.mark.parametrize("name", experiment.names())
def test_every_experiment_has_its_command_in_its_docstring(name: str):
    module = importlib.import_module(f"experiments.{name}")
    assert f"python -m jaxlm.train --experiment {name}" in module.__doc__
