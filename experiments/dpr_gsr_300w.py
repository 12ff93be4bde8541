r"""GSR, the global half of DPR (TPAMI 2021), on 300-W: the recipe of dpr_gsr_wflw on 68 points.

    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment dpr_gsr_300w --workdir runs/dpr_gsr_300w_reinit \
      --model.options.stage global_reinit --optim.rates global_regress 0
    python -m jaxlm.train --experiment dpr_gsr_300w --workdir runs/dpr_gsr_300w_regress \
      --model.options.stage global_regress --optim.rates global_reinit 0 --init-from runs/dpr_gsr_300w_reinit
    python -m jaxlm.train --experiment dpr_gsr_300w --workdir runs/dpr_gsr_300w --init-from runs/dpr_gsr_300w_regress
    python -m jaxlm.evaluate --workdir runs/dpr_gsr_300w --dataset ibug300w
    python -m jaxlm.sensitivity --workdir runs/dpr_gsr_300w runs/mobilenet_300w

Data: 300-W, 3,148 training faces, of which 10 % (by photo) are held out; boxes are made from the landmarks, so box
errors come from the jitter alone. Published for these networks: nothing on 300-W. As published: see dpr_gsr_wflw.
Differs: data, 68 points of the mean face, batches of 16; and as dpr_gsr_wflw. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import dpr_gsr_wflw


def config() -> Config:
    """dpr_gsr_wflw on other data."""
    base = dpr_gsr_wflw.config()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, options=base.model.options | {"scheme": "ibug68"}),
        data=dataclasses.replace(base.data, dataset="ibug300w", scheme="ibug68", batch_size=16),
    )
