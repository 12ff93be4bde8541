"""FAN (Bulat and Tzimiropoulos, ICCV 2017) on jaxlm's own synthetic faces: the recipe of fan_wflw, on two stacks.

    python -m jaxlm.train --experiment fan_synthetic --workdir runs/fan_synthetic
    python -m jaxlm.evaluate --workdir runs/fan_synthetic --dataset synthetic

Data: rendered faces, made on the spot, 98 points, of which 10 % are held out. Published: nothing. As published: stacked
hourglasses. Differs: as fan_wflw, two stacks on 128 px, and the data. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import fan_wflw


def config() -> Config:
    """fan_wflw on other data and smaller."""
    base = fan_wflw.config()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, input_size=128, options={"stacks": 2}),
        data=dataclasses.replace(base.data, dataset="synthetic"),
    )
