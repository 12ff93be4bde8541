"""Training: one pure step, what feeds it, and the loop around it.

In: a `Config` and a workdir. Out: checkpoints, metrics.jsonl.
loop.py reads from top to bottom; step.py is the step; objectives/ says what is minimised.
"""

from jaxlm.training.loop import fit, make_synthetic_faces
from jaxlm.training.step import Recipe, TrainState, init_state, make_recipe, train_step

__all__ = [
    "Recipe",
    "TrainState",
    "fit",
    "init_state",
    "make_recipe",
    "make_synthetic_faces",
    "train_step",
]
