"""FAN (Bulat and Tzimiropoulos, ICCV 2017), heat-maps from a stacked hourglass, on WFLW.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment fan_wflw --workdir runs/fan_wflw
    python -m jaxlm.evaluate --workdir runs/fan_wflw --dataset wflw --flip-test

Data: WFLW, 7,500 training faces, 98 points, of which 10 % (by photo) are held out; crops of the box + 20 %. Published:
nothing on WFLW by its authors. As published: four stacked hourglasses of 256 channels, at 256 px, each with its maps.
Differs: the units are LAB's and not FAN's own blocks; loss (MSE), optimiser (RMSprop) and training set (300W-LP) are
others: this is the hourglass baseline of LAB's units with the heat-map recipe of shufflenet_best. Ours: see
experiments/README.md.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig


def config() -> Config:
    """Adaptive Wing loss on all four stacks, AdamW along a cosine; faces are mirrored, turned and scaled."""
    return Config(
        model=ModelConfig(name="fan", input_size=256),
        task=TaskConfig(name="heatmaps", options={"loss_name": "adaptive_wing", "sigma": 1.5, "decoder": "dark"}),
        data=DataConfig(dataset="wflw", crop=1.2, batch_size=16),
        augment=AugmentConfig(rotation=30.0, scale=0.15, flip=True),
        optim=OptimConfig(name="adamw", learning_rate=5e-4, warmup_epochs=1.0, weight_decay=1e-2, clip_norm=1.0),
        epochs=60,
    )
