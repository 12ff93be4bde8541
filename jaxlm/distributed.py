"""Processes and devices: the one place that starts them, lays them out as a mesh, and says where arrays live."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA, FSDP = "data", "fsdp"


def start() -> None:
    """Joins the other processes of a cluster run; call it before anything else touches JAX.

    A cluster is joined when JAX_COORDINATOR_ADDRESS is set: with JAXLM_NUM_PROCESSES and JAXLM_PROCESS_ID, or with
    what JAX finds out by itself under SLURM, Open MPI or Cloud TPU.
    """
    if "JAX_COORDINATOR_ADDRESS" not in os.environ:
        return
    count, index = os.environ.get("JAXLM_NUM_PROCESSES"), os.environ.get("JAXLM_PROCESS_ID")
    jax.distributed.initialize(num_processes=int(count) if count else None, process_id=int(index) if index else None)


def make_mesh(fsdp: int = 1) -> Mesh:
    """All devices as a mesh [data, fsdp].

    Raises:
      ValueError: The devices cannot be put in groups of `fsdp`.
    """
    if jax.device_count() % fsdp:
        raise ValueError(f"fsdp = {fsdp} does not divide the {jax.device_count()} devices")
    # Explicit axes, the default, make the gradients of convolutions raise.
    return jax.make_mesh((jax.device_count() // fsdp, fsdp), (DATA, FSDP), axis_types=(AxisType.Auto, AxisType.Auto))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def split_batch(mesh: Mesh, leading_axes: int = 0) -> NamedSharding:
    """The batch axis, which follows `leading_axes` others, is split over all devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * leading_axes, (DATA, FSDP)))


def split_parameters(mesh: Mesh, tree: Any) -> Any:
    """Shardings for a tree of arrays: each array's largest axis that the fsdp axis divides is split over it."""
    size = mesh.shape[FSDP]

    def sharding(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        axes = [axis for axis, length in enumerate(leaf.shape) if length % size == 0 and length >= size > 1]
        if not axes:
            return replicated(mesh)
        largest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * largest, FSDP))

    return jax.tree.map(sharding, tree)


def to_devices(tree: Any, sharding: NamedSharding) -> Any:
    """Global arrays from the part of the batch (numpy) that each process read."""
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), tree)


def wait_for_all(name: str) -> None:
    """Returns when every process of the run has come here; `name` says what for."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def check_batch_size(batch_size: int, accumulate: int = 1) -> None:
    """Raises ValueError where a batch cannot be split evenly over devices and gradient-accumulation parts."""
    parts = jax.device_count() * accumulate
    if batch_size % parts:
        raise ValueError(
            f"a batch of {batch_size} faces cannot be split over {jax.device_count()} devices"
            f" x {accumulate} accumulation parts; make it a multiple of {parts} with --data.batch-size"
        )


class StopSignal:
    """While entered, notices that the process was asked to end (SIGTERM, Ctrl-C) instead of ending it."""

    def __init__(self) -> None:
        self._caught = False

    def asked(self, step: int) -> bool:
        """Whether to stop after `step`; the processes of one run agree on the answer."""
        # With several processes JAX's own preemption service holds the signal and agrees on a step.
        return self._caught if jax.process_count() == 1 else multihost_utils.reached_preemption_sync_point(step)

    def __enter__(self) -> StopSignal:
        self._before = {}
        if jax.process_count() == 1:
            self._before = {number: signal.signal(number, self._catch) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._caught = True
        signal.signal(number, signal.SIG_DFL)  # A second signal ends the process at once.
