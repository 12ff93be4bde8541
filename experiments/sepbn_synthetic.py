"""SepBN on synthetic faces: the recipe of sepbn_wflw where no data set is at hand, every table and subset included.

    python -m jaxlm.train --experiment sepbn_synthetic --workdir runs/sepbn_synthetic
    python -m jaxlm.evaluate --workdir runs/sepbn_synthetic --dataset synthetic

Data: rendered faces, made on the spot, 98 points and WFLW's six attributes. As published: the recipe of sepbn_wflw.
Differs: data, faces held out to choose the checkpoint; and as sepbn_wflw. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import sepbn_wflw


def config() -> Config:
    """sepbn_wflw on other data."""
    base = sepbn_wflw.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, dataset="synthetic", validation_percent=10))
