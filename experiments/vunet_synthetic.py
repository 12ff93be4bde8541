"""The recipe of vunet_300w on synthetic faces, 98 points: a translator where no data set is at hand.

    python -m jaxlm.train --experiment vunet_synthetic --workdir runs/vunet_synthetic

Data: rendered faces, made on the spot, of which 10 % are held out. As published: see vunet_300w. Differs: as
vunet_300w, and the data. Ours: see experiments/README.md.
"""

import dataclasses

from jaxlm.config import Config
from jaxlm.experiments import vunet_300w


def config() -> Config:
    """vunet_300w on other data."""
    base = vunet_300w.config()
    return dataclasses.replace(base, data=dataclasses.replace(base.data, dataset="synthetic", scheme="wflw98"))
