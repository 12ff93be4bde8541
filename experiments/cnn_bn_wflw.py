"""The six-convolution network with batch normalisation on WFLW: a baseline of SepBN, trained by the same recipe.

    python -m jaxlm.train --experiment cnn_bn_wflw --workdir runs/cnn_bn_wflw
    python -m jaxlm.evaluate --workdir runs/cnn_bn_wflw --dataset wflw

Data and schedule: see sepbn_wflw. No published figure. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import sepbn_wflw


def config() -> Config:
    """sepbn_wflw with another normalisation."""
    base = sepbn_wflw.config()
    return dataclasses.replace(base, model=dataclasses.replace(base.model, options={"norm": "batch"}))
