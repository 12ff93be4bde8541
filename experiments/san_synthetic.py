"""SAN's detector on jaxlm's own synthetic faces: the recipe of san_wflw; nothing to download.

    python -m jaxlm.train --experiment san_synthetic --workdir runs/san_synthetic
    python -m jaxlm.evaluate --workdir runs/san_synthetic --dataset synthetic

Data: rendered faces, made on the spot, 98 points, of which 10 % are held out. As published: see san_wflw. Differs: as
san_wflw, and the data. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import san_wflw


def config() -> Config:
    """san_wflw on other data."""
    base = san_wflw.config()
    data = dataclasses.replace(base.data, dataset="synthetic", batch_size=16)
    return dataclasses.replace(base, data=data)
