"""How much device memory training takes. The step is compiled for it, and not run."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax

from jaxlm.config import Config
from jaxlm.training.step import init_state, make_recipe, train_step

# Frames as `data_pipelines.prepare` cuts them by default.
_FRAME_SIZE, _MARGIN = 256, 2.0


class Memory(NamedTuple):
    """Bytes on the device while a training step runs.

    Attributes:
      state: The parameters, the statistics, and the state of the optimiser; they are updated in place.
      batch: The frames and labels of a batch.
      intermediate: The most that the step needs beside these at any moment.
    """

    state: int
    batch: int
    intermediate: int

    @property
    def peak(self) -> int:
        return sum(self)

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {_megabytes(value)}" for name, value in zip(self._fields, self, strict=True))
        return f"{_megabytes(self.peak)}: {parts}"


def of_training(config: Config) -> Memory:
    """The memory that a step of an experiment takes on one device of the kind at hand, with frames of 256 pixels.

    Raises:
      ValueError: What `make_recipe` refuses.
    """
    recipe = make_recipe(config, config.data.batch_size, _MARGIN)
    count, points = config.data.batch_size, recipe.scheme.num_points
    batch = {
        "image": jax.ShapeDtypeStruct((count, _FRAME_SIZE, _FRAME_SIZE, 3), "uint8"),
        "points": jax.ShapeDtypeStruct((count, points, 2), "float32"),
        "visible": jax.ShapeDtypeStruct((count, points), "bool"),
    }
    state = jax.eval_shape(functools.partial(init_state, recipe), batch)
    step = jax.jit(functools.partial(train_step, recipe=recipe), donate_argnums=0)
    analysis = step.lower(state, batch).compile().memory_analysis()
    if analysis is None:
        raise ValueError("this machine's compiler does not tell how much memory a program takes")
    return Memory(_size(state), _size(batch), analysis.temp_size_in_bytes)


def _size(tree: object) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
