"""The recipe of shufflenet_best on jaxlm's own synthetic faces, with their 98 points; nothing to download.

    python -m jaxlm.train --experiment shufflenet_synthetic --workdir runs/shufflenet_synthetic

As published: the network. Differs: as shufflenet_best, and the data. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import shufflenet_best


def config() -> Config:
    """shufflenet_best on other data."""
    base = shufflenet_best.config()
    data = dataclasses.replace(base.data, dataset="synthetic", scheme="wflw98", validation_percent=10, batch_size=16)
    return dataclasses.replace(base, data=data)
