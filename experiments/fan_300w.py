"""FAN (Bulat and Tzimiropoulos, ICCV 2017) on 300-W: the recipe of fan_wflw on 68 points, small enough for a CPU.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment fan_300w --workdir runs/fan_300w
    python -m jaxlm.evaluate --workdir runs/fan_300w --dataset ibug300w --flip-test

Two stacks on 128 px take an eighth of the operations of four on 256 px, which are

    python -m jaxlm.train --experiment fan_300w --model.input-size 256 --model.options.stacks 4

Data: 300-W, 3,148 training faces, of which 10 % (by photo) are held out. Published by its authors on 300-W: curves of
networks trained on other data. As published: stacked hourglasses. Differs: as fan_wflw, two stacks on 128 px. Ours: see
experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import fan_wflw


def config() -> Config:
    """fan_wflw on other data and smaller, for more epochs of fewer faces."""
    base = fan_wflw.config()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, input_size=128, options={"stacks": 2}),
        data=dataclasses.replace(base.data, dataset="ibug300w", scheme="ibug68"),
        epochs=100,
    )
