"""ResNet-18 coordinate regression on WFLW: the detector that AVS (arXiv 1908.06440; ICCV 2019) strengthens.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment resnet18_wflw --workdir runs/resnet18_wflw
    python -m jaxlm.evaluate --workdir runs/resnet18_wflw --dataset wflw

It starts from nothing; or, with PyTorch installed, from torchvision's ImageNet weights:

    python -m jaxlm.convert resnet18.pth --model resnet18 --out resnet18.npz
    python -m jaxlm.train --experiment resnet18_wflw --workdir runs/resnet18_imagenet_wflw --init-from resnet18.npz

Data: WFLW, 7,500 training faces, 98 points, of which 10 % (by photo) are held out; crops of the box + 20 %. Published:
NME 6.09 % (inter-ocular) on the 2,500 test faces. As published: that it is a ResNet-18. Differs: not known, since the
paper's code has none: input, head, loss, schedule and augmentation are ours (INFERRED). Ours: see
experiments/README.md.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig


def config() -> Config:
    """Wing loss, AdamW along a cosine; faces are mirrored, turned and scaled, and their colours left alone."""
    return Config(
        model=ModelConfig(name="resnet18", input_size=128),
        task=TaskConfig(name="coordinates", options={"loss_name": "wing", "units": "unit"}),
        data=DataConfig(dataset="wflw", crop=1.2, batch_size=32),
        augment=AugmentConfig(rotation=30.0, scale=0.15, flip=True),
        optim=OptimConfig(name="adamw", learning_rate=1e-3, warmup_epochs=1.0, weight_decay=1e-2, clip_norm=1.0),
        epochs=100,
    )
