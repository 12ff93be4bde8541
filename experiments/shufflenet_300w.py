"""The recipe of shufflenet_best on 300-W.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment shufflenet_300w --workdir runs/shufflenet_300w
    python -m jaxlm.evaluate --workdir runs/shufflenet_300w --dataset ibug300w --flip-test

Data: 300-W, 3,148 training faces, of which 10 % (by photo) are held out. Published: nothing on 300-W. As published: the
network. Differs: as shufflenet_best, and the data. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import shufflenet_best


def config() -> Config:
    """shufflenet_best on other data, for more epochs of fewer faces."""
    base = shufflenet_best.config()
    data = dataclasses.replace(base.data, dataset="ibug300w", validation_percent=10, batch_size=16)
    return dataclasses.replace(base, data=data, epochs=150)
