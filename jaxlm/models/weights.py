"""Weights of a model in one .npz file: arrays by their paths, and metadata. Numpy alone can read it."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

_METADATA = "metadata"


def save_weights(path: str | os.PathLike[str], variables: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Writes variables and metadata to a file.

    Args:
      path: Path of the file; `.npz` is not appended.
      variables: Nested dicts of arrays; `variables["params"]["fc1"]["kernel"]` gets the key `params/fc1/kernel`.
      metadata: A dict that becomes JSON, with the key `metadata` in the file. `model` is required: the model's name.
        Detectors have the entries of jaxlm/checkpoints/bundle.py; other networks have `options`, the fields of their
        module.
    """
    flat: dict[str, Any] = traverse_util.flatten_dict(dict(variables), sep="/")
    arrays: dict[str, Any] = {key: np.asarray(value) for key, value in flat.items()}
    arrays[_METADATA] = np.asarray(json.dumps(dict(metadata)))
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables, as nested dicts of numpy arrays, and the metadata of a file of `save_weights`.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The file is damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        metadata = json.loads(str(arrays.pop(_METADATA)))
    except (ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is no file of weights that jaxlm wrote, or a damaged one ({error});"
            " jaxlm convert makes one from a PyTorch checkpoint"
        ) from error
    return traverse_util.unflatten_dict(arrays, sep="/"), metadata
