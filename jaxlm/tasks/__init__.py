"""Tasks: what a model's raw outputs mean. A task turns them into per-face losses and into points.

In: raw outputs, true points [B, N, 2], visibility [B, N]. Out: losses [B], points [B, N, 2], confidence [B, N].
`build` makes a task by its name; metrics.py has NME, FR, AUC and CED.
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
