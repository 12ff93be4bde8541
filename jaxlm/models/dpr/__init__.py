"""DPR (TPAMI 2021): networks that bring a face to a normal state before they regress its points.

In: crops [B, S, S, 3], or photos and boxes (`locate_in_photos`). Out: `DPROutputs`.
coordinates.py has the frames of DPR, stages.py the networks of each stage, networks.py what joins them.
"""

from jaxlm.models.dpr.networks import GLSR, GSR, DPROutputs, locate_in_photos

__all__ = [
    "GLSR",
    "GSR",
    "DPROutputs",
    "locate_in_photos",
]
