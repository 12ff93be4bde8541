"""The door to trained models: a path is a run's workdir or a file of weights, and either gives a `Trained`."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jaxlm.checkpoints import shipped
from jaxlm.checkpoints.bundle import load_bundle
from jaxlm.checkpoints.records import CheckpointError
from jaxlm.checkpoints.runs import directory_of, load_run
from jaxlm.checkpoints.trained import Trained
from jaxlm.files import check_output
from jaxlm.models import load_weights, read_metadata


def is_weights(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a file of weights, and not the workdir of a run."""
    path = pathlib.Path(path)
    return path.is_file() or (path.suffix == ".npz" and not path.is_dir()) or _names_shipped(path)


def _names_shipped(path: pathlib.Path) -> bool:
    """Whether a path names weights that come with jaxlm, and neither a file nor a run that exists.

    Other folders do not count: results of the weights `ibug68` go to one of that name.
    """
    return str(path) in shipped.MODELS and not path.is_file() and not directory_of(path).is_dir()


def resolved(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path itself, or the file of the weights that come with jaxlm which it names."""
    return shipped.weights(str(path)) if _names_shipped(pathlib.Path(path)) else pathlib.Path(path)


def absolute(path: str | os.PathLike[str]) -> pathlib.Path:
    """The absolute path; a name of weights that come with jaxlm stays as it is."""
    path = pathlib.Path(path)
    return path if _names_shipped(path) else path.absolute()


def check_exists(path: str | os.PathLike[str]) -> None:
    """Raises FileNotFoundError or CheckpointError where a path names neither a run nor a file, and opens nothing."""
    if not is_weights(path) and not directory_of(path).is_dir():
        raise CheckpointError(f"{path}: there is no such folder of a training run, and no such file")
    if is_weights(path) and not resolved(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file of weights")


def check_bundle_output(out: pathlib.Path, paths: Sequence[str | os.PathLike[str]] = ()) -> None:
    """Raises OSError where a bundle must not be written to `out`: another file lies there, or a model of `paths`."""
    inputs = [resolved(path) for path in paths if is_weights(path)]
    check_output(out, "a bundle", lambda file: "format" in read_metadata(file), inputs)


def open_model(path: str | os.PathLike[str], *, step: int | None = None, head: str | None = None) -> Trained:
    """The trained model of a run or of a file.

    Args:
      path: The workdir of a run, a file that `jaxlm export --format bundle` or `jaxlm convert` wrote, or `ibug68` or
        `wflw98`, weights that come with jaxlm; `shipped` is the former.
      step: The run's checkpoint to take; by default the best one by validation, else the last one.
      head: The data set whose points are read, of a run on several; by default the first. A file has one head.

    Raises:
      FileNotFoundError: There is no such file.
      CheckpointError: There is no run, no such step, or no step that can be read.
      ValueError: The file is damaged or holds no detector; there is no such head; a step of a file is asked for.
    """
    if not is_weights(path):
        return load_run(path, step, head)
    if step is not None:
        raise ValueError(f"{path} is a file of weights, which holds one step; --step is for a run (--workdir)")
    trained = load_bundle(resolved(path))
    held = trained.head
    if head is not None and (held is None or held.name != head):
        raise ValueError(f"{path} has no head {head!r}; it holds {held.name if held else 'one alone'}")
    return trained


def open_models(
    paths: Sequence[str | os.PathLike[str]], *, step: int | None = None, head: str | None = None
) -> list[Trained]:
    """Several models in the order of their paths; see `open_model`.

    Raises:
      ValueError: No path is given, or see `open_model`.
    """
    if not paths:
        raise ValueError("no model is named; give --weights FILE.npz or --workdir DIR")
    return [open_model(path, step=step, head=head) for path in paths]


def open_variables(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """The variables of a run's best checkpoint or of a file of weights of any network, as numpy arrays.

    Raises:
      FileNotFoundError: There is no such file.
      CheckpointError: There is no run, or no step that can be read.
      ValueError: The file holds no weights.
    """
    return load_weights(resolved(path))[0] if is_weights(path) else jax.device_get(load_run(path).variables)


def results_folder(path: str | os.PathLike[str]) -> pathlib.Path:
    """The folder for the results of a model: the workdir of a run, or runs/NAME for a file of weights NAME.npz."""
    path = pathlib.Path(path)
    return pathlib.Path("runs", path.stem) if is_weights(path) else path
