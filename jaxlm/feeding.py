"""How faces reach the training step: streamed from disk, or drawn from frames that live in device memory.

Both give the same batches for the same seed, so a run may be trained with either.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding

from jaxlm import distributed
from jaxlm.config import Config

if TYPE_CHECKING:
    from data_pipelines.input import Faces

State = Any
Batch = Mapping[str, jax.Array]
# (state, batch) -> (state, metrics); a batch holds image, points and visible.
Step = Callable[[State, Batch], tuple[State, Mapping[str, jax.Array]]]
# Runs the steps start..stop from a state; each metric comes back as a numpy array [stop - start].
Advance = Callable[[State, int, int], tuple[State, Mapping[str, np.ndarray]]]

_FIELDS = ("image", "points", "visible")


def stream(
    step: Step, faces: Faces, config: Config, mesh: Mesh, shardings: State, start_step: int, total_steps: int
) -> Advance:
    """Steps, each a call of its own, on batches that tf.data reads and prefetches, in order from `start_step`."""
    from data_pipelines import input as input_lib

    whole, split = distributed.replicated(mesh), distributed.split_batch(mesh)
    call = jax.jit(step, in_shardings=(shardings, split), out_shardings=(shardings, whole), donate_argnums=0)
    batches = input_lib.train_batches(
        faces,
        config.data.batch_size,
        config.seed,
        start_step,
        total_steps,
        jax.process_index(),
        jax.process_count(),
        config.data.styled_ratio,
    )
    on_device = _prefetch(({name: batch[name] for name in _FIELDS} for batch in batches), split)

    def advance(state: State, start: int, stop: int) -> tuple[State, Mapping[str, np.ndarray]]:
        rows = []
        for _ in range(start, stop):
            state, values = call(state, next(on_device))
            rows.append(values)
        return state, jax.tree.map(lambda *values: np.stack(values), *jax.device_get(rows))

    return advance


def _prefetch(batches: Iterable[Mapping[str, np.ndarray]], sharding: NamedSharding) -> Iterator[Batch]:
    """Batches on the devices, two ahead of the one in use."""
    queue: deque[Batch] = deque()
    for batch in batches:
        queue.append(distributed.to_devices(batch, sharding))
        if len(queue) > 2:
            yield queue.popleft()
    yield from queue


def cached(step: Step, faces: Faces, config: Config, mesh: Mesh, shardings: State) -> Advance:
    """Steps on frames that every device holds; all steps of one `advance` are one compiled scan, except on a CPU."""
    from data_pipelines import input as input_lib

    whole = distributed.replicated(mesh)
    everything = {"image": faces.images(np.arange(len(faces))), "points": faces.points, "visible": faces.visible}
    frames = distributed.to_devices(everything, whole)
    batch_size = config.data.batch_size
    indices_of = functools.partial(
        input_lib.batch_indices,
        faces.num_photos,
        batch_size,
        seed=config.seed,
        num_styled=faces.num_styled,
        styled_ratio=config.data.styled_ratio,
    )
    share = batch_size // jax.process_count()
    mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
    # Inside a loop XLA:CPU runs convolutions on one thread without its fast kernels: 6 times slower, measured.
    steps_at_once = 1 if jax.default_backend() == "cpu" else config.steps_per_call
    split = distributed.split_batch(mesh, leading_axes=1)
    call = jax.jit(
        functools.partial(scan_steps, step),
        in_shardings=(shardings, split, whole),
        out_shardings=(shardings, whole),
        donate_argnums=0,
    )

    def advance(state: State, start: int, stop: int) -> tuple[State, Mapping[str, np.ndarray]]:
        values = []
        for first in range(start, stop, steps_at_once):
            steps = range(first, min(first + steps_at_once, stop))
            rows = [indices_of(i)[mine] for i in steps]
            state, row_values = call(state, distributed.to_devices(np.asarray(rows, np.int32), split), frames)
            values.append(row_values)
        return state, jax.tree.map(lambda *parts: np.concatenate(parts), *jax.device_get(values))

    return advance


def scan_steps(step: Step, state: State, indices: jax.Array, frames: Batch) -> tuple[State, Mapping[str, jax.Array]]:
    """One step for each row of `indices` [k, B], on the faces of `frames` [n, ...] that the row names."""

    def body(state: State, row: jax.Array) -> tuple[State, Mapping[str, jax.Array]]:
        return step(state, {name: values[row] for name, values in frames.items()})

    if len(indices) == 1:  # Without the loop; see `cached`.
        state, values = body(state, indices[0])
        return state, jax.tree.map(lambda value: value[None], values)
    return lax.scan(body, state, indices)
