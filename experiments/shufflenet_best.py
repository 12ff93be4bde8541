"""ShuffleNetV2 heat-maps on rendered faces, judged on real ones: our recipe for the same network and budget of bytes.

    python -m data_pipelines.prepare face_synthetics --source FaceSynthetics --data-dir data --frame-size 512
    python -m jaxlm.train --experiment shufflenet_best --workdir runs/shufflenet_best
    python -m jaxlm.evaluate --workdir runs/shufflenet_best --dataset aflw2000 --split test --flip-test

Data: Microsoft FaceSynthetics, 100,000 faces. As published: the network, in under 15 MB. Differs: logits without a last
ReLU; unbiased Gaussians, Adaptive Wing loss and DARK in place of stretched ones, MSE and an argmax; 256 px; rotation,
scale, shift and flip, milder colours; AdamW along a cosine, an average of the weights. Ours: see experiments/README.md.
"""

from jaxlm.config import AugmentConfig, Config, DataConfig, ModelConfig, OptimConfig, TaskConfig


def config() -> Config:
    """Its loss was chosen on the validation faces of 300-W at a small budget; see experiments/README.md."""
    return Config(
        model=ModelConfig(name="shufflenetv2_heatmap", input_size=256, options={"relu_output": False}),
        task=TaskConfig(name="heatmaps", options={"loss_name": "adaptive_wing", "sigma": 1.5, "decoder": "dark"}),
        data=DataConfig(dataset="face_synthetics", scheme="ibug68", batch_size=32, validation_percent=2, crop=1.1),
        augment=AugmentConfig(
            rotation=30.0, scale=0.1, shift=0.05, flip=True, colour=0.4, hue=0.05, grey=0.2, blur=0.2, occlusion=0.5
        ),
        optim=OptimConfig(
            name="adamw", learning_rate=1e-3, warmup_epochs=1.0, weight_decay=1e-2, clip_norm=1.0, ema_decay=0.999
        ),
        epochs=25,
        max_megabytes=15.0,
    )
