r"""LAB (Wu et al., CVPR 2018, arXiv 1805.10483) on WFLW: landmarks by way of facial boundaries.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment lab_wflw --workdir runs/lab_wflw
    python -m jaxlm.evaluate --workdir runs/lab_wflw --dataset wflw

The authors then train on with the boundary effectiveness discriminator, for better maps:

    python -m jaxlm.train --experiment lab_wflw --workdir runs/lab_gan_wflw --init-from runs/lab_wflw \
      --task.options.adversarial 1 --optim.learning-rate 1e-4 --epochs 20

Data: WFLW, 7,500 training faces, 98 points, of which 10 % (by photo) are held out. Published: NME 5.27 % (inter-ocular)
on the 2,500 test faces, from crops made with their true landmarks; a user of the published weights found 6.92 % with
the annotated boxes. Ours: see experiments/README.md.

As published: four stacks with message passing, joint training of estimator and regressor, then the discriminator.
Differs: the layers are of a later build, as the authors' were not released (INFERRED: parameters and operations agree);
crops of the box + 20 %, as for every other model; 15 boundaries, with both edges of the brows, and RGB images, where
the published network draws 13 from grey ones (INFERRED); loss of the coordinates, weights of the losses, schedule and
augmentation are ours, as the authors' are not known.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig


def config() -> Config:
    """Squared error of the maps of four stacks and Wing loss, both trained jointly by AdamW along a cosine."""
    return Config(
        model=ModelConfig(name="lab", input_size=256, options={"scheme": "wflw98"}),
        task=TaskConfig(name="boundaries", options={"loss_name": "wing", "units": "unit"}),
        data=DataConfig(dataset="wflw", crop=1.2, batch_size=16),
        augment=AugmentConfig(rotation=30.0, scale=0.15, flip=True),
        optim=OptimConfig(name="adamw", learning_rate=5e-4, warmup_epochs=1.0, weight_decay=1e-2, clip_norm=1.0),
        epochs=60,
    )
