"""Layers that several networks share, in forms that XLA's CPU backend runs fast.

In and out: feature maps [B, h, w, C].
convolutions.py has the modules, operators.py the functions behind them, batch_norm.py and sepbn.py normalisations,
pixels.py what published networks want pixels to be.
"""

from jaxlm.models.layers.batch_norm import BatchNorm
from jaxlm.models.layers.convolutions import Conv1x1, Conv3x3, ConvTranspose4x4, DepthwiseConv3x3, MaxPool3x3
from jaxlm.models.layers.pixels import Pixels, rescale
from jaxlm.models.layers.sepbn import SeparableBatchNorm

__all__ = [
    "BatchNorm",
    "Conv1x1",
    "Conv3x3",
    "ConvTranspose4x4",
    "DepthwiseConv3x3",
    "MaxPool3x3",
    "Pixels",
    "SeparableBatchNorm",
    "rescale",
]
