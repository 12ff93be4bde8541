"""DPR (TPAMI 2021): networks that bring a face to a normal state before they regress its points.

In: crops [B, S, S, 3], or photos and boxes (`find_in_photo`). Out: `DPROutputs`, or points.
coordinates.py has the frames of DPR, stages.py the networks of each stage, networks.py what joins them, in_photos.py
their points in photos of any size.
"""

from jaxlm.models.dpr.in_photos import Networks, find_in_photo, networks_of
from jaxlm.models.dpr.networks import GLSR, GSR, DPROutputs, locate_in_photos

__all__ = [
    "GLSR",
    "GSR",
    "DPROutputs",
    "Networks",
    "find_in_photo",
    "locate_in_photos",
    "networks_of",
]
