"""shufflenet_face_synthetics on all faces without augmentation, the second row of the published table.

    python -m jaxlm.train --experiment shufflenet_face_synthetics_full

As published: the faces and that nothing is augmented. Differs: as shufflenet_face_synthetics.
"""

import dataclasses

from jaxlm.config import AugmentConfig, Config
from jaxlm.experiments import shufflenet_face_synthetics


def config() -> Config:
    """shufflenet_face_synthetics without augmentation."""
    return dataclasses.replace(shufflenet_face_synthetics.config(), augment=AugmentConfig())
