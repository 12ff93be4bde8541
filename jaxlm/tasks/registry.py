"""The table of tasks, and how a task is made for a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from jaxlm import config as config_lib
from jaxlm import models
from jaxlm.config import ModelConfig, TaskConfig
from jaxlm.landmarks import Head, Scheme
from jaxlm.tasks.base import Task
from jaxlm.tasks.boundaries import BoundaryTask
from jaxlm.tasks.coordinates import CoordinateTask
from jaxlm.tasks.heatmaps import HeatMapTask
from jaxlm.tasks.reinitialisation import ReinitialisationTask
from jaxlm.tasks.san import SANTask
from jaxlm.tasks.translation import TranslationTask


@dataclasses.dataclass(frozen=True)
class OneHead:
    """Reads the points of one head, from the outputs of a model that may have several."""

    task: Task
    head: Head

    def points(self, outputs: Any) -> jax.Array:
        return self.task.points(outputs)[:, self.head.points]

    def confidence(self, outputs: Any) -> jax.Array | None:
        confidence = self.task.confidence(outputs)
        return None if confidence is None else confidence[:, self.head.points]

    def degenerate(self, outputs: Any) -> jax.Array | None:
        return self.task.degenerate(outputs)


TASKS: dict[str, type[Any]] = {
    "boundaries": BoundaryTask,
    "coordinates": CoordinateTask,
    "heatmaps": HeatMapTask,
    "reinitialisation": ReinitialisationTask,
    "san": SANTask,
    "translation": TranslationTask,
}


def complete(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of the task `name`: its defaults, replaced by `options`.

    Raises:
      ValueError: The name, an option or the value of a choice is unknown; the nearest one is suggested.
    """
    config_lib.check_known(name, TASKS, f"unknown task {name!r}; tasks are entered in jaxlm/tasks/registry.py")
    return config_lib.complete(TASKS[name], f"task {name}", dict(options))


def build(config: TaskConfig, model: ModelConfig) -> Task:
    """The task of a detector; its fields without a default come from the model, see `tasks.Task`.

    Raises:
      ValueError: The task or one of its options is unknown, or the model lacks an option that the task shares with it;
        the model is a translator, or the task for one.
    """
    if model.name in models.TRANSLATORS or config.name == "translation":
        raise ValueError(
            f"model {model.name} with task {config.name} finds no landmarks: translators"
            f" ({', '.join(models.TRANSLATORS)}) render faces by task translation, and jaxlm.disentangle judges them"
        )
    options = complete(config.name, config.options)
    theirs = {"input_size": model.input_size} | models.complete(model.name, model.options)
    shared = [field.name for field in dataclasses.fields(TASKS[config.name]) if field.default is dataclasses.MISSING]
    lacking = [name for name in shared if name not in theirs]
    if lacking:
        raise ValueError(f"task {config.name} is for models with {', '.join(lacking)}, which {model.name} has not")
    return TASKS[config.name](**{name: theirs[name] for name in shared}, **options)


def build_translation(config: TaskConfig, model: ModelConfig) -> TranslationTask:
    """The task of a translator.

    Raises:
      ValueError: The model is no translator or the task not for one, or an option is unknown.
    """
    if model.name not in models.TRANSLATORS or config.name != "translation":
        known = ", ".join(models.TRANSLATORS)
        raise ValueError(f"task translation is for translators ({known}) alone, not {config.name} for {model.name}")
    return TranslationTask(**complete(config.name, config.options))


def check(config: TaskConfig, model: ModelConfig) -> None:
    """Raises ValueError where a task cannot be built, for a detector or for a translator."""
    (build_translation if model.name in models.TRANSLATORS else build)(config, model)


def structure_channels(config: TaskConfig, model: ModelConfig, scheme: Scheme) -> int:
    """Channels of the structure maps that a model takes beside photos; a detector takes none."""
    return build_translation(config, model).channels(scheme) if model.name in models.TRANSLATORS else 0
