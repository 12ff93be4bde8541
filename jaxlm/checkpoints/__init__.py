"""Trained models on disk: runs (Orbax checkpoints) and bundles (one .npz file), behind one door.

In: a workdir or a file. Out: `Trained`, a model with its variables, config and head.
runs.py saves and restores steps; bundle.py is the one-file form; opening.py tells which of the two a path is.
"""

from jaxlm.checkpoints.bundle import Bundle
from jaxlm.checkpoints.runs import (
    CheckpointError,
    Checkpoints,
    ConfigMismatchError,
    directory_of,
    fingerprints,
    load_model,
    write_config,
)
from jaxlm.checkpoints.trained import Trained

__all__ = [
    "Bundle",
    "CheckpointError",
    "Checkpoints",
    "ConfigMismatchError",
    "Trained",
    "directory_of",
    "fingerprints",
    "load_model",
    "write_config",
]
