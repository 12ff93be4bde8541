"""SAN's detector on 300-W, without its style branch: the recipe of san_wflw on 68 points.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment san_300w --workdir runs/san_300w
    python -m jaxlm.evaluate --workdir runs/san_300w --dataset ibug300w

Weights to start from, and a slim form for a CPU: see san_wflw.

Data: 300-W, 3,148 training faces, of which 10 % (by photo) are held out. Published for the network without style
branch: nothing on 300-W that we could check. As published: see san_wflw. Differs: as san_wflw, and the data. Ours: see
experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import san_wflw


def config() -> Config:
    """san_wflw on other data, for more epochs of fewer faces."""
    base = san_wflw.config()
    data = dataclasses.replace(base.data, dataset="ibug300w", scheme="ibug68", batch_size=16)
    return dataclasses.replace(base, data=data, epochs=150)
