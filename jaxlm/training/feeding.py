"""Feeds faces to the training step: they stream from disk, or all frames stay in device memory.

Both give the same batches for the same seed, so a run can be trained with either.
"""

from __future__ import annotations

import functools
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding

from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines.input import Faces
from jaxlm.runtime import distributed

State = Any
Batch = Mapping[str, jax.Array]
# (state, batch) -> (state, metrics); a batch holds image, points and visible.
Step = Callable[[State, Batch], tuple[State, Mapping[str, jax.Array]]]
# Runs the steps start..stop from a state; each metric comes back as a numpy array [stop - start].
Advance = Callable[[State, int, int], tuple[State, Mapping[str, np.ndarray]]]

_FIELDS = ("image", "points", "visible")

# While a batch is waited for, it is checked every so many seconds whether the devices are idle; ...
_LOOK = 0.001
# ... and while the queue is full, every so many seconds whether reading should stop.
_PATIENCE = 0.1


def stream(
    step: Step, faces: Faces, config: Config, mesh: Mesh, shardings: State, start_step: int, total_steps: int
) -> Advance:
    """Runs each step as a call of its own, on batches that are read and prefetched, in order from `start_step`.

    There is one more metric, `waiting`: its mean is the share of the time in which the devices waited for a batch.
    """
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
    on_device = Prefetch(({name: batch[name] for name in _FIELDS} for batch in batches), split)

    def advance(state: State, start: int, stop: int) -> tuple[State, Mapping[str, np.ndarray]]:
        rows: list[Mapping[str, jax.Array]] = []
        waited, began = list[float](), time.perf_counter()
        for _ in range(start, stop):
            batch, seconds = on_device.take(lambda: not rows or jax.tree.leaves(rows[-1])[0].is_ready())
            state, values = call(state, batch)
            rows.append(values)
            waited.append(seconds)
        values = jax.tree.map(lambda *values: np.stack(values), *jax.device_get(rows))
        share = np.asarray(waited) * (stop - start) / (time.perf_counter() - began)
        return state, {**values, "waiting": share}

    return advance


class Prefetch:
    """Reads batches and sends them to the devices in a thread of its own, up to two ahead of the one in use."""

    def __init__(self, batches: Iterable[Mapping[str, np.ndarray]], sharding: NamedSharding) -> None:
        self._queue: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=2)
        stop = threading.Event()
        thread = threading.Thread(target=_read, args=(batches, sharding, self._queue, stop), daemon=True)
        thread.start()
        weakref.finalize(self, _end, thread, stop)

    def take(self, idle: Callable[[], bool]) -> tuple[Batch, float]:
        """The next batch, and how many seconds the devices were `idle` while waiting for it.

        Raises:
          Exception: What reading the batch raised.
        """
        since = None
        while True:
            try:
                batch = self._queue.get(timeout=_LOOK)
            except queue.Empty:
                since = time.perf_counter() if since is None and idle() else since
                continue
            if isinstance(batch, BaseException):
                raise batch
            return batch, 0.0 if since is None else time.perf_counter() - since


def _read(
    batches: Iterable[Mapping[str, np.ndarray]],
    sharding: NamedSharding,
    ahead: queue.Queue[Batch | BaseException],
    stop: threading.Event,
) -> None:
    """Puts batches, and what raising ended them, into a queue until there are no more or `stop` is set."""

    def put(item: Batch | BaseException) -> None:
        while not stop.is_set():
            try:
                return ahead.put(item, timeout=_PATIENCE)
            except queue.Full:
                continue

    try:
        for batch in batches:
            put(distributed.to_devices(batch, sharding))
            if stop.is_set():
                return
    except BaseException as error:
        put(error)


def _end(thread: threading.Thread, stop: threading.Event) -> None:
    stop.set()
    thread.join(timeout=10)


def cached(step: Step, faces: Faces, config: Config, mesh: Mesh, shardings: State) -> Advance:
    """Runs steps on frames that every device holds, `steps_per_call` steps in one compiled scan, except on a CPU."""
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
