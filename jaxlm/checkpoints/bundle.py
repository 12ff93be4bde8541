"""A detector in one file, for whoever has neither its run nor its experiment nor its landmark scheme.

The file is one of jaxlm/models/weights.py, an .npz archive of arrays by path. Its metadata hold:

- `format`: the version of this list; `model`: a key of jaxlm.models.MODELS; `pixels`: what the model sees of a pixel v.
- `config`: the whole config; of paths but the last part, and the tables of a user's own scheme in place of its path.
- `num_points`, those of all heads, and `head`: the data set, scheme and place of the points that are read, or null.
- `scheme`: the tables of the scheme of the points that are read; `step`: of the checkpoint.
- `card`: what people should know: data, recipe, protocol, numbers, licence.
- `boxes`: for each face detector, how its boxes become those that the model was trained on; see `Bundle`.
- `least_confidence`: what tells a face from what is none, 0 or missing where that was not measured; see `Bundle`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import traverse_util

from jaxlm import experiment, models
from jaxlm.checkpoints.trained import Trained
from jaxlm.config import Config
from jaxlm.landmarks import Head, Scheme, load_scheme, spell_out, text_of
from jaxlm.landmarks import scheme as scheme_lib
from jaxlm.models import load_weights, save_weights

FORMAT = 1
"""Version of the metadata; another one is refused."""

_PIXELS = "RGB, (v - 127.5) / 128"

Calibration = tuple[float, float, float, float]


class Bundle(NamedTuple):
    """A detector and what belongs to it.

    Attributes:
      trained: The model; its config holds the tables of a user's own scheme in place of a path.
      scheme: Of the points that it predicts.
      card: What people should know of it, free text by field: data, recipe, protocol, numbers, licence.
      boxes: By the name of a face detector, (scale_x, scale_y, shift_x, shift_y): the detector's box is scaled about
        its centre, which then moves by the shifts, in units of the detector's box's width and height, to become the
        box of the model's convention.
      least_confidence: Where the mean confidence of the points in a detector's box is less, there is no face; 0 where
        that was not measured.
    """

    trained: Trained
    scheme: Scheme
    card: dict[str, Any]
    boxes: dict[str, Calibration]
    least_confidence: float = 0.0


def save(
    path: str | os.PathLike[str],
    trained: Trained,
    card: Mapping[str, Any] | None = None,
    boxes: Mapping[str, Sequence[float]] | None = None,
    least_confidence: float = 0.0,
) -> None:
    """Writes a detector to one file.

    Args:
      path: Of the file; `.npz` is not appended.
      trained: The detector, with one of its heads.
      card: See `Bundle`; what JSON can hold.
      boxes: See `Bundle`.
      least_confidence: See `Bundle`.

    Raises:
      ValueError: The model is a translator, or a calibration is not four numbers.
    """
    name = trained.config.model.name
    if name not in models.DETECTORS:
        raise ValueError(f"model {name} finds no landmarks; a bundle holds one of {', '.join(models.DETECTORS)}")
    metadata = describe(trained.config, trained.model.num_points, head=trained.head, step=trained.step)
    metadata |= {"card": dict(card or {}), "boxes": _calibrations(boxes or {}), "least_confidence": least_confidence}
    save_weights(path, jax.device_get(trained.variables), metadata)


def load(path: str | os.PathLike[str], sha256: str | None = None) -> Bundle:
    """The detector of a file that `save` or, for a landmark model, `python -m jaxlm.convert` wrote.

    Args:
      path: Of the file.
      sha256: Checksum that the file must have, hexadecimal; None takes any.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The file is damaged, has another checksum, is of another version, holds no detector, or arrays or a
        scheme that do not fit its model.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file of weights")
    if sha256 is not None:
        _check_sha256(path, sha256)
    variables, metadata = load_weights(path)
    _check_format(path, metadata)
    try:
        trained = _trained(variables, metadata)
        scheme = scheme_lib.parse(metadata["scheme"])
        card, boxes = metadata["card"], _calibrations(metadata["boxes"])
        least_confidence = float(metadata.get("least_confidence", 0.0))
    except (KeyError, TypeError, ValueError, FileNotFoundError) as error:
        raise ValueError(f"{path}: the description of its model cannot be used: {_describe(error)}") from error
    predicted = trained.head.stop - trained.head.start if trained.head else trained.model.num_points
    if predicted != scheme.num_points:
        raise ValueError(
            f"{path}: scheme {scheme.name} has {scheme.num_points} points, and the model predicts {predicted}"
        )
    _check_variables(path, trained)
    return Bundle(trained._replace(variables=jax.device_put(variables)), scheme, card, boxes, least_confidence)


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The card in a JSON file: an object of free text by field.

    Raises:
      OSError: The file cannot be read.
      ValueError: It holds something else.
    """
    try:
        card = json.loads(pathlib.Path(path).read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(card, dict):
        raise ValueError(f'{path} must hold a JSON object, such as {{"data": "...", "licence": "..."}}')
    return card


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 checksum of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(config: Config, num_points: int, head: Head | None = None, step: int = 0) -> dict[str, Any]:
    """The metadata of a detector, with an empty card and nothing measured.

    Args:
      config: Of the run; of a run with several heads, data set and scheme are those of `head`.
      num_points: Those of all heads.
      head: Whose points are read; None for all.
      step: Of the checkpoint.
    """
    scheme = spell_out(config.data.scheme)
    options = {name: spell_out(value) if name == "scheme" else value for name, value in config.model.options.items()}
    # Where files lay on the machine that trained is nobody else's business, and of no use to them.
    data = dataclasses.replace(
        config.data,
        scheme=scheme,
        dataset="+".join(map(_last_part, config.data.dataset.split("+"))),
        data_dir=_last_part(config.data.data_dir),
        styled=config.data.styled and _last_part(config.data.styled),
    )
    config = dataclasses.replace(
        config, model=dataclasses.replace(config.model, options=options), data=data, init_from=None, init_copies=()
    )
    return {
        "format": FORMAT,
        "model": config.model.name,
        "pixels": _PIXELS,
        "config": json.loads(experiment.to_json(config)),
        "num_points": num_points,
        "head": head and head._asdict() | {"dataset": _last_part(head.dataset), "scheme": text_of(head.scheme)},
        "scheme": scheme_lib.to_table(load_scheme(scheme)),
        "step": step,
        "card": {},
        "boxes": {},
        "least_confidence": 0.0,
    }


def _last_part(path: str) -> str:
    return pathlib.PurePath(path).name


def _check_sha256(path: str | os.PathLike[str], expected: str) -> None:
    found = sha256(path)
    if found != expected.lower():
        raise ValueError(
            f"{path} is damaged, or not the file wanted: its SHA-256 is {found}, not {expected}; get it once more"
        )


def _check_format(path: str | os.PathLike[str], metadata: Mapping[str, Any]) -> None:
    """Raises ValueError where a file of weights is no bundle of this version."""
    if "format" not in metadata:
        raise ValueError(
            f"{path} holds weights of {metadata.get('model')}, not a whole detector; python -m jaxlm.export --format"
            " bundle writes one, and so does python -m jaxlm.convert for a model that predicts landmarks"
        )
    if metadata["format"] != FORMAT:
        raise ValueError(
            f"{path} is of version {metadata['format']} of the format, and this jaxlm reads version {FORMAT};"
            " export it again, or take the jaxlm that wrote it"
        )


def _trained(variables: Mapping[str, Any], metadata: Mapping[str, Any]) -> Trained:
    config = experiment.from_json(json.dumps(metadata["config"]))
    model = models.build(config.model.name, metadata["num_points"], config.model.options, jnp.dtype(config.dtype))
    stored = metadata["head"]
    head = Head(**stored | {"scheme": load_scheme(stored["scheme"])}) if stored else None
    return Trained(config, model, variables, metadata["step"], head)


def _check_variables(path: str | os.PathLike[str], trained: Trained) -> None:
    """Raises ValueError where variables are not those of their model."""
    size, model = trained.config.model.input_size, trained.model
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    needed = _shapes(jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), image))
    found = _shapes(trained.variables)
    kinds = {
        "missing": needed.keys() - found.keys(),
        "left over": found.keys() - needed.keys(),
        "of another shape": {name for name in needed.keys() & found.keys() if needed[name] != found[name]},
    }
    wrong = [f"{len(names)} arrays are {kind}, the first is {min(names)}" for kind, names in kinds.items() if names]
    if wrong:
        raise ValueError(f"{path} does not hold what {trained.config.model.name} needs: {'; '.join(wrong)}")


def _shapes(variables: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(dict(variables), sep="/").items()}


def _calibrations(boxes: Mapping[str, Sequence[float]]) -> dict[str, Calibration]:
    for detector, numbers in boxes.items():
        if len(numbers) != 4:
            raise ValueError(
                f"the box calibration of {detector} is scale_x, scale_y, shift_x, shift_y, not {list(numbers)}"
            )
    return {detector: tuple(map(float, numbers)) for detector, numbers in boxes.items()}


def _describe(error: Exception) -> str:
    return f"the field {error} is missing or unknown" if isinstance(error, KeyError) else str(error)
