"""AVS (ICCV 2019) on synthetic faces: resnet18_synthetic with training faces drawn again in eight styles each.

    python -m jaxlm.train --experiment vunet_synthetic --workdir runs/vunet_synthetic
    python -m jaxlm.stylize --workdir runs/vunet_synthetic --data-dir data --name styled_synthetic --styles 8
    python -m jaxlm.train --experiment resnet18_avs_synthetic --workdir runs/resnet18_avs_synthetic
    python -m jaxlm.evaluate --workdir runs/resnet18_avs_synthetic --dataset synthetic

Data: see resnet18_synthetic; the first command renders the faces, and those styled from held-out ones are left out. As
published: eight styles for each training photo. Differs: as resnet18_avs_wflw, the data, and a slimmer translator.
Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import resnet18_synthetic


def config() -> Config:
    """resnet18_synthetic with half of each batch styled, at the same number of updates."""
    base = resnet18_synthetic.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, styled="styled_synthetic", styled_ratio=0.5))
