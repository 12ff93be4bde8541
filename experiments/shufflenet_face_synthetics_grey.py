"""shufflenet_face_synthetics with all faces turned grey and nothing else, the third row of the published table.

    python -m jaxlm.train --experiment shufflenet_face_synthetics_grey

As published: the faces and that they are grey. Differs: as shufflenet_face_synthetics.
"""

import dataclasses

from jaxlm.config import AugmentConfig, Config
from jaxlm.experiments import shufflenet_face_synthetics


def config() -> Config:
    """shufflenet_face_synthetics on grey faces."""
    return dataclasses.replace(shufflenet_face_synthetics.config(), augment=AugmentConfig(grey=1.0))
