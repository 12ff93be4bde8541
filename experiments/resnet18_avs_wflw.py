"""AVS (arXiv 1908.06440; ICCV 2019) on WFLW: resnet18_wflw with training photos drawn again in eight styles each.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment vunet_wflw --workdir runs/vunet_wflw
    python -m jaxlm.stylize --workdir runs/vunet_wflw --data-dir data --name styled_wflw --styles 8
    python -m jaxlm.train --experiment resnet18_avs_wflw --workdir runs/resnet18_avs_wflw
    python -m jaxlm.evaluate --workdir runs/resnet18_avs_wflw --dataset wflw

Data: see resnet18_wflw; faces styled from held-out photos are left out. Published: NME 5.25 % (inter-ocular) on the
2,500 test faces, 6.09 % without styles. The paper's code (for another detector, SAN) joins the photos and eight times
as many styled faces, and trains for more updates than without; here the updates are equal. Ours: see
experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import resnet18_wflw


def config() -> Config:
    """resnet18_wflw with half of each batch styled, at the same number of updates."""
    base = resnet18_wflw.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, styled="styled_wflw", styled_ratio=0.5))
