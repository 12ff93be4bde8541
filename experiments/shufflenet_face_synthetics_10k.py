"""shufflenet_face_synthetics on 10,000 faces without augmentation, the first row of the published table.

    python -m jaxlm.train --experiment shufflenet_face_synthetics_10k

As published: the faces and that nothing is augmented. Differs: as shufflenet_face_synthetics.
"""

import dataclasses

from jaxlm.config import AugmentConfig, Config
from jaxlm.experiments import shufflenet_face_synthetics


def config() -> Config:
    """shufflenet_face_synthetics on a tenth of the faces, as they are."""
    base = shufflenet_face_synthetics.config()
    data = dataclasses.replace(base.data, train_split="train[:10000]")
    return dataclasses.replace(base, data=data, augment=AugmentConfig())
