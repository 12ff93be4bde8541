"""ResNet-18 coordinate regression on 300-W: the recipe of resnet18_wflw on 68 points.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment resnet18_300w --workdir runs/resnet18_300w
    python -m jaxlm.evaluate --workdir runs/resnet18_300w --dataset ibug300w

Data: 300-W, 3,148 training faces, of which 10 % (by photo) are held out. Published for this network: nothing on 300-W
that we could check. As published: that it is a ResNet-18. Differs: as resnet18_wflw, and the data. Ours: see
experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import resnet18_wflw


def config() -> Config:
    """resnet18_wflw on other data, for more epochs of fewer faces."""
    base = resnet18_wflw.config()
    data = dataclasses.replace(base.data, dataset="ibug300w", scheme="ibug68", batch_size=16)
    return dataclasses.replace(base, data=data, epochs=150)
