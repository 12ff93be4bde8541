r"""SAN's detector on WFLW, without its style branch: a convolutional pose machine on VGG-16, in an unbiased form.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment san_wflw --workdir runs/san_wflw
    python -m jaxlm.evaluate --workdir runs/san_wflw --dataset wflw

It starts from nothing; or, with PyTorch installed, from torchvision's ImageNet weights, as published:

    python -m jaxlm.convert vgg16.pth --model vgg16 --out vgg16.npz
    python -m jaxlm.train --experiment san_wflw --workdir runs/san_imagenet_wflw --init-from vgg16.npz

Slim, for a CPU (1.3 M parameters in place of 17.1 M, 1.4 GMAC in place of 18.8): `--model.options.width 16`.

Data: WFLW, 7,500 training faces, 98 points, of which 10 % (by photo) are held out. Published: NME 5.22 % (inter-ocular)
on the 2,500 test faces, with the style branch and ImageNet weights. Ours: see experiments/README.md.

As published: the network but for its stride, and its input size. Differs: no style branch; stride 4; no map of the
background; a sub-pixel target, the mean of a loss on the mean cell (DSNT), its decoder; pixels as VGG's ImageNet
weights want them; crops of the square box + 20 %; AdamW; faces are mirrored, turned and scaled. The published recipe is
san_published_wflw.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig


def config() -> Config:
    """The augmentation and the schedule of resnet18_wflw; a lower rate, since no layer normalises."""
    return Config(
        model=ModelConfig(name="san", input_size=128),
        task=TaskConfig(name="heatmaps", options={"loss_name": "soft_argmax", "decoder": "soft_argmax", "sigma": 1.0}),
        data=DataConfig(dataset="wflw", crop=1.2, batch_size=32),
        augment=AugmentConfig(rotation=30.0, scale=0.15, flip=True),
        optim=OptimConfig(name="adamw", learning_rate=3e-4, warmup_epochs=1.0, weight_decay=1e-2, clip_norm=1.0),
        epochs=100,
    )
