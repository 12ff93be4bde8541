"""AVS (arXiv 1908.06440; ICCV 2019) with LAB on WFLW: lab_wflw with training photos drawn again in eight styles each.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment vunet_wflw --workdir runs/vunet_wflw
    python -m jaxlm.stylize --workdir runs/vunet_wflw --data-dir data --name styled_wflw --styles 8
    python -m jaxlm.train --experiment lab_avs_wflw --workdir runs/lab_avs_wflw
    python -m jaxlm.evaluate --workdir runs/lab_avs_wflw --dataset wflw

Data: see lab_wflw; faces styled from held-out photos are left out. Published: NME 4.76 % (inter-ocular) on the 2,500
test faces, 5.27 % without styles; the crop of the latter comes from true landmarks, ours from the box, that of the
former is not said. vunet_wflw wants features of VGG-19; its file says how to make them. Ours: see
experiments/README.md.

As published: eight styles for each training photo. Differs: as resnet18_avs_wflw and lab_wflw; AVS released no code of
its LAB.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import lab_wflw


def config() -> Config:
    """lab_wflw with half of each batch styled, at the same number of updates."""
    base = lab_wflw.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, styled="styled_wflw", styled_ratio=0.5))
