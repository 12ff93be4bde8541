"""Your own points in minutes: the weights that come with jaxlm, with a new last layer, on any prepared set.

    python -m data_pipelines.prepare points_table --source photos --annotations points.csv --scheme mask.toml \
        --name mask --pack mask.npz
    python -m jaxlm.train --experiment finetune --data.dataset mask.npz --workdir runs/mask

Data: your own, 20 faces or more, with any points; the number of faces decides how long it trains. Hardware: two CPU
cores, under 10 minutes for 200 faces. As published: nothing. Ours: see docs/studies/finetuning.md.
"""

import dataclasses

from jaxlm.config import AugmentConfig, Config, DataConfig
from jaxlm.experiments import resunet_300w

# More faces stream from disk: their frames of 256 px take 2 GB.
_MOST_IN_MEMORY = 10_000

# Steps in all, about: few faces are seen often enough to learn, many take no more than half an hour on two cores.
_LEAST_STEPS, _MOST_STEPS = 400, 4000
_PASSES = 40
_VALIDATIONS = 10


def config(faces: int = 200) -> Config:
    """The recipe for a set of so many faces, of which a fifth, or of many a tenth, is held out to choose the best."""
    base = resunet_300w.config()
    percent = 20 if faces <= 1000 else 10
    training = max(1, faces * (100 - percent) // 100)
    batch_size = min(8, max(1, training // 2))  # As the share that is held out is drawn, it may be larger.
    steps_per_epoch = min(training // batch_size, _MOST_STEPS // _VALIDATIONS)
    steps = min(max(_PASSES * steps_per_epoch, _LEAST_STEPS), _MOST_STEPS)
    epochs = -(-steps // steps_per_epoch)
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, input_size=160),
        data=DataConfig(
            dataset="mine",
            scheme="five",  # Stands for that of the set: no other is read as these points.
            crop=1.2,
            batch_size=batch_size,
            validation_percent=percent,
            cache="device" if faces <= _MOST_IN_MEMORY else "none",
        ),
        # Chosen on rendered faces: that of `resunet_300w` is more than few steps can learn.
        augment=AugmentConfig(
            rotation=20.0, scale=0.1, shift=0.05, flip=True, colour=0.3, hue=0.05, grey=0.1, blur=0.1, occlusion=0.2
        ),
        optim=dataclasses.replace(base.optim, learning_rate=2e-3, ema_decay=0.99, warmup_epochs=epochs / 20),
        init_from="shipped",
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        eval_every=-(-epochs // _VALIDATIONS),
    )
