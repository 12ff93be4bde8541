"""Wing-loss regression on jaxlm's own synthetic faces: the recipe of wing_wflw; nothing to download.

    python -m jaxlm.train --experiment wing_synthetic --workdir runs/wing_synthetic
    python -m jaxlm.evaluate --workdir runs/wing_synthetic --dataset synthetic

Data: rendered faces, made on the spot, 98 points, of which 10 % are held out. As published: see wing_wflw. Differs: as
wing_wflw, and the data. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import wing_wflw


def config() -> Config:
    """wing_wflw on other data."""
    base = wing_wflw.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, dataset="synthetic", batch_size=16))
