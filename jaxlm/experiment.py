"""Experiments: files with a function config(), what no run can use, and JSON."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import json
import math
import pathlib
import sys
import traceback
import typing
from collections.abc import Callable
from typing import Any

from jaxlm import config as config_lib
from jaxlm import experiments, landmarks, models, tasks
from jaxlm.config import Config, flatten
from jaxlm.files import as_schema
from jaxlm.models.option_ranges import check_options


def files() -> dict[str, pathlib.Path]:
    """The files of all experiments by name: those that come with jaxlm, and those in ./experiments.

    Of two with one name the one in ./experiments counts.
    """
    folders = [*map(pathlib.Path, experiments.__path__), pathlib.Path("experiments")]
    return {file.stem: file for folder in folders for file in sorted(folder.glob("[!_]*.py"))}


def names() -> list[str]:
    """Names of all experiments, sorted."""
    return sorted(files())


def load(name: str, faces: int | None = None) -> Config:
    """The config of an experiment, with every option of its model and task spelled out.

    Args:
      name: One of `names()`, or the path of a file, which ends in .py.
      faces: How many faces there are to learn from and to hold out, for an experiment that `asks_for_faces`; None takes
        the number that stands in its file.

    Raises:
      ValueError: There is no such experiment, its file cannot be run or has no config(), or it gives an option that its
        model or task does not have. The message begins with the file.
    """
    file = _find_file(name)
    try:
        config = _function_config(file)(**({} if faces is None else {"faces": faces}))
        if not isinstance(config, Config):
            raise ValueError(f"config() returns a {type(config).__name__}, not a jaxlm.config.Config")
        as_schema(dataclasses.asdict(config), Config, "config()")
        return spell_out(config)
    except Exception as error:  # People's own code may raise anything.
        frames = traceback.extract_tb(error.__traceback__)
        inside = [frame.lineno for frame in frames if frame.filename == str(file.absolute())]
        where = f"{file}, line {inside[-1]}" if inside else str(file)
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{where}: {kind}{' '.join(str(error).split())}") from error


def asks_for_faces(name: str) -> bool:
    """Whether an experiment, which `load` can load, fits itself to the number of faces: its config() has `faces`."""
    return "faces" in inspect.signature(_function_config(_find_file(name))).parameters


def _find_file(name: str) -> pathlib.Path:
    """The file of an experiment; raises ValueError where no experiment has that name."""
    if name.endswith(".py"):
        return pathlib.Path(name)
    known = files()
    if "/" in name:
        raise ValueError(f"no experiment is called {name!r}; to give a file, write {name}.py")
    config_lib.check_known(name, known, f"unknown experiment {name!r}; the path of a file ends in .py")
    return known[name]


def _function_config(file: pathlib.Path) -> Callable[..., Any]:
    """The function config() of a file; the file can import others beside it."""
    if not file.is_file():
        raise ValueError("there is no such file")
    spec = importlib.util.spec_from_file_location(str(file.absolute()), file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses look for their module there.
    sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    if not callable(getattr(module, "config", None)):
        raise ValueError("the file of an experiment has a function config(), and this one has none")
    return module.config


def spell_out(config: Config) -> Config:
    """`config` with the options of its model and task completed by their defaults."""
    model = dataclasses.replace(config.model, options=models.complete(config.model.name, config.model.options))
    task = dataclasses.replace(config.task, options=tasks.complete(config.task.name, config.task.options))
    return dataclasses.replace(config, model=model, task=task)


def said_by_data(config: Config) -> dict[str, tuple[str, Any]]:
    """Options of models that say again what a field of the data says: that field, and its value."""
    return {"scheme": ("data.scheme", config.data.scheme), "context": ("data.crop", config.data.crop)}


def check(config: Config) -> None:
    """Raises ValueError where a field holds what no run can use, before any data is read."""
    check_ranges(config)
    heads = landmarks.heads_of(config.data.dataset, config.data.scheme)
    knows_one = "scheme" in config.model.options or config.model.name in models.TRANSLATORS
    if knows_one and heads[-1].start:
        raise ValueError(
            f"model {config.model.name} knows one scheme, and data.scheme names several: {config.data.scheme}; give one"
            " for all sets"
        )
    points = landmarks.load_scheme(config.data.scheme).num_points
    models.build(config.model.name, points, config.model.options, config.dtype)
    tasks.check(config.task, config.model)
    for option, (field, value) in said_by_data(config).items():
        asked = config.model.options.get(option, value)
        if asked != value:
            raise ValueError(f"model.options.{option} = {asked} and {field} = {value} must be the same")


_AT_LEAST_1 = ("epochs", "eval_every", "keep", "steps_per_call", "fsdp", "data.batch_size", "optim.accumulate")
_ABOVE_0 = ("optim.learning_rate", "optim.clip_norm", "data.crop", "temperature", "max_megabytes")
_AT_LEAST_0 = ("seed", "optim.warmup_epochs", "optim.weight_decay", "augment.rotation", "augment.shear")
_CHANCES = ("augment.probability", "augment.grey", "augment.blur", "augment.defocus", "augment.dark")
_SHARES = ("data.styled_ratio", *_CHANCES, "augment.occlusion")
# Fields by what their values must be.
_RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    ((*_AT_LEAST_1, "steps_per_epoch"), lambda value: value >= 1, "at least 1"),
    (_ABOVE_0, lambda value: value > 0, "above 0"),
    ((*_AT_LEAST_0, "augment.shift", "augment.colour"), lambda value: value >= 0, "at least 0"),
    (_SHARES, lambda value: 0 <= value <= 1, "in 0..1"),
    (("augment.scale", "optim.ema_decay"), lambda value: 0 <= value < 1, "at least 0 and below 1"),
    (("augment.hue",), lambda value: 0 <= value <= 0.5, "in 0..0.5"),
    (("data.validation_percent",), lambda value: 0 <= value < 100, "in 0..99"),
    (("data.label_percent",), lambda value: 0 < value <= 100, "above 0 and at most 100"),
    (("model.input_size",), lambda value: 8 <= value <= 4096, "in 8..4096"),
    (("seed",), lambda value: value < 2**31, "below 2147483648"),
    (("epochs", "steps_per_epoch", "optim.warmup_epochs"), lambda value: value <= 10**9, "at most 1000000000"),
    (("temperature",), lambda value: value <= 10**6, "at most 1000000"),
    (("optim.learning_rate", "optim.weight_decay"), lambda value: value <= 1000, "at most 1000"),
    (("data.crop", "augment.shear", "augment.shift", "augment.colour"), lambda value: value <= 100, "at most 100"),
    (("augment.rotation",), lambda value: value <= 180, "at most 180"),
)


def check_ranges(config: Config) -> None:
    """Raises ValueError where the number in a field is none that training could use."""
    fields = flatten(dataclasses.asdict(config))
    for names, fits, text in _RANGES:
        for name in names:
            value = fields[name]
            if value is not None and not (math.isfinite(value) and fits(value)):
                raise ValueError(f"{name} must be {text}, not {value}")
    check_options("model.options", config.model.options)
    check_options("task.options", config.task.options)
    if not all(0 <= beta < 1 for beta in config.optim.betas):
        raise ValueError(f"optim.betas must be at least 0 and below 1: {config.optim.betas}")
    epochs = [epoch for epoch, _ in config.optim.decay]
    if epochs != sorted(epochs) or not all(0 <= epoch <= 10**9 for epoch in epochs):
        raise ValueError(f"epochs of optim.decay must be at least 0, and rise: {config.optim.decay}")
    for name, pairs in (("rates", config.optim.rates), ("decay", config.optim.decay)):
        if not all(math.isfinite(factor) and factor >= 0 for _, factor in pairs):
            raise ValueError(f"factors of optim.{name} must be at least 0: {pairs}")


def with_schemes_spelled_out(config: Config) -> Config:
    """`config` with the tables of a user's own schemes in place of the paths of their files."""
    options = {
        name: landmarks.spell_out(value) if name == "scheme" else value for name, value in config.model.options.items()
    }
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, options=options),
        data=dataclasses.replace(config.data, scheme=landmarks.spell_out(config.data.scheme)),
    )


def to_json(config: Config) -> str:
    """The config as JSON text."""
    return json.dumps(dataclasses.asdict(config), indent=2)


def from_json(text: str) -> Config:
    """The config that `to_json` wrote; tuples among the options come back as tuples.

    Raises:
      ValueError: It has an option that its model or task does not have, or a value of another type than its field;
        `DeletedFieldError` if that existed once.
    """
    try:
        config = spell_out(_from_dict(Config, without_deleted(json.loads(text))))
    except KeyError as error:
        raise ValueError(f"the field {error} is missing or unknown") from None
    except (AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"the config is damaged: {error}") from None
    return as_schema(dataclasses.asdict(config), Config, "config")


# Fields that no longer exist, by their dotted paths, each with the value whose effect all configs have now.
_DELETED = {
    "model.options.detach": False,
    "model.options.regressor_width": 16,
    "task.options.landmark_weight": 1.0,
    "task.options.map_weight": 1.0,
}


class DeletedFieldError(ValueError):
    """A stored config asks for what this version no longer does."""


def without_deleted(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A stored config, as nested dicts, without the fields that no longer exist.

    Raises:
      DeletedFieldError: Such a field holds another value than the one that all configs have now.
    """
    kept = {}
    for key, value in values.items():
        path = prefix + key
        if isinstance(value, dict):
            kept[key] = without_deleted(value, f"{path}.")
        elif path not in _DELETED:
            kept[key] = value
        elif value != _DELETED[path]:
            raise DeletedFieldError(
                f"the stored config has {path} = {value!r}; this version of jaxlm has no such field, and does what"
                f" {_DELETED[path]!r} did: take an older version"
            )
    return kept


def _from_dict(cls: type, values: dict[str, Any]) -> Any:
    types = typing.get_type_hints(cls)
    nested = {
        key: _from_dict(types[key], value) if dataclasses.is_dataclass(types[key]) else config_lib.with_tuples(value)
        for key, value in values.items()
    }
    return cls(**nested)
