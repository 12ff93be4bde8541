"""LAB (Wu et al., CVPR 2018) on 300-W without message passing: what that is worth, beside lab_300w.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment lab_plain_300w --workdir runs/lab_plain_300w
    python -m jaxlm.evaluate --workdir runs/lab_plain_300w --dataset ibug300w

Data: see lab_300w. Published: an ablation on the challenging subset, whose numbers we could not check; a release
without messages has none. As published: no message passing. Differs: as lab_300w. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import lab_300w


def config() -> Config:
    """lab_300w with a plain head on each stack."""
    base = lab_300w.config()
    options = base.model.options | {"message_passing": False}
    return dataclasses.replace(base, model=dataclasses.replace(base.model, options=options))
