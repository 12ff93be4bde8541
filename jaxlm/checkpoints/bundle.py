"""A trained detector in one file of weights, which needs neither the run nor the experiment nor the scheme's file.

The file is an .npz archive of arrays by path; see jaxlm/models/weights.py. Its metadata hold:

- `format`: the version of this list. `model`: a key of jaxlm.models.MODELS. `pixels`: how a pixel value v is scaled.
- `config`: the whole config. Paths are cut to their last part; a user's own scheme is in it as tables.
- `num_points`: the number of points of all heads. `head`: the data set, scheme and place of the points that are read,
  or null.
- `scheme`: the tables of the scheme of the points that are read. `step`: the checkpoint's step.
- `card`, `boxes`, `least_confidence`, `confidence`, `data`: see `Trained`; the last three may be missing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from jaxlm import experiment, models
from jaxlm.checkpoints.bundle_checks import (
    PIXELS,
    Metadata,
    calibrations_of,
    check_confidence,
    check_variables,
    last_part,
    needed_arrays,
    trained_of,
    without_paths,
)
from jaxlm.checkpoints.trained import Trained
from jaxlm.config import Config
from jaxlm.files import as_schema, read_json
from jaxlm.landmarks import Head, load_scheme, text_of
from jaxlm.landmarks import scheme as scheme_lib
from jaxlm.models import load_weights, save_weights

FORMAT = 1
"""Version of the metadata; another one is refused."""


def save_bundle(path: str | os.PathLike[str], trained: Trained) -> None:
    """Writes a detector, with its card, boxes and what its confidences mean, to one file.

    Args:
      path: The file; `.npz` is not appended.
      trained: The detector. Its card holds what JSON can hold.

    Raises:
      ValueError: The model is a translator, or a calibration is not four numbers.
    """
    name = trained.config.model.name
    if name not in models.DETECTORS:
        raise ValueError(f"model {name} finds no landmarks; a bundle holds one of {', '.join(models.DETECTORS)}")
    metadata = metadata_of(trained.config, trained.model.num_points, head=trained.head, step=trained.step) | {
        "card": dict(trained.card),
        "boxes": calibrations_of(trained.boxes),
        "least_confidence": trained.least_confidence,
        "confidence": trained.confidence and dataclasses.asdict(trained.confidence),
        "data": dict(trained.data),
    }
    save_weights(path, jax.device_get(trained.variables), metadata)


def load_bundle(path: str | os.PathLike[str]) -> Trained:
    """The detector of a file that `save_bundle` or, for a landmark model, `jaxlm convert` wrote.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The file is damaged, is of another version, holds no detector, or holds arrays or a scheme that do
        not fit its model.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file of weights")
    variables, metadata = load_weights(path)
    _check_format(path, metadata)
    try:
        trained = trained_of(variables, as_schema(metadata, Metadata, "metadata"))
        needed = needed_arrays(trained)
    except Exception as error:  # A model built with wrong options raises nearly anything.
        said = str(error).partition("\n")[0][:500]
        raise ValueError(f"{path}: the description of its model cannot be used: {said}") from error
    scheme, head = trained.scheme, trained.head
    predicted = head.stop - head.start if head else trained.model.num_points
    if predicted != scheme.num_points:
        raise ValueError(
            f"{path}: scheme {scheme.name} has {scheme.num_points} points, and the model predicts {predicted}"
        )
    if scheme != (of_config := load_scheme(trained.config.data.scheme)) or (head and scheme != head.scheme):
        other = head.scheme.name if head and scheme == of_config else of_config.name
        raise ValueError(
            f"{path}: its points are in scheme {scheme.name}, and by its config or head in another {other}"
        )
    check_confidence(path, trained)
    check_variables(path, trained, needed)
    return dataclasses.replace(trained, variables=jax.device_put(variables))


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The card in a JSON file: an object of free text by field.

    Raises:
      OSError: The file cannot be read.
      ValueError: It holds something else.
    """
    card = read_json(path, Any)
    if not isinstance(card, dict):
        raise ValueError(f'{path} must hold a JSON object, such as {{"data": "...", "licence": "..."}}')
    return card


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 checksum of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: str | os.PathLike[str], expected: str) -> None:
    """Raises ValueError where a file has another checksum than the hexadecimal one that is expected."""
    found = sha256(path)
    if found != expected.lower():
        raise ValueError(
            f"{path} is damaged, or not the file wanted: its SHA-256 is {found}, not {expected}; get it once more"
        )


def metadata_of(config: Config, num_points: int, head: Head | None = None, step: int = 0) -> dict[str, Any]:
    """The metadata of a detector, with an empty card and nothing measured.

    Args:
      config: The run's config. Its data set and scheme are those of `head`, where the run has several heads.
      num_points: The number of points of all heads.
      head: The head whose points are read; None for all points.
      step: The checkpoint's step.
    """
    config = without_paths(experiment.with_schemes_spelled_out(config))
    return {
        "format": FORMAT,
        "model": config.model.name,
        "pixels": PIXELS,
        "config": json.loads(experiment.to_json(config)),
        "num_points": num_points,
        "head": head and head._asdict() | {"dataset": last_part(head.dataset), "scheme": text_of(head.scheme)},
        "scheme": scheme_lib.to_table(load_scheme(config.data.scheme)),
        "step": step,
        "card": {},
        "boxes": {},
        "least_confidence": 0.0,
    }


def _check_format(path: str | os.PathLike[str], metadata: Mapping[str, Any]) -> None:
    """Raises ValueError where a file of weights is no bundle of this version."""
    if "format" not in metadata:
        raise ValueError(
            f"{path} holds weights of {metadata.get('model')}, not a whole detector; jaxlm export --format bundle"
            " writes one, and so does jaxlm convert for a model that predicts landmarks"
        )
    if metadata["format"] != FORMAT:
        raise ValueError(
            f"{path} is of version {metadata['format']} of the format, and this jaxlm reads version {FORMAT};"
            " export it again, or take the jaxlm that wrote it"
        )
