"""AVS (arXiv 1908.06440; ICCV 2019) on WFLW: san_wflw with training photos drawn again in eight styles each.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment vunet_wflw --workdir runs/vunet_wflw
    python -m jaxlm.stylize --workdir runs/vunet_wflw --data-dir data --name styled_wflw --styles 8
    python -m jaxlm.train --experiment san_avs_wflw --workdir runs/san_avs_wflw
    python -m jaxlm.evaluate --workdir runs/san_avs_wflw --dataset wflw

Data: see san_wflw; faces styled from held-out photos are left out. Published: NME 4.39 % (inter-ocular) on the 2,500
test faces, 5.22 % without styles, both with SAN's style branch. The paper's code joins the photos and eight times as
many styled faces, and trains for 18 times the updates; here the updates are equal. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import san_wflw


def config() -> Config:
    """san_wflw with half of each batch styled, at the same number of updates."""
    base = san_wflw.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, styled="styled_wflw", styled_ratio=0.5))
