"""The regressor of DPR (TPAMI 2021) without reinitialisation, on 300-W: a plain one, to hold dpr_gsr_300w against.

    python -m jaxlm.train --experiment mobilenet_300w --workdir runs/mobilenet_300w
    python -m jaxlm.sensitivity --workdir runs/dpr_gsr_300w runs/mobilenet_300w

Equal budget: the epochs of the three trainings of dpr_gsr_300w together, the same jitter of boxes and faces. The crop
is a quarter wider than the box, so that a shifted one still shows the face. As published: the regressor's network
alone. Differs: all else is a control of ours. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config, ModelConfig, TaskConfig
from jaxlm.experiments import dpr_gsr_300w


def config() -> Config:
    """dpr_gsr_300w with one network that regresses points; 0.096 of its crops' side is 12 % of the box."""
    base = dpr_gsr_300w.config()
    return dataclasses.replace(
        base,
        model=ModelConfig(name="mobilenetv2_small", input_size=256),
        task=TaskConfig(name="coordinates", options={"loss_name": "wing", "units": "unit"}),
        data=dataclasses.replace(base.data, crop=1.25),
        augment=dataclasses.replace(base.augment, shift=0.096),
        optim=dataclasses.replace(base.optim, rates=()),
        epochs=3 * base.epochs,
    )
