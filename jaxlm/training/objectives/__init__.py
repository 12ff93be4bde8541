"""Objectives: what a run minimises and how it is judged.

In: a model, a task, crops of a batch. Out: a loss with values to log, and a validator of held-out faces.
base.py says what an objective offers; there are three: detection, detection with LAB's adversary, translation.
"""

from jaxlm.training.objectives.base import Crops, Objective, Validate
from jaxlm.training.objectives.registry import kind

__all__ = [
    "Crops",
    "Objective",
    "Validate",
    "kind",
]
