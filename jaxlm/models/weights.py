"""Weights of a model in one .npz file: arrays by their paths, and metadata. Numpy alone can read it."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from jaxlm.files import Archive, replacing

_METADATA = "metadata"
_KIND = "no file of weights that jaxlm wrote"
_MOST_PARTS = 32  # Of an array's path.


def save_weights(path: str | os.PathLike[str], variables: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Writes variables and metadata to a file, which appears only when it is whole.

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
    with replacing(path) as file:
        np.savez(file, **arrays)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata alone; see `load_weights` for errors."""
    return _metadata_of(Archive(path, _KIND))


def _metadata_of(archive: Archive) -> dict[str, Any]:
    metadata = archive.read_json(_METADATA, dict[str, Any])
    if "splits" in metadata and "dataset" in metadata:
        raise ValueError(f"{archive.path} is {_KIND}, but a pack of faces, as --dataset takes it")
    if not isinstance(metadata.get("model"), str):
        raise ValueError(f"{archive.path} is {_KIND}: its metadata name no model")
    return metadata


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables, as nested dicts of numpy arrays, and the metadata of a file of `save_weights`.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The file is damaged, or holds something else; a weight is no finite number, or a variance below 0.
    """
    archive = Archive(path, _KIND)
    metadata = _metadata_of(archive)
    names = sorted(archive.members.keys() - {_METADATA})
    for name, following in itertools.pairwise([*names, ""]):
        parts = name.split("/")
        if not all(parts) or len(parts) > _MOST_PARTS or following.startswith(f"{name}/"):
            raise ValueError(f"{path} is {_KIND}: {name[:100]!r} is no place of an array")
    arrays = {name: archive.read(name, "iuf") for name in names}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(
                f"{path}: {name} holds NaN or infinity; the training that made it diverged, or it is damaged"
            )
        if name.startswith("batch_stats/") and name.endswith("/var") and (array < 0).any():
            raise ValueError(f"{path}: {name} holds a variance below 0; the file is damaged")
    return traverse_util.unflatten_dict(arrays, sep="/"), metadata
