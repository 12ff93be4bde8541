r"""G&LSR, all of DPR (TPAMI 2021), on 300-W: the recipe of dpr_glsr_wflw on 68 points.

    python -m jaxlm.train --experiment dpr_glsr_300w --workdir runs/dpr_glsr_300w_parts --init-from runs/dpr_gsr_300w \
      --model.options.stage part_regressors --optim.rates global_reinit 0 global_regress 0
    python -m jaxlm.train --experiment dpr_glsr_300w --workdir runs/dpr_glsr_300w --init-from runs/dpr_glsr_300w_parts \
      --optim.learning-rate 1e-4
    python -m jaxlm.evaluate --workdir runs/dpr_glsr_300w --dataset ibug300w

GSR is trained first; it and the data: see dpr_gsr_300w. As published: see dpr_glsr_wflw. Differs: as dpr_gsr_300w and
dpr_glsr_wflw. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import dpr_glsr_wflw, dpr_gsr_300w


def config() -> Config:
    """dpr_gsr_300w with the local stage of dpr_glsr_wflw."""
    base = dpr_gsr_300w.config()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, name="dpr_glsr"),
        init_copies=dpr_glsr_wflw.config().init_copies,
    )
