"""AVS (arXiv 1908.06440; ICCV 2019) on 300-W: san_300w with training photos drawn again in eight styles each.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment vunet_300w --workdir runs/vunet_300w
    python -m jaxlm.stylize --workdir runs/vunet_300w --data-dir data --name styled_300w --styles 8
    python -m jaxlm.train --experiment san_avs_300w --workdir runs/san_avs_300w
    python -m jaxlm.evaluate --workdir runs/san_avs_300w --dataset ibug300w

Data: see san_300w; faces styled from held-out photos are left out. Published, by a secondary source and with SAN's
style branch: NME 3.86 % (inter-ocular) on the full test set. As published: eight styles for each training photo.
Differs: as resnet18_avs_wflw and san_300w, and a slimmer translator, vunet_300w. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import san_300w


def config() -> Config:
    """san_300w with half of each batch styled, at the same number of updates."""
    base = san_300w.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, styled="styled_300w", styled_ratio=0.5))
