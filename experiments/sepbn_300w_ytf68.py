"""sepbn_300w with machine-labelled faces mixed into its one head: what cnt_sepbn_300w_ytf68 is compared with.

    python -m jaxlm.train --experiment sepbn_300w_ytf68 --workdir runs/sepbn_300w_ytf68
    python -m jaxlm.evaluate --workdir runs/sepbn_300w_ytf68 --dataset ibug300w

Data, how to prepare it, and schedule: see cnt_sepbn_300w_ytf68. As published: nothing but the recipe of sepbn_wflw.
Differs: see sepbn_300w; the data are mixed. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import cnt_sepbn_300w_ytf68


def config() -> Config:
    """cnt_sepbn_300w_ytf68 with one head for both sets."""
    base = cnt_sepbn_300w_ytf68.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, scheme="ibug68"))
