"""The six-convolution network without normalisation on WFLW: a baseline of SepBN, trained by the same recipe.

    python -m jaxlm.train --experiment cnn_wflw --workdir runs/cnn_wflw
    python -m jaxlm.evaluate --workdir runs/cnn_wflw --dataset wflw

Data and schedule: see sepbn_wflw. Published: NME 5.70 % (inter-ocular) on the WFLW test set. As published: the network
without any normalisation, and the recipe of sepbn_wflw. Differs: as sepbn_wflw. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import sepbn_wflw


def config() -> Config:
    """sepbn_wflw with another normalisation."""
    base = sepbn_wflw.config()
    return dataclasses.replace(base, model=dataclasses.replace(base.model, options={"norm": "none"}))
