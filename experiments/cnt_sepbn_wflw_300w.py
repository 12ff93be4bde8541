"""Cross-protocol training (CNT, arXiv 2101.06663): sepbn_wflw with the 68 points of 300-W in a head of their own.

    python -m data_pipelines.prepare wflw --source WFLW --data-dir data
    python -m data_pipelines.prepare ibug300w --source 300W --data-dir data
    python -m jaxlm.train --experiment cnt_sepbn_wflw_300w --workdir runs/cnt_sepbn_wflw_300w
    python -m jaxlm.evaluate --workdir runs/cnt_sepbn_wflw_300w --dataset wflw
    python -m jaxlm.evaluate --workdir runs/cnt_sepbn_wflw_300w --head ibug300w

Data: see sepbn_wflw and sepbn_300w; 7,500 and 3,148 training faces, none held out, so the last step is evaluated. Boxes
are WFLW's annotated ones and the landmarks' in 300-W. An epoch is one pass over both sets; `--steps-per-epoch 937` has
as many updates as sepbn_wflw. Ours: see experiments/README.md.

As published: the name and the aim of CNT alone, and the recipe of sepbn_wflw. Differs: not known, since no code of CNT
was released; jaxlm/landmarks/heads.py says what is INFERRED.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import sepbn_wflw


def config() -> Config:
    """sepbn_wflw with another data set beside it."""
    base = sepbn_wflw.config()
    return dataclasses.replace(
        base, data=dataclasses.replace(base.data, dataset="wflw+ibug300w", scheme="wflw98+ibug68")
    )
