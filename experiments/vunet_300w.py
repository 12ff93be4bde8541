r"""A slim translator of AVS (Qian et al., ICCV 2019) on 300-W: VUNet at 64 px, for a CPU.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment vunet_300w --workdir runs/vunet_300w

At 128 px, for a GPU: `--model.input-size 128 --model.options.width 32 --model.options.encoder-width 32
--model.options.max-width 128`. By the features of a detector: `--task.options.features runs/cnn_bn_300w`.

Data: 300-W, 3,148 training faces, of which 10 % (by photo) are held out. Published: nothing at this size. As published:
what encoders, latents and skips are; Adam and its schedule. Differs: 64 px, a quarter of the widths, a factorised
prior; dots and boundaries; a normalised loss on a pyramid of colours; a KL weight that rises linearly; mild jitter; and
the data. Ours: see experiments/README.md.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig


def config() -> Config:
    """Structures are dots and boundaries, so that the translator need not guess which dot is which."""
    return Config(
        model=ModelConfig(name="vunet", input_size=64, options={"width": 16, "encoder_width": 16, "max_width": 64}),
        task=TaskConfig(name="translation", options={"structure": "dots_and_boundaries"}),
        data=DataConfig(dataset="ibug300w", scheme="ibug68", batch_size=16, crop=1.2),
        augment=AugmentConfig(rotation=10.0, scale=0.05, shift=0.03, centre_shear=True, flip=True),
        optim=OptimConfig(name="adamw", learning_rate=1e-3, warmup_epochs=0, schedule="linear", betas=(0.5, 0.9)),
        epochs=10,
        eval_every=2,
    )
