r"""G&LSR on WFLW, all of DPR (TPAMI 2021): GSR, then each facial part in a frame of its own.

    python -m jaxlm.train --experiment dpr_glsr_wflw --workdir runs/dpr_glsr_wflw_parts --init-from runs/dpr_gsr_wflw \
      --model.options.stage part_regressors --optim.rates global_reinit 0 global_regress 0
    python -m jaxlm.train --experiment dpr_glsr_wflw --workdir runs/dpr_glsr_wflw --init-from runs/dpr_glsr_wflw_parts \
      --optim.learning-rate 1e-4
    python -m jaxlm.evaluate --workdir runs/dpr_glsr_wflw --dataset wflw

GSR is trained first, see dpr_gsr_wflw; the part regressors start from the trunk of its regressor. The last training is
the joint one, that of `config()`. Part frames come from the closed form that the released network computes; that
network instead: `--model.options.local network` everywhere, and between the two a training with
`--model.options.stage local_reinit --optim.rates global_reinit 0 global_regress 0 part_regressors 0`.

Data and jitter: see dpr_gsr_wflw. Published: NME 5.08 % (inter-ocular), FR@10 6.16 %, AUC@10 0.5079 (README) or 0.5136
(result file) on the 2,500 test faces. Ours: see experiments/README.md.

As published: the networks of the parts, their frames, which are samples of the face frame, and that they start from the
global regressor; the contour stays. Differs: part frames come from the closed form; the released weights of the part
regressors are not to be had, so these networks were never run with them; and as dpr_gsr_wflw.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import dpr_gsr_wflw
from jaxlm.models.dpr.coordinates import PARTS


def config() -> Config:
    """dpr_gsr_wflw with a local stage."""
    base = dpr_gsr_wflw.config()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, name="dpr_glsr"),
        init_copies=tuple(("global_regress", f"part_regressors/{part}") for part in PARTS),
    )
