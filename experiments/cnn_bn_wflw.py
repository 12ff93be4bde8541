"""The six-convolution network with batch normalisation on WFLW: a baseline of SepBN, trained by the same recipe.

    python -m jaxlm.train --experiment cnn_bn_wflw --workdir runs/cnn_bn_wflw
    python -m jaxlm.evaluate --workdir runs/cnn_bn_wflw --dataset wflw

Data and schedule: see sepbn_wflw. No published figure. As published: the recipe of sepbn_wflw, and PyTorch's running
variance. Differs: as sepbn_wflw. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import sepbn_wflw


def config() -> Config:
    """sepbn_wflw with another normalisation."""
    base = sepbn_wflw.config()
    options = {"norm": "batch", "unbiased_running_var": True}
    return dataclasses.replace(base, model=dataclasses.replace(base.model, options=options))
