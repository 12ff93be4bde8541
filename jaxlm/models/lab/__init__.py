"""LAB (Wu et al., CVPR 2018): landmarks by way of the boundaries of the face.

In: crops [B, S, S, 3]. Out: `LABOutputs`, boundary maps and points.
network.py joins the stacked hourglass, messages.py and regressor.py; discriminator.py is for training alone.
"""

from jaxlm.models.lab.network import LAB, LABOutputs

__all__ = [
    "LAB",
    "LABOutputs",
]
