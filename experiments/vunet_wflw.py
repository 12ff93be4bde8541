r"""The translator of AVS (Qian et al., ICCV 2019) on WFLW, as published: VUNet at 256 px, 47.3 M parameters.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.convert vgg19.pth --model vgg19 --out vgg19.npz
    python -m jaxlm.train --experiment vunet_wflw --workdir runs/vunet_wflw

The second command makes the feature network of torchvision's VGG-19, with PyTorch. Without it: `--task.options.features
laplacian --task.options.loss normalised`.

Data: WFLW, 7,500 training faces, of which 10 % (by photo) are held out. Published: no figure judges the translator
itself. Ours: see experiments/README.md.

As published: widths, prior, layers that start from 16 faces; dot maps of sigma 1; the loss, 5 x (L1 + 0.1 x Gram L1)
over the photo and five layers of VGG-19 and the sum of the KL divergence over 10,240 dimensions, with its weight from
1e-6 to 1; a drawn posterior; dropout; batches of 4; 50,000 steps (here 50,610); Adam with betas 0.5 and 0.9; the
learning rate, constant for a fiftieth, then linear to 0.

Differs: VGG-19 is torchvision's, on ImageNet-normalised RGB, and not Keras's, on grey levels, whose features are
larger, so that photo and KL divergence weigh more here (INFERRED); photos are (v - 127.5) / 128 for the network, not /
127.5; faces are shuffled and mirrored, and a tenth held out to choose the checkpoint; the crop is that of the face box
plus a tenth on each side, where the published 384 px crops are of unknown make; 902,656 parameters that reach nothing
are left out.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig
from jaxlm.models.vunet import PUBLISHED


def config() -> Config:
    """30 epochs of 1,687 batches are 50,610 steps."""
    return Config(
        model=ModelConfig(name="vunet", input_size=256, options=dict(PUBLISHED)),
        task=TaskConfig(
            name="translation",
            options={
                "structure": "published",
                "features": "vgg19.npz",
                "loss": "published",
                "warmup": "published",
            },
        ),
        data=DataConfig(dataset="wflw", batch_size=4, crop=1.2),
        augment=AugmentConfig(flip=True),
        optim=OptimConfig(name="adamw", learning_rate=1e-3, warmup_epochs=0, schedule="linear", betas=(0.5, 0.9)),
        epochs=30,
        eval_every=3,
    )
