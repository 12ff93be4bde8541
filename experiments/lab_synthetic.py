"""LAB (Wu et al., CVPR 2018) on jaxlm's own synthetic faces: the recipe of lab_wflw, on two stacks.

    python -m jaxlm.train --experiment lab_synthetic --workdir runs/lab_synthetic
    python -m jaxlm.evaluate --workdir runs/lab_synthetic --dataset synthetic

Data: rendered faces, made on the spot, 98 points, of which 10 % are held out. Published: nothing. As published: see
lab_wflw. Differs: as lab_wflw, two stacks on 128 px, and the data. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import lab_wflw


def config() -> Config:
    """lab_wflw on other data and smaller."""
    base = lab_wflw.config()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, input_size=128, options=base.model.options | {"stacks": 2}),
        data=dataclasses.replace(base.data, dataset="synthetic"),
    )
