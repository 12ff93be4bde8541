"""Processes and devices: the one place that starts them, lays them out as a mesh, and says where arrays live."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import jaxlm

DATA, FSDP = "data", "fsdp"

# Seconds without a sign of life after which a process counts as lost and the others end.
_HEARTBEAT = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `start`, for a command that several processes can run together."""
    group = parser.add_argument_group("processes", "Run the same command in each; srun, mpirun and GKE need no flags.")
    group.add_argument("--cluster", action="store_true", help="JAX finds the others (Cloud TPU, Kubernetes jobs)")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where the first process listens")
    group.add_argument("--num-processes", type=int, help="how many there are; with --coordinator")
    group.add_argument("--process-id", type=int, help="which of them this is, from 0 on; with --coordinator")


def start(
    cluster: bool = False,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the other processes of a run, if there are any; call it before anything else touches JAX.

    Args:
      cluster: There are other processes, and JAX can find them.
      coordinator: The address of the first process; together with the next two.
      num_processes: The number of processes.
      process_id: The number of this process, from 0.

    Raises:
      ValueError: Only some of the last three are given, or JAX finds no cluster.
    """
    explicit = (coordinator, num_processes, process_id)
    if any(value is not None for value in explicit) and None in explicit:
        raise ValueError("--coordinator, --num-processes and --process-id belong together")
    if cluster or coordinator or one_of_several(os.environ):
        jax.distributed.initialize(*explicit, heartbeat_timeout_seconds=_HEARTBEAT)


def one_of_several(environment: Mapping[str, str]) -> bool:
    """Whether srun, Open MPI's mpirun or GKE's TPU slices say that this process has others beside it."""
    counts = [int(environment.get(name, 1)) for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")]
    return max(counts) > 1 or "," in environment.get("TPU_WORKER_HOSTNAMES", "")


def require_agreement(facts: Mapping[str, str]) -> None:
    """Compares what the processes of a run must have in common, and their versions, before they wait for each other.

    Args:
      facts: Texts by what they are about, in the same order in every process.

    Raises:
      ValueError: A process has another text than the first one.
    """
    if jax.process_count() == 1:
        return
    facts = {**facts, "versions": f"jaxlm {jaxlm.__version__}, jax {jax.__version__}, numpy {np.__version__}"}
    digests = [np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in facts.values()]
    of_processes = np.asarray(multihost_utils.process_allgather(np.stack(digests)))
    others = (of_processes != of_processes[0]).any(axis=-1)
    if others.any():
        process = int(np.flatnonzero(others.any(axis=1))[0])
        about = [name for name, differs in zip(facts, others[process], strict=True) if differs]
        raise ValueError(
            f"process {process} has not the same {', '.join(about)} as process 0; give the same command, data and"
            " versions of the packages to every process"
        )


def has_joined() -> bool:
    """Whether `start` has joined other processes."""
    return jax.distributed.is_initialized()


def fail(error: Exception, at_once: bool = False) -> NoReturn:
    """Prints what was wrong and ends this process, and with it the others of its run.

    What is wrong may be the input, or that another process was lost, which JAX tells in errors of many types.

    Args:
      error: Its text is printed.
      at_once: Without an orderly end, in which what still cannot be written would fail once more.
    """
    print(f"error: {error}", file=sys.stderr, flush=True)
    if not has_joined():
        if at_once:
            os._exit(1)
        sys.exit(1)
    print(
        "The other processes end, too. If one was lost, or could not be reached, give the same command in every process"
        " again; a training run goes on from its last checkpoint.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)  # An orderly end would wait for processes that wait for this one.


def end_by(number: int, said: str) -> NoReturn:
    """Says in the first process what was done, and ends this one with a signal's usual status, 130 or 143."""
    if jax.process_index() == 0:
        print(said, file=sys.stderr)
    raise SystemExit(128 + number)


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
    """While entered, notices that the process was asked to end (SIGTERM, Ctrl-C) instead of ending it.

    Attributes:
      number: The signal that asked; SIGTERM where several processes agreed, as JAX's service waits for no other.
    """

    def __init__(self) -> None:
        self._caught = False
        self.number: int = signal.SIGTERM

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
        self._caught, self.number = True, number
        signal.signal(number, signal.SIG_DFL)  # A second signal ends the process at once.
