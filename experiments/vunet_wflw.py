r"""The translator of AVS (Qian et al., ICCV 2019) on WFLW, as published: VUNet at 256 px, 47.3 M parameters.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment vunet_wflw --workdir runs/vunet_wflw

With the feature network of the paper, made by `python -m jaxlm.convert --model vgg19`:

    python -m jaxlm.train --experiment vunet_wflw --workdir runs/vunet_wflw --task.options.features vgg19.npz

Data: WFLW, 7,500 training faces, of which 10 % (by photo) are held out. As published: widths, prior, dot maps of sigma
1, batches of 4, 50,000 steps, Adam with betas 0.5 and 0.9, the learning rate's and the KL divergence's schedules.
Unlike published: faces are shuffled and mirrored, the crop is that of the face box plus a tenth on each side, terms of
the perceptual loss are normalised, and the KL divergence is a mean over the 10,240 latent dimensions. Expected: no
published figure judges the translator itself. Ours: see experiments/README.md.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig
from jaxlm.models.vunet import PUBLISHED


def config() -> Config:
    """30 epochs of 1,687 batches are 50,610 steps."""
    return Config(
        model=ModelConfig(name="vunet", input_size=256, options=dict(PUBLISHED)),
        task=TaskConfig(name="translation", options={"structure": "published", "warmup": "published"}),
        data=DataConfig(dataset="wflw", batch_size=4, crop=1.2),
        augment=AugmentConfig(flip=True),
        optim=OptimConfig(name="adamw", learning_rate=1e-3, warmup_epochs=0, schedule="linear", betas=(0.5, 0.9)),
        epochs=30,
        eval_every=3,
    )
