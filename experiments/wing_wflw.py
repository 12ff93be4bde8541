"""Wing-loss regression (Feng et al., CVPR 2018, arXiv 1711.06753) on WFLW, by a plain convolutional network.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment wing_wflw --workdir runs/wing_wflw
    python -m jaxlm.evaluate --workdir runs/wing_wflw --dataset wflw

Data: see resnet18_wflw. Published: nothing on WFLW by this network. Ours: see experiments/README.md.

As published: the loss, with width 10 and epsilon 2, in pixels of the crop; 128 px, six 3 x 3 convolutions with
maximum-pooling and no normalisation, as the paper's CNN-7. Differs: the widths are those of the SepBN paper, schedule
and augmentation those of resnet18_wflw (INFERRED); the paper's pose-based data balancing and its second stage are left
out.
"""

import dataclasses

from jaxlm.config import Config, ModelConfig
from jaxlm.experiments import resnet18_wflw


def config() -> Config:
    """resnet18_wflw with another network, at half the learning rate, as nothing normalises it."""
    base = resnet18_wflw.config()
    model = ModelConfig(name="cnn", input_size=128, options={"norm": "none"})
    return dataclasses.replace(base, model=model, optim=dataclasses.replace(base.optim, learning_rate=5e-4))
