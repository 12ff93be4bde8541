"""SepBN on 300-W: the recipe of sepbn_wflw on 68 points and boxes made from the landmarks.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment sepbn_300w --workdir runs/sepbn_300w
    python -m jaxlm.evaluate --workdir runs/sepbn_300w --dataset ibug300w

Data: 300-W, 3,148 training faces, of which 10 % (by photo) are held out. Published: nothing on 300-W. As published: the
recipe of sepbn_wflw. Differs: data, boxes, faces held out to choose the checkpoint; and as sepbn_wflw. Ours: see
experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import sepbn_wflw


def config() -> Config:
    """sepbn_wflw on other data."""
    base = sepbn_wflw.config()
    data = dataclasses.replace(base.data, dataset="ibug300w", scheme="ibug68", validation_percent=10)
    return dataclasses.replace(base, data=data)
