"""AVS (arXiv 1908.06440; ICCV 2019) on WFLW: resnet18_wflw with training photos drawn again in eight styles each.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment vunet_wflw --workdir runs/vunet_wflw
    python -m jaxlm.stylize --workdir runs/vunet_wflw --data-dir data --name styled_wflw --styles 8
    python -m jaxlm.train --experiment resnet18_avs_wflw --workdir runs/resnet18_avs_wflw
    python -m jaxlm.evaluate --workdir runs/resnet18_avs_wflw --dataset wflw

Data: see resnet18_wflw; faces styled from held-out photos are left out. Published: NME 5.25 % (inter-ocular) on the
2,500 test faces, 6.09 % without styles. vunet_wflw wants features of VGG-19; its file says how to make them. Ours: see
experiments/README.md.

As published: eight styles for each training photo, drawn by a translator of the same photos; labels stay. Differs: half
of each batch is styled and updates are equal (published for SAN: the photos and eight times as many styled faces, for
18 times the updates); styles come from photos drawn at random (published: the neighbours in the list, among them the
photo itself), by the mean of the first latent (`jaxlm stylize --first-latent drawn` is as published), and are kept at
their size (published: enlarged to 384 px, JPEG); and as resnet18_wflw and vunet_wflw.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import resnet18_wflw


def config() -> Config:
    """resnet18_wflw with half of each batch styled, at the same number of updates."""
    base = resnet18_wflw.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, styled="styled_wflw", styled_ratio=0.5))
