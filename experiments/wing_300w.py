"""Wing-loss regression on 300-W: the recipe of wing_wflw on 68 points.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment wing_300w --workdir runs/wing_300w
    python -m jaxlm.evaluate --workdir runs/wing_300w --dataset ibug300w

Data: 300-W, 3,148 training faces, of which 10 % (by photo) are held out. Published: nothing on held-out faces. As
published: see wing_wflw. Differs: as wing_wflw, and the data. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import wing_wflw


def config() -> Config:
    """wing_wflw on other data, for more epochs of fewer faces."""
    base = wing_wflw.config()
    data = dataclasses.replace(base.data, dataset="ibug300w", scheme="ibug68", batch_size=16)
    return dataclasses.replace(base, data=data, epochs=150)
