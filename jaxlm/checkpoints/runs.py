"""The checkpoints of a run: they are saved while training goes on, checked when read, and set aside where damaged.

A step holds three items: `model` (parameters and batch statistics to evaluate with), `state` (all else that a resumed
run needs) and `record` (its number, its run, the config, and a fingerprint of every array, because Orbax restores
flipped bytes silently).
"""

from __future__ import annotations

import fnmatch
import logging
import os
import pathlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jaxlm import experiment, models
from jaxlm.checkpoints.fingerprinting import fingerprints, named
from jaxlm.checkpoints.records import (
    CheckpointError,
    MismatchError,
    StrayStepError,
    check_place,
    check_record,
    check_same_run,
    make_record,
)
from jaxlm.checkpoints.setting_aside import DAMAGED, damaged_metrics_aside, first_line, is_of_the_machine, set_aside
from jaxlm.checkpoints.trained import Trained
from jaxlm.config import Config
from jaxlm.files import read_json, write_json, write_whole
from jaxlm.landmarks import load_scheme
from jaxlm.runtime import distributed

if TYPE_CHECKING:
    from jaxlm.checkpoints.orbax_steps import Steps

_LOG = logging.getLogger(__name__)

Tree = Any

_RUN = "run.json"  # Beside the steps; holds the id of their run.


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
        self._lost = damaged_metrics_aside(self._directory)
        from jaxlm.checkpoints.orbax_steps import SavedSteps  # Not at the top: Orbax is slow to start.

        self._steps = SavedSteps(self._directory, keep)
        self._run = _read_id(self._directory) or self._new_id()

    def save(self, step: int, model: Tree, state: Tree, error: float | None = None) -> None:
        """Starts saving a step, whose validation gave `error`; the arrays may be donated as soon as this returns."""
        if step in self._steps.all:
            return
        items = {"model": model, "state": state}
        record = make_record(step, self._run, self._config, self._data, named(fingerprints(items)))
        self._steps.save(step, items, record, error)

    def restore(self, model: Tree, state: Tree) -> tuple[int, Tree, Tree] | None:
        """The last step that is whole, as (step, model, state); None if there is no step at all.

        `model` and `state` are trees of jax.ShapeDtypeStruct with the shardings wanted. Damaged steps, and all that
        this run did not save under their number, are set aside with a warning.

        Raises:
          CheckpointError: Steps exist, but none can be read.
          MismatchError: The steps belong to a run with another config or other faces; the differences are listed.
        """
        lost = self._lost + self._set_strays_aside()
        steps = self._steps.all
        for step in steps:
            try:
                record = check_record(self._steps.read_record(step))
                check_same_run(record, self._config, self._data, str(self._directory.parent))
                tree = _read(self._steps, step, {"model": model, "state": state})
            except (MismatchError, experiment.DeletedFieldError):
                raise
            except Exception as error:  # Orbax and TensorStore raise many types for damaged files.
                if is_of_the_machine(error):
                    raise
                set_aside(self._directory, step, error)
                self._steps.reload()
                continue
            return step, tree["model"], tree["state"]
        if steps := sorted(steps + lost, reverse=True):
            raise CheckpointError(
                f"{self._directory}: none of the steps {steps} can be read (they are kept in {DAMAGED}/);"
                " the same command now starts from the beginning"
            )
        return None

    def _set_strays_aside(self) -> list[int]:
        """Sets steps aside that lie here and are not this run's, before any of its own is deleted for them."""
        strays = []
        for step in self._steps.all:
            try:
                check_place(check_record(self._steps.read_record(step)), step, self._run)
            except StrayStepError as error:
                set_aside(self._directory, step, error)
                strays.append(step)
            except Exception as error:  # Damaged; see `restore`, which comes to it where no later step is whole.
                if is_of_the_machine(error):
                    raise
        if strays:
            self._steps.reload()
        return strays

    def _new_id(self) -> str:
        """An id for the run: that of its last step, or a new one; it is written beside the steps."""
        found = (_run_of(self._steps, step) for step in self._steps.all)
        run = next(filter(None, found), None) or secrets.token_hex(8)
        if jax.process_index() == 0:
            write_json(self._directory / _RUN, {"run": run})
        return run

    def close(self) -> None:
        """Waits until everything is on disk."""
        self._steps.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _read_id(directory: pathlib.Path) -> str | None:
    """The id of the run whose steps lie in a folder; None if it is an older run, or the id is damaged."""
    try:
        return read_json(directory / _RUN, dict[str, str]).get("run")
    except (OSError, ValueError):
        return None


def _run_of(steps: Steps, step: int) -> str | None:
    """The id of the run that saved a step; None if it does not say."""
    try:
        return check_record(steps.read_record(step)).get("run")
    except Exception:  # Damaged; see `Checkpoints.restore`.
        return None


def _read(steps: Steps, step: int, trees: dict[str, Tree]) -> dict[str, Tree]:
    """Items of one step, checked against their fingerprints."""
    expected = check_record(steps.read_record(step))["fingerprints"]
    restored = steps.read_items(step, trees)
    found = named(fingerprints(restored))
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
    from jaxlm.checkpoints.orbax_steps import Steps  # Not at the top: Orbax is slow to start.

    steps = Steps(directory)
    if step is not None and step not in steps.all:
        raise CheckpointError(f"{workdir}: no checkpoint of step {step}; there are {steps.all[::-1]}")
    first = steps.best if step is None else step
    order = sorted(steps.all, key=lambda candidate: candidate != first)
    reasons = {}
    for candidate in order if step is None else [step]:
        try:
            trained = _load_step(steps, candidate, _read_id(directory))
        except experiment.DeletedFieldError:
            raise
        except Exception as error:  # See `Checkpoints.restore`.
            reasons[candidate] = first_line(error)
            _LOG.warning("%s: step %d cannot be read: %s", directory, candidate, reasons[candidate])
        else:
            return trained.with_head(head)
    told = "; ".join(f"step {candidate}: {reason}" for candidate, reason in reasons.items()) or "there is none"
    raise CheckpointError(f"{workdir}: no checkpoint can be read: {told}")


def _load_step(steps: Steps, step: int, run: str | None) -> Trained:
    record = check_record(steps.read_record(step))
    check_place(record, step, run)
    config = experiment.from_json(record["config"])
    scheme = load_scheme(config.data.scheme)
    model = models.build(config.model.name, scheme.num_points, config.model.options, jnp.dtype(config.dtype))
    # One sharding that every process of a run can address; the model is small next to its training state.
    sharding = distributed.replicated(distributed.make_mesh())
    shapes = steps.read_shapes(step, "model")
    placed = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes)
    variables = _read(steps, step, {"model": placed})["model"]
    return Trained(config, model, variables, step, scheme, data=record.get("data") or {})


def write_config(workdir: str | os.PathLike[str], config: Config) -> None:
    """Writes `config.json`, for people; the checkpoints hold their own copy."""
    write_whole(pathlib.Path(workdir) / "config.json", experiment.to_json(config) + "\n")


def check_name(workdir: str | os.PathLike[str]) -> None:
    """Raises ValueError where no run can be saved in a folder, whose path Orbax takes for a pattern of names."""
    for part in pathlib.Path(workdir).absolute().parts:
        if not fnmatch.fnmatchcase(part, part):
            raise ValueError(f"{workdir}: no run can be saved below a folder with [ and ] in its name, {part!r}")


def directory_of(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of a run's checkpoints."""
    return pathlib.Path(workdir).absolute() / "checkpoints"
