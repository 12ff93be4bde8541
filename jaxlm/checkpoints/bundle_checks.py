"""What a bundle's metadata may hold, and whether its arrays are those that its model needs."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from flax import traverse_util

from jaxlm import experiment, models, tasks
from jaxlm.checkpoints.confidence import ConfidenceMap, Line
from jaxlm.checkpoints.trained import Calibration, Trained
from jaxlm.config import Config
from jaxlm.landmarks import Head, parse_tables, scheme_of_text
from jaxlm.landmarks.scheme import MOST_POINTS

PIXELS = "RGB, (v - 127.5) / 128"
"""What models see of a pixel value v."""

_Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_POINTS)]
_Number = Annotated[float, msgspec.Meta(ge=-100, le=100)]
_NotFalling = Annotated[float, msgspec.Meta(ge=0, le=100)]
_NotRising = Annotated[float, msgspec.Meta(ge=-100, le=0)]


class _Head(msgspec.Struct):
    """The place of the points that are read among those of the model; see `landmarks.Head`."""

    name: str
    dataset: str
    scheme: str
    start: Annotated[int, msgspec.Meta(ge=0, le=MOST_POINTS)]
    stop: _Count


class _Confidence(msgspec.Struct):
    """What confidences mean; see `ConfidenceMap`."""

    within: Annotated[float, msgspec.Meta(gt=0, le=1)]
    normaliser: Literal["inter_ocular", "box"]
    probability: list[tuple[_NotFalling, _Number]]
    error: list[tuple[_NotRising, _Number]]


class Metadata(msgspec.Struct):
    """The metadata of a bundle; see the top of this module."""

    config: dict[str, Any]
    model: str
    pixels: str
    num_points: _Count
    head: _Head | None
    scheme: dict[str, Any]
    step: Annotated[int, msgspec.Meta(ge=0)]
    card: dict[str, Any]
    boxes: dict[str, tuple[_Number, ...]]
    least_confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    confidence: _Confidence | None = None
    data: dict[str, str] = {}  # msgspec copies it.


def without_paths(config: Config) -> Config:
    """A config whose paths are cut: those of the machine that trained are private, and none is followed elsewhere."""
    data = dataclasses.replace(
        config.data,
        dataset="+".join(map(last_part, config.data.dataset.split("+"))),
        data_dir=last_part(config.data.data_dir),
        styled=config.data.styled and last_part(config.data.styled),
    )
    return dataclasses.replace(config, data=data, init_from=None, init_copies=())


def last_part(path: str) -> str:
    """The name that a path ends with."""
    return pathlib.PurePath(path).name


def trained_of(variables: Mapping[str, Any], metadata: Metadata) -> Trained:
    """The detector that metadata describe; raises ValueError, or nearly anything, where they contradict themselves."""
    config = without_paths(experiment.from_json(json.dumps(metadata.config)))
    experiment.check_ranges(config)
    if metadata.model != config.model.name:
        raise ValueError(f"its model is {metadata.model}, and that of its config {config.model.name}")
    if metadata.pixels != PIXELS:
        raise ValueError(f"its model sees pixels as {metadata.pixels!r}, and this jaxlm gives {PIXELS!r}")
    for options in (config.model.options, config.task.options):
        scheme_of_text(options.get("scheme", config.data.scheme))
    scheme_of_text(config.data.scheme)
    tasks.check(config.task, config.model)
    return Trained(
        config=config,
        model=models.build(config.model.name, metadata.num_points, config.model.options, jnp.dtype(config.dtype)),
        variables=variables,
        step=metadata.step,
        scheme=parse_tables(metadata.scheme, "scheme"),
        head=_head_of(metadata),
        card=metadata.card,
        boxes=calibrations_of(metadata.boxes),
        least_confidence=metadata.least_confidence,
        confidence=_confidence_of(metadata.confidence),
        data=metadata.data,
    )


def _head_of(metadata: Metadata) -> Head | None:
    stored = metadata.head
    if stored is None:
        return None
    if not stored.start < stored.stop <= metadata.num_points:
        raise ValueError(f"the head has points {stored.start} to {stored.stop} of {metadata.num_points}")
    return Head(stored.name, last_part(stored.dataset), scheme_of_text(stored.scheme), stored.start, stored.stop)


def _confidence_of(stored: _Confidence | None) -> ConfidenceMap | None:
    if stored is None:
        return None
    lines = ([Line(*line) for line in of_points] for of_points in (stored.probability, stored.error))
    return ConfidenceMap(stored.within, stored.normaliser, *map(tuple, lines))


def check_confidence(path: str | os.PathLike[str], trained: Trained) -> None:
    """Raises ValueError where what confidences mean does not fit the scheme."""
    found, scheme = trained.confidence, trained.scheme
    if found is None:
        return
    if not len(found.probability) == len(found.error) == scheme.num_points:
        raise ValueError(
            f"{path}: what its confidences mean is not said of the {scheme.num_points} points of {scheme.name}"
        )
    if found.normaliser == "inter_ocular" and scheme.eye_corners is None:
        raise ValueError(
            f"{path}: its confidences are by inter-ocular distance, and {scheme.name} names no eye corners"
        )


def needed_arrays(trained: Trained) -> Mapping[str, Any]:
    """The arrays that the model needs, as jax.ShapeDtypeStruct by path."""
    size, model = trained.config.model.input_size, trained.model
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return _by_path(jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), image))


def check_variables(path: str | os.PathLike[str], trained: Trained, needed: Mapping[str, Any]) -> None:
    """Raises ValueError where variables are not those that their model needs."""
    found = _by_path(trained.variables)
    both = needed.keys() & found.keys()
    kinds = {
        "missing": needed.keys() - found.keys(),
        "left over": found.keys() - needed.keys(),
        "of another shape": {name for name in both if needed[name].shape != found[name].shape},
        "of another type": {name for name in both if np.dtype(needed[name].dtype).kind != found[name].dtype.kind},
    }
    wrong = [f"{len(names)} arrays are {kind}, the first is {min(names)}" for kind, names in kinds.items() if names]
    if wrong:
        raise ValueError(f"{path} does not hold what {trained.config.model.name} needs: {'; '.join(wrong)}")


def _by_path(variables: Mapping[str, Any]) -> dict[str, Any]:
    return traverse_util.flatten_dict(dict(variables), sep="/")


def calibrations_of(boxes: Mapping[str, Sequence[float]]) -> dict[str, Calibration]:
    """Calibrations by face detector; raises ValueError where one is not four numbers."""
    calibrations: dict[str, Calibration] = {}
    for detector, numbers in boxes.items():
        if len(numbers) != 4:
            raise ValueError(
                f"the box calibration of {detector} is scale_x, scale_y, shift_x, shift_y, not {list(numbers)}"
            )
        scale_x, scale_y, shift_x, shift_y = map(float, numbers)
        calibrations[detector] = (scale_x, scale_y, shift_x, shift_y)
    return calibrations
