"""The steps of a run on disk. This is the only module that imports Orbax; runs.py imports it when it opens a run."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

_LOG = logging.getLogger(__name__)

Tree = Any

_TRASH = "deleting"
_UNFINISHED = ocp.utils.TMP_DIR_SUFFIX
_ERROR = "error"
_RECORD = "record"
_METRICS = "metrics"
# Files that every item of arrays has. Reading an item without them fails, too, but with a page of TensorStore's
# tracebacks.
_ITEM_FILES = ("_METADATA", "manifest.ocdbt", "d")


class Steps:
    """The steps in a directory, to be read. Each holds items, which are trees of arrays, and a record, which is JSON.

    Args:
      directory: The folder of the steps; must be absolute.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory

    @property
    def all(self) -> list[int]:
        """Numbers of the steps, the last one first."""
        # Not by a manager, which reads the metrics of all and ends where they are damaged.
        return sorted(ocp.utils.checkpoint_steps(self._directory), reverse=True)

    @property
    def best(self) -> int | None:
        """The step saved with the least error; None if none was saved with any. Damaged metrics are passed over."""
        errors: dict[int, float] = {}
        for step in self.all:
            try:
                error = read_error(self._directory / str(step))
            except ValueError as damage:
                _LOG.warning("%s; the step is not among those that the best one is chosen from", damage)
            else:
                errors |= {} if error is None or math.isnan(error) else {step: error}
        return min(errors, key=errors.__getitem__, default=None)

    def read_record(self, step: int) -> dict[str, Any]:
        """The record of a step."""
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
            return checkpointer.restore(self._directory / str(step) / _RECORD)

    def read_shapes(self, step: int, name: str) -> Tree:
        """The item's tree with jax.ShapeDtypeStruct, without shardings, in place of arrays."""
        stored = ocp.StandardCheckpointHandler().metadata(self._directory / str(step) / name).tree
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), stored)

    def read_items(self, step: int, trees: Mapping[str, Tree]) -> dict[str, Tree]:
        """Items of a step, as trees of jax.ShapeDtypeStruct with the shardings wanted.

        Raises:
          FileNotFoundError: A file of an item is missing.
          Exception: Orbax and TensorStore raise many types for damaged files, and nothing for flipped bytes.
        """
        folders = {name: self._directory / str(step) / name for name in trees}
        for path in (folder / file for folder in folders.values() for file in _ITEM_FILES):
            if not path.exists():
                raise FileNotFoundError(f"{path} is missing")
        with ocp.StandardCheckpointer() as checkpointer:
            return {name: checkpointer.restore(folders[name], tree) for name, tree in trees.items()}


class SavedSteps(Steps):
    """The steps in a directory that a run saves to; metrics of all must be whole, see `read_error`.

    Args:
      directory: The folder of the steps; must be absolute.
      keep: The number of last steps that stay when others are saved, beside the best one.
    """

    def __init__(self, directory: pathlib.Path, keep: int) -> None:
        super().__init__(directory)
        if jax.process_index() == 0:  # What a run killed while saving or deleting left behind.
            for left_over in (directory / _TRASH, *directory.glob(f"*{_UNFINISHED}*")):
                shutil.rmtree(left_over, ignore_errors=True)
        self._manager = ocp.CheckpointManager(directory, options=_saving_options(keep))

    @property
    def all(self) -> list[int]:
        """Numbers of the steps, the last one first; those that are being saved are among them."""
        return sorted(self._manager.all_steps(), reverse=True)

    def save(self, step: int, items: Mapping[str, Tree], record: Mapping[str, Any], error: float | None) -> None:
        """Starts saving a step whose error by validation is `error`; arrays may be donated as soon as this returns."""
        saved = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        arguments = ocp.args.Composite(**saved, **{_RECORD: ocp.args.JsonSave(record)})
        self._manager.save(step, args=arguments, metrics=None if error is None else {_ERROR: error})

    def reload(self) -> None:
        """Looks at the directory again, after it was changed by others."""
        self._manager.reload()

    def close(self) -> None:
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def read_error(folder: pathlib.Path) -> float | None:
    """The error that the step in a folder was saved with; None if there is none.

    Raises:
      ValueError: Its metrics are damaged.
    """
    file = folder / _METRICS / _METRICS
    if not file.exists():
        return None
    with contextlib.suppress(ValueError, AttributeError, RecursionError):
        error = _only(json.loads(file.read_bytes()))
        if isinstance(error, float | int):
            return float(error)
    raise ValueError(f"{file} is damaged")


def _only(metrics: Mapping[str, float]) -> float:
    """The one number kept with a step, whatever name the jaxlm that saved it gave it."""
    (error,) = metrics.values()
    return error


def _saving_options(keep: int) -> ocp.CheckpointManagerOptions:
    best = preservation_policy.BestN(get_metric_fn=_only, reverse=True, n=1, keep_checkpoints_without_metrics=False)
    return ocp.CheckpointManagerOptions(
        create=True,
        # Without `best_fn` Orbax forgets the metrics when the process ends.
        best_fn=_only,
        best_mode="min",
        preservation_policy=preservation_policy.AnyPreservationPolicy([preservation_policy.LatestN(keep), best]),
        todelete_subdir=_TRASH,  # A step is renamed before its files go, so no half-deleted one is ever listed.
    )
