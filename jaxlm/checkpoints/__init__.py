"""Trained models on disk: runs (Orbax checkpoints) and bundles (one .npz file), behind one door, `open_model`.

In: a workdir or a file of weights. Out: `Trained`, a model with its variables, config, scheme and head.
runs.py saves and restores steps; bundle.py is the one-file form; opening.py tells which of the two a path is.
"""

from jaxlm.checkpoints.averaging import average_weights
from jaxlm.checkpoints.bundle import load_bundle, read_card, save_bundle
from jaxlm.checkpoints.confidence import ConfidenceMap
from jaxlm.checkpoints.fingerprinting import fingerprints
from jaxlm.checkpoints.opening import (
    absolute,
    check_bundle_output,
    check_exists,
    is_weights,
    open_model,
    open_models,
    open_variables,
    resolved,
    results_folder,
)
from jaxlm.checkpoints.records import CheckpointError, MismatchError
from jaxlm.checkpoints.runs import Checkpoints, check_name, directory_of, write_config
from jaxlm.checkpoints.trained import LANDMARKS, Calibration, Trained

__all__ = [
    "LANDMARKS",
    "Calibration",
    "CheckpointError",
    "Checkpoints",
    "ConfidenceMap",
    "MismatchError",
    "Trained",
    "absolute",
    "average_weights",
    "check_bundle_output",
    "check_exists",
    "check_name",
    "directory_of",
    "fingerprints",
    "is_weights",
    "load_bundle",
    "open_model",
    "open_models",
    "open_variables",
    "read_card",
    "resolved",
    "results_folder",
    "save_bundle",
    "write_config",
]
