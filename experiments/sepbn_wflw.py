"""SepBN on WFLW (arXiv 2101.06663; BMVC 2021): the six-convolution network with three mixed sets of affine parameters.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m jaxlm.train --experiment sepbn_wflw --workdir runs/sepbn_wflw
    python -m jaxlm.evaluate --workdir runs/sepbn_wflw --dataset wflw

Data: WFLW, 7,500 training faces, 98 points; crops of the annotated, squared box; no validation set, as published.
Schedule: 2,000 epochs of 937 batches of 8 = 1,874,000 steps. Published: NME 5.48 % (inter-ocular) on the 2,500 test
faces, 5.70 % without normalisation. Ours: see experiments/README.md.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig


def config() -> Config:
    """The published recipe."""
    return Config(
        model=ModelConfig(name="cnn", input_size=128, options={"norm": "sepbn"}),
        data=DataConfig(dataset="wflw", batch_size=8, validation_percent=0),
        augment=AugmentConfig(rotation=25.0, shear=0.3, scale=0.15, flip=True),
        optim=OptimConfig(name="sgd", learning_rate=1e-3, warmup_epochs=800, weight_decay=5e-4),
        epochs=2000,
        temperature=30.0,
        eval_every=10,
    )
