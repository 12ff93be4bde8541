"""A few steps of everything on a few small faces: what the tests run. It learns nothing worth keeping.

python -m data_pipelines.prepare synthetic --data-dir data --train-faces 64 --test-faces 16 --frame-size 64
python -m jaxlm.train --experiment debug --workdir runs/debug

As published: nothing.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig


def config() -> Config:
    """A tiny SepBN network on 32-pixel crops."""
    return Config(
        model=ModelConfig(
            name="cnn", input_size=32, options={"norm": "sepbn", "widths": (4, 8), "head_width": 16, "ratio": 0.5}
        ),
        task=TaskConfig(name="coordinates", options={"loss_name": "l1", "units": "unit"}),
        data=DataConfig(dataset="synthetic", batch_size=8, validation_percent=20),
        augment=AugmentConfig(rotation=15.0, shear=0.1, scale=0.1, shift=0.05, flip=True, colour=0.2),
        optim=OptimConfig(name="adamw", learning_rate=3e-3, warmup_epochs=0.5, weight_decay=1e-4, clip_norm=1.0),
        epochs=3,
        temperature=3.0,
    )
