"""Sets steps aside that are damaged, or lie where they were not saved; nothing of them is deleted."""

from __future__ import annotations

import errno
import logging
import pathlib
import time

import jax

from jaxlm.checkpoints.records import StrayStepError

_LOG = logging.getLogger(__name__)

DAMAGED = "damaged"
"""The folder of steps that were set aside, beside the others."""


def set_aside(directory: pathlib.Path, step: int, error: Exception) -> None:
    """Moves a step to the folder `DAMAGED`, with a warning that says why."""
    what = "no step of this run" if isinstance(error, StrayStepError) else "damaged"
    _LOG.warning("%s: step %d is %s and set aside: %s", directory, step, what, first_line(error))
    if jax.process_index() == 0:
        (directory / DAMAGED).mkdir(exist_ok=True)
        (directory / str(step)).rename(directory / DAMAGED / f"{step}-{time.time_ns()}")


def damaged_metrics_aside(directory: pathlib.Path) -> list[int]:
    """Sets steps with damaged metrics aside, which Orbax could not open, and gives their numbers."""
    from jaxlm.checkpoints.orbax_steps import read_error  # Not at the top: Orbax is slow to start.

    damaged = []
    for step in [int(folder.name) for folder in directory.glob("[0-9]*") if folder.name.isdecimal()]:
        try:
            read_error(directory / str(step))
        except ValueError as error:
            set_aside(directory, step, error)
            damaged.append(step)
    return damaged


def is_of_the_machine(error: Exception) -> bool:
    """Whether an error says nothing of the files: of memory, open files, rights, or of a disk that fails."""
    numbers = (errno.ENFILE, errno.EMFILE, errno.ENOMEM, errno.EIO, errno.EACCES, errno.ENOSPC)
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in numbers)


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]
