"""The checkpoints of a run: they are saved while training goes on, checked when read, and set aside where damaged.

A step holds three items: `model` (parameters and batch statistics to evaluate with), `state` (all else that a resumed
run needs) and `record` (the config, and a fingerprint of every array, because Orbax restores flipped bytes silently).
"""

from __future__ import annotations

import errno
import logging
import os
import pathlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxlm import experiment, models
from jaxlm.checkpoints.records import CheckpointError, MismatchError, check_record, check_same_run, make_record
from jaxlm.checkpoints.trained import Trained
from jaxlm.config import Config
from jaxlm.files import write_whole
from jaxlm.landmarks import load_scheme
from jaxlm.runtime import distributed

if TYPE_CHECKING:
    from jaxlm.checkpoints.orbax_steps import Steps

Tree = Any

_DAMAGED = "damaged"


@jax.jit
def fingerprints(tree: Tree) -> Tree:
    """A 32-bit word for each array of a tree, in which any single changed word of the array shows.

    The array's words w_i are summed as w_i (2 i + 1) modulo 2^32, on the devices that hold them, so the value does
    not depend on how the array is split. A change of several words goes unseen once in 2^32.
    """

    def fingerprint(leaf: jax.Array) -> jax.Array:
        unsigned = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[leaf.dtype.itemsize]
        words = leaf.view(unsigned) if leaf.dtype != jnp.bool_ else leaf
        words = words.astype(jnp.uint32)
        # Positions from one iota an axis keep a split array where it is.
        position = jnp.zeros(leaf.shape, jnp.uint32)
        for axis, length in enumerate(leaf.shape):
            position = position * length + lax.broadcasted_iota(jnp.uint32, leaf.shape, axis)
        return jnp.sum(words * (2 * position + 1), dtype=jnp.uint32)

    return jax.tree.map(fingerprint, tree)


def _named(tree: Tree) -> dict[str, int]:
    """Fingerprints on the host, by the path of their array."""
    return {jax.tree_util.keystr(path): int(value) for path, value in jax.tree_util.tree_leaves_with_path(tree)}


def _open(directory: pathlib.Path, keep: int | None = None) -> Steps:
    from jaxlm.checkpoints.orbax_steps import Steps  # Not at the top: Orbax and what it imports are slow to start.

    return Steps(directory, keep)


class Checkpoints:
    """The checkpoints of one run, saved asynchronously; the last few and the best by validation are kept.

    Args:
      directory: The folder of the steps; made if absent.
      config: Stored with every step, with the tables of a user's own scheme in place of its file, and compared at
        resuming.
      keep: The number of last steps that stay, beside the best one.
      data: What the run learns from, checksums by what they are about; stored with every step, and compared.
    """

    def __init__(
        self, directory: str | os.PathLike[str], config: Config, keep: int, data: Mapping[str, str] | None = None
    ) -> None:
        self._directory = pathlib.Path(directory).absolute()
        self._config = experiment.with_schemes_spelled_out(config)
        self._data = dict(data or {})
        self._steps = _open(self._directory, keep)

    def save(self, step: int, model: Tree, state: Tree, error: float | None = None) -> None:
        """Starts saving a step, whose validation gave `error`; the arrays may be donated as soon as this returns."""
        if step in self._steps.all:
            return
        items = {"model": model, "state": state}
        record = make_record(self._config, self._data, _named(fingerprints(items)))
        self._steps.save(step, items, record, error)

    def restore(self, model: Tree, state: Tree) -> tuple[int, Tree, Tree] | None:
        """The last step that is whole, as (step, model, state); None if there is no step at all.

        `model` and `state` are trees of jax.ShapeDtypeStruct with the shardings wanted. Damaged steps are set aside
        with a warning.

        Raises:
          CheckpointError: Steps exist, but none can be read.
          MismatchError: The steps belong to a run with another config or other faces; the differences are listed.
        """
        steps = self._steps.all
        for step in steps:
            try:
                record = check_record(self._steps.read_record(step))
                check_same_run(record, self._config, self._data, str(self._directory.parent))
                tree = _read(self._steps, step, {"model": model, "state": state})
            except (MismatchError, experiment.DeletedFieldError):
                raise
            except Exception as error:  # Orbax and TensorStore raise many types for damaged files.
                if _is_of_the_machine(error):
                    raise
                self._set_aside(step, error)
                continue
            return step, tree["model"], tree["state"]
        if steps:
            raise CheckpointError(
                f"{self._directory}: none of the steps {steps} can be read (they are kept in {_DAMAGED}/);"
                " the same command now starts from the beginning"
            )
        return None

    def _set_aside(self, step: int, error: Exception) -> None:
        logging.warning("%s: step %d is damaged and set aside: %s", self._directory, step, _first_line(error))
        if jax.process_index() == 0:
            (self._directory / _DAMAGED).mkdir(exist_ok=True)
            target = self._directory / _DAMAGED / f"{step}-{time.time_ns()}"
            (self._directory / str(step)).rename(target)
        self._steps.reload()

    def close(self) -> None:
        """Waits until everything is on disk."""
        self._steps.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _is_of_the_machine(error: Exception) -> bool:
    """Whether an error says nothing of the files: of memory, open files, rights, or of a disk that fails."""
    numbers = (errno.ENFILE, errno.EMFILE, errno.ENOMEM, errno.EIO, errno.EACCES, errno.ENOSPC)
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in numbers)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]


def _read_config(steps: Steps, step: int) -> Config:
    return experiment.from_json(check_record(steps.read_record(step))["config"])


def _read(steps: Steps, step: int, trees: dict[str, Tree]) -> dict[str, Tree]:
    """Items of one step, checked against their fingerprints."""
    expected = check_record(steps.read_record(step))["fingerprints"]
    restored = steps.read_items(step, trees)
    found = _named(fingerprints(restored))
    items = tuple(f"[{name!r}]" for name in trees)
    wanted = {path: value for path, value in expected.items() if path.startswith(items)}
    changed = [path for path in found | wanted if found.get(path) != wanted.get(path)]
    if changed:
        raise CheckpointError(f"{len(changed)} arrays differ from what was saved, the first is {changed[0]}")
    return restored


def load_run(workdir: str | os.PathLike[str], step: int | None = None, head: str | None = None) -> Trained:
    """The model of a run: of its best step by validation, or of `step`; of the last one where none was validated.

    A damaged step is passed over with a warning, and the latest whole one is taken. A run on several data sets has one
    `head` for each, called by the set's name; by default it is the first, which the run was validated by.

    Raises:
      CheckpointError: There is no run, no such step, or no step that can be read.
      ValueError: There is no such head; or an older version trained the run with what this one cannot do.
    """
    directory = directory_of(workdir)
    if not directory.parent.is_dir():
        raise CheckpointError(f"{workdir}: there is no such folder of a training run, and no such file")
    if not directory.is_dir():
        raise CheckpointError(f"{workdir}: no training run here (it has no checkpoints/)")
    with _open(directory) as steps:
        if step is not None and step not in steps.all:
            raise CheckpointError(f"{workdir}: no checkpoint of step {step}; there are {steps.all[::-1]}")
        best = steps.best
        order = [step] if step is not None else sorted(steps.all, key=lambda candidate: candidate != best)
        for candidate in order:
            try:
                trained = _load_step(steps, candidate)
            except experiment.DeletedFieldError:
                raise
            except Exception as error:  # See `Checkpoints.restore`.
                logging.warning("%s: step %d cannot be read: %s", directory, candidate, _first_line(error))
            else:
                return trained.with_head(head)
        raise CheckpointError(f"{workdir}: no checkpoint can be read, of the steps {steps.all[::-1]}")


def _load_step(steps: Steps, step: int) -> Trained:
    config = _read_config(steps, step)
    scheme = load_scheme(config.data.scheme)
    model = models.build(config.model.name, scheme.num_points, config.model.options, jnp.dtype(config.dtype))
    # One sharding that every process of a run can address; the model is small next to its training state.
    sharding = distributed.replicated(distributed.make_mesh())
    shapes = steps.read_shapes(step, "model")
    placed = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes)
    return Trained(config, model, _read(steps, step, {"model": placed})["model"], step, scheme)


def write_config(workdir: str | os.PathLike[str], config: Config) -> None:
    """Writes `config.json`, for people; the checkpoints hold their own copy."""
    write_whole(pathlib.Path(workdir) / "config.json", experiment.to_json(config) + "\n")


def directory_of(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of a run's checkpoints."""
    return pathlib.Path(workdir).absolute() / "checkpoints"
