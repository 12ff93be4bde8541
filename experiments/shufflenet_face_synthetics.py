"""ShuffleNetV2 heat-maps on rendered faces, judged on real ones: the published recipe with all its augmentation.

    python -m data_pipelines.prepare face_synthetics --source FaceSynthetics --data-dir data --frame-size 512
    python -m data_pipelines.prepare aflw2000 --source AFLW2000 --data-dir data --frame-size 512
    python -m jaxlm.train --experiment shufflenet_face_synthetics --workdir runs/shufflenet_face_synthetics
    python -m jaxlm.evaluate --workdir runs/shufflenet_face_synthetics --dataset aflw2000 --split test

Data: Microsoft FaceSynthetics (Wood et al., ICCV 2021), 100,000 faces. Published: 68 points in maps of 96 x 96 cells at
384 px, 25 epochs of batches of 16, learning rate 0.01 times 0.4 at epochs 10, 15 and 20; brightness, hue and saturation
0.5 to 1.5, random erasing and grey at 0.5. INFERRED: Adam, and hue 0.5 as half a circle either way; the jitter here
changes contrast, too, and erases with noise. The maps have x along their columns; the published code swaps the axes,
which `--task.options.legacy-axes True` does. Its validation losses have no known unit: nothing to compare with.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig


def config() -> Config:
    """The recipe of the README; the released code trains for 6 epochs at other rates, on grey images."""
    return Config(
        model=ModelConfig(name="shufflenetv2_heatmap", input_size=384),
        task=TaskConfig(
            name="heatmaps",
            options={"loss_name": "mse", "target": "published", "sigma": 4.0, "decoder": "argmax"},
        ),
        data=DataConfig(dataset="face_synthetics", scheme="ibug68", batch_size=16, validation_percent=2),
        augment=AugmentConfig(colour=0.5, hue=0.5, grey=0.5, occlusion=0.5),
        optim=OptimConfig(name="adamw", learning_rate=0.01, warmup_epochs=0.0, decay=((10, 0.4), (15, 0.4), (20, 0.4))),
        epochs=25,
        max_megabytes=15.0,
    )
