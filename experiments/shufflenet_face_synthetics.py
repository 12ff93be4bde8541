"""ShuffleNetV2 heat-maps on rendered faces, judged on real ones: the published recipe with all its augmentation.

    python -m data_pipelines.prepare face_synthetics --source FaceSynthetics --data-dir data --frame-size 512
    python -m data_pipelines.prepare aflw2000 --source AFLW2000 --data-dir data --frame-size 512
    python -m jaxlm.train --experiment shufflenet_face_synthetics --workdir runs/shufflenet_face_synthetics
    python -m jaxlm.evaluate --workdir runs/shufflenet_face_synthetics --dataset aflw2000 --split test

Data: Microsoft FaceSynthetics (Wood et al., ICCV 2021), 100,000 faces. Published: validation losses of unknown unit, so
nothing to compare with. The released code is another recipe than its README, which this is: 6 epochs at other rates, on
grey images.

As published: the network; 68 maps of 96 x 96 cells at 384 px, Gaussians of sigma 4 stretched to 0..100; MSE; the
highest cell; 25 epochs of batches of 16; a learning rate of 0.01 times 0.4 at epochs 10, 15 and 20; brightness, hue and
saturation 0.5 to 1.5, random erasing and grey at 0.5.

Differs: maps have x along their columns, where the released code swaps the axes (`--task.options.legacy-axes True`);
crops of the landmarks' box, not whole images; pixels (v - 127.5) / 128, not by ImageNet's mean and deviation (of grey
faces that is `--model.options.pixels imagenet_grey`); contrast changes, too, and what is erased is a box of noise; 2 %
of the faces are held out, where AFLW2000-3D validated; faces are shuffled; stage 4, which is never called, is not
there; the last layer starts small; running variances are the biased ones (a ten-thousandth lower). INFERRED: Adam for
the README's recipe, and hue 0.5 as half a circle either way.
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
