"""Tasks: what a model's raw outputs mean. A task turns them into per-face losses and into points.

In: raw outputs, true points [B, N, 2], visibility [B, N]. Out: losses [B], points [B, N, 2], confidence [B, N].
`build` makes a task by its name, base.py says what a task is, and metrics.py has NME, FR, AUC and CED.

All formulas of losses are in *_losses.py: functions of arrays that give one value per face [B], but for the terms of
LAB's adversary. A task chooses among them; an objective (jaxlm/training/objectives/) takes means and adds them up.
"""

from jaxlm.tasks.base import Alarm, Reader, Task
from jaxlm.tasks.registry import TASKS, OneHead, build, build_translation, check, complete, structure_channels

__all__ = [
    "TASKS",
    "Alarm",
    "OneHead",
    "Reader",
    "Task",
    "build",
    "build_translation",
    "check",
    "complete",
    "structure_channels",
]
