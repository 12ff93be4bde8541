"""The objective of an experiment, by its model and its task."""

from __future__ import annotations

from jaxlm import models
from jaxlm.config import Config
from jaxlm.training.objectives.base import Objective
from jaxlm.training.objectives.boundaries import BoundaryObjective
from jaxlm.training.objectives.detection import DetectionObjective
from jaxlm.training.objectives.translation import TranslationObjective


def kind(config: Config) -> type[Objective]:
    """The class of an experiment's objective."""
    if config.model.name in models.TRANSLATORS:
        return TranslationObjective
    return BoundaryObjective if config.task.options.get("adversarial") else DetectionObjective
