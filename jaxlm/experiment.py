"""Experiments: the loader of `experiments/NAME.py`, command-line overrides, what no run can use, and JSON."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import pkgutil
import sys
import typing
from collections.abc import Sequence
from typing import Any

import tyro

from jaxlm import config as config_lib
from jaxlm import landmarks, models, tasks
from jaxlm.config import Config, flatten


def names() -> list[str]:
    """Names of all experiments, sorted."""
    package = importlib.import_module("experiments")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def load(name: str) -> Config:
    """The config of `experiments/NAME.py`, with every option of its model and task spelled out.

    Raises:
      ValueError: There is no such experiment, or an option that its model or task does not have.
    """
    config_lib.check_known(name, names(), f"unknown experiment {name!r}")
    return spell_out(importlib.import_module(f"experiments.{name}").config())


def spell_out(config: Config) -> Config:
    """`config` with the options of its model and task completed by their defaults."""
    model = dataclasses.replace(
        config.model, options=config_lib.complete(models.MODELS, config.model.name, config.model.options)
    )
    task = dataclasses.replace(
        config.task, options=config_lib.complete(tasks.TASKS, config.task.name, config.task.options)
    )
    return dataclasses.replace(config, model=model, task=task)


def parse_arguments(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> tuple[argparse.Namespace, Config]:
    """Reads `--experiment NAME`, what `parser` knows, and an override for any field of the experiment's config.

    Overrides are spelled `--optim.learning-rate 1e-3`. A misspelt one ends the program with a suggestion.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser.add_argument("--experiment", required=True, help=f"one of {', '.join(names())}")
    if not any(argument.startswith("--experiment") for argument in argv) and {"-h", "--help"} & set(argv):
        parser.epilog = "Any field of an experiment can be overridden; --experiment NAME --help lists them."
        parser.print_help()
        parser.exit()
    arguments, rest = parser.parse_known_args(argv)
    return arguments, override(parser, arguments.experiment, rest)


def override(parser: argparse.ArgumentParser, name: str, arguments: Sequence[str]) -> Config:
    """The config of `experiments/NAME.py` with overrides; what is wrong with them ends the program of `parser`."""
    try:
        config = load(name)
    except ValueError as error:
        parser.error(str(error))
    description = f"Overrides for experiment {name}; {parser.format_usage()}"
    config = tyro.cli(Config, default=config, args=arguments, prog=parser.prog, description=description)
    try:
        config = spell_out(config)
        check(config)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    return config


def check(config: Config) -> None:
    """Raises ValueError where a field holds what no run can use, before any data is read."""
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
    for option, field, value in (("scheme", "scheme", config.data.scheme), ("context", "crop", config.data.crop)):
        asked = config.model.options.get(option, value)
        if asked != value:
            raise ValueError(f"model.options.{option} = {asked} and data.{field} = {value} must be the same")
    fields = flatten(dataclasses.asdict(config))
    for name in ("epochs", "eval_every", "keep", "steps_per_call", "fsdp", "data.batch_size", "optim.accumulate"):
        if fields[name] < 1:
            raise ValueError(f"{name} must be at least 1, not {fields[name]}")
    if any(factor < 0 for _, factor in config.optim.rates):
        raise ValueError(f"factors of optim.rates must be at least 0: {config.optim.rates}")
    if not 0 <= config.data.validation_percent < 100:
        raise ValueError(f"data.validation_percent must be in 0..99, not {config.data.validation_percent}")
    if not 0 < config.data.label_percent <= 100:
        raise ValueError(f"data.label_percent must be above 0 and at most 100, not {config.data.label_percent}")
    if config.steps_per_epoch is not None and config.steps_per_epoch < 1:
        raise ValueError(f"steps_per_epoch must be at least 1, not {config.steps_per_epoch}")
    if not 0 <= config.data.styled_ratio <= 1:
        raise ValueError(f"data.styled_ratio must be in 0..1, not {config.data.styled_ratio}")


def to_json(config: Config) -> str:
    """The config as JSON text."""
    return json.dumps(dataclasses.asdict(config), indent=2)


def from_json(text: str) -> Config:
    """The config that `to_json` wrote; tuples among the options come back as tuples.

    Raises:
      ValueError: It has an option that its model or task does not have; `DeletedFieldError` if that existed once.
    """
    return spell_out(_from_dict(Config, without_deleted(json.loads(text))))


# Fields that no longer exist, by their dotted paths, each with the value whose effect all configs have now.
_DELETED = {
    "model.options.detach": False,
    "model.options.regressor_width": 16,
    "model.options.unbiased_running_var": False,
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
