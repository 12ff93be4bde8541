"""AVS (arXiv 1908.06440; ICCV 2019) with LAB on 300-W: lab_300w with training photos drawn again in eight styles each.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment vunet_300w --workdir runs/vunet_300w
    python -m jaxlm.stylize --workdir runs/vunet_300w --data-dir data --name styled_300w --styles 8
    python -m jaxlm.train --experiment lab_avs_300w --workdir runs/lab_avs_300w
    python -m jaxlm.evaluate --workdir runs/lab_avs_300w --dataset ibug300w

Data: see lab_300w; faces styled from held-out photos are left out, and the crop comes from the box. Published for this
network with styles: nothing on 300-W that we could check. As published: eight styles for each training photo. Differs:
as resnet18_avs_wflw and lab_300w, and a slimmer translator, vunet_300w. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import lab_300w


def config() -> Config:
    """lab_300w with half of each batch styled, at the same number of updates."""
    base = lab_300w.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, styled="styled_300w", styled_ratio=0.5))
