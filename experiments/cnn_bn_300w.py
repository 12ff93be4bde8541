"""The six-convolution network with batch normalisation on 300-W: a baseline of SepBN, trained by the same recipe.

    python -m jaxlm.train --experiment cnn_bn_300w --workdir runs/cnn_bn_300w
    python -m jaxlm.evaluate --workdir runs/cnn_bn_300w --dataset ibug300w

Data and schedule: see sepbn_300w. As published: the recipe of sepbn_wflw, and PyTorch's running variance. Differs: as
sepbn_300w. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import sepbn_300w


def config() -> Config:
    """sepbn_300w with another normalisation."""
    base = sepbn_300w.config()
    options = {"norm": "batch", "unbiased_running_var": True}
    return dataclasses.replace(base, model=dataclasses.replace(base.model, options=options))
