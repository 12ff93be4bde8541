"""Models: the networks. A detector is one file here, and a row in the table of registry.py.

In: normalised crops [B, S, S, 3] (a translator also takes structure maps). Out: raw outputs, which a task reads.
`build` makes a Linen module by its name; `load_weights` and `save_weights` keep variables in a file.
"""

from jaxlm.models.registry import DETECTORS, MODELS, TRANSLATORS, build, complete, takes_temperature
from jaxlm.models.weights import load_weights, read_metadata, save_weights

__all__ = [
    "DETECTORS",
    "MODELS",
    "TRANSLATORS",
    "build",
    "complete",
    "load_weights",
    "read_metadata",
    "save_weights",
    "takes_temperature",
]
