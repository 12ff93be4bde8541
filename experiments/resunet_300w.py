"""A compact residual U-Net on 300-W: heat-maps read by soft-argmax, 128 px, 12.5 MB.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment resunet_300w --workdir runs/resunet_300w
    python -m jaxlm.evaluate --workdir runs/resunet_300w --dataset ibug300w --flip-test

Data: 300-W, 3,148 training faces, of which 10 % (by photo) are held out. As published: nothing, the network and the
recipe are ours. Ours: see experiments/README.md.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig


def config() -> Config:
    """Boxes are jittered and colours changed a great deal, since the photos to come are anybody's."""
    return Config(
        model=ModelConfig(name="resunet", input_size=128),
        task=TaskConfig(name="heatmaps", options={"loss_name": "soft_argmax", "sigma": 1.0, "decoder": "soft_argmax"}),
        data=DataConfig(dataset="ibug300w", scheme="ibug68", crop=1.2, batch_size=16),
        augment=AugmentConfig(
            rotation=40.0, scale=0.15, shift=0.08, flip=True, colour=0.4, hue=0.05, grey=0.2, blur=0.2, occlusion=0.5
        ),
        optim=OptimConfig(
            name="adamw", learning_rate=1e-3, warmup_epochs=1.0, weight_decay=1e-2, clip_norm=1.0, ema_decay=0.999
        ),
        epochs=150,
        max_megabytes=15.0,
    )
