"""ResNet-18 coordinate regression on jaxlm's own synthetic faces: the recipe of resnet18_wflw; nothing to download.

    python -m jaxlm.train --experiment resnet18_synthetic --workdir runs/resnet18_synthetic
    python -m jaxlm.evaluate --workdir runs/resnet18_synthetic --dataset synthetic

Data: rendered faces, made on the spot, 98 points, of which 10 % are held out. As published: that it is a ResNet-18.
Differs: as resnet18_wflw, and the data. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import resnet18_wflw


def config() -> Config:
    """resnet18_wflw on other data."""
    base = resnet18_wflw.config()
    data = dataclasses.replace(base.data, dataset="synthetic", batch_size=16)
    return dataclasses.replace(base, data=data)
