r"""DPR (TPAMI 2021) on synthetic faces: the recipe of dpr_gsr_wflw and dpr_glsr_wflw where no data set is at hand.

    python -m jaxlm.train --experiment dpr_synthetic --workdir runs/dpr_synthetic_reinit \
      --model.options.stage global_reinit --optim.rates global_regress 0
    python -m jaxlm.train --experiment dpr_synthetic --workdir runs/dpr_synthetic_regress \
      --model.options.stage global_regress --optim.rates global_reinit 0 --init-from runs/dpr_synthetic_reinit
    python -m jaxlm.train --experiment dpr_synthetic --workdir runs/dpr_synthetic --init-from runs/dpr_synthetic_regress
    python -m jaxlm.evaluate --workdir runs/dpr_synthetic --dataset synthetic

G&LSR goes on from there:

    python -m jaxlm.train --experiment dpr_synthetic --model.name dpr_glsr --workdir runs/dpr_synthetic_parts \
      --init-from runs/dpr_synthetic \
      --model.options.stage part_regressors --optim.rates global_reinit 0 global_regress 0
    python -m jaxlm.train --experiment dpr_synthetic --model.name dpr_glsr --workdir runs/dpr_synthetic_glsr \
      --init-from runs/dpr_synthetic_parts --optim.learning-rate 1e-4

Data: rendered faces, made on the spot, 98 points. As published: see dpr_gsr_wflw and dpr_glsr_wflw. Differs: data,
batches of 16; and as there. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import dpr_glsr_wflw, dpr_gsr_wflw


def config() -> Config:
    """dpr_gsr_wflw on other data, ready for G&LSR."""
    base = dpr_gsr_wflw.config()
    data = dataclasses.replace(base.data, dataset="synthetic", batch_size=16)
    return dataclasses.replace(base, data=data, init_copies=dpr_glsr_wflw.config().init_copies)
