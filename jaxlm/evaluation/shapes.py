"""Whether a model, its task and the size of the crops go together, known without computing anything."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxlm import models, tasks
from jaxlm.config import Config
from jaxlm.evaluation import cost


def check_shapes(config: Config) -> None:
    """Raises ValueError where a model cannot take the crops of an experiment, or its task the model's outputs."""
    try:
        _trace(config)
    except Exception as error:  # Layers raise nearly anything for sizes that they cannot have.
        said = " ".join(str(error).split())[:300]
        raise ValueError(
            f"model.name = {config.model.name} and task.name = {config.task.name} do not go with model.input_size ="
            f" {config.model.input_size} and model.options = {config.model.options}: {said or type(error).__name__}"
        ) from error


def _trace(config: Config) -> None:
    model, size, structure_channels = cost.model_of(config)
    variables = cost.abstract_variables(model, size, structure_channels)
    if config.model.name in models.TRANSLATORS:
        return
    task, count = tasks.build(config.task, config.model), model.num_points

    def judge(variables: dict, images: jax.Array, points: jax.Array, visible: jax.Array) -> tuple:
        outputs = model.apply(variables, images, train=False)
        return task.loss(outputs, points, visible), task.points(outputs), task.confidence(outputs)

    jax.eval_shape(
        judge, variables, jnp.zeros((2, size, size, 3)), jnp.zeros((2, count, 2)), jnp.ones((2, count), bool)
    )
