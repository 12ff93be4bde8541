import functools

import jax
import pytest

from jaxlm import config as config_lib
from jaxlm.step import init_state, make_recipe, train_step


@pytest.mark.parametrize("name", config_lib.experiment_names())
def test_every_experiment_traces(name: str):
    """Initialisation and a training step fit together: shapes alone, nothing is computed."""
    config = config_lib.load_experiment(name)
    recipe = make_recipe(config, num_faces=10 * config.data.batch_size, margin=2.0)
    batch_size, points = config.data.batch_size, recipe.scheme.num_points
    batch = {
        "image": jax.ShapeDtypeStruct((batch_size, 256, 256, 3), "uint8"),
        "points": jax.ShapeDtypeStruct((batch_size, points, 2), "float32"),
        "visible": jax.ShapeDtypeStruct((batch_size, points), "bool"),
    }
    state = jax.eval_shape(functools.partial(init_state, recipe), batch)
    after, metrics = jax.eval_shape(functools.partial(train_step, recipe=recipe), state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert jax.tree.map(lambda leaf: leaf.shape, after) == jax.tree.map(lambda leaf: leaf.shape, state)
    assert {key: value.shape for key, value in metrics.items()} == dict.fromkeys(metrics, ())


@pytest.mark.parametrize("name", config_lib.experiment_names())
def test_every_experiment_has_its_row_in_the_table_and_its_command_in_its_docstring(name: str):
    import importlib
    import pathlib

    module = importlib.import_module(f"experiments.{name}")
    assert f"python -m jaxlm.train --experiment {name}" in module.__doc__
    table = (pathlib.Path(module.__file__).parent / "README.md").read_text()
    assert f"| {name} |" in table
