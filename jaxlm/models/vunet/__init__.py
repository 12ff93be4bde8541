"""VUNet (Esser et al., CVPR 2018): a variational U-Net that draws a face in the style of another photo.

In: photos [B, S, S, 3] and structure maps [B, S, S, C]. Out: `VUNetOutputs`, photos and latents.
network.py has the model, layers.py its weight-normalised layers and priors.
"""

from jaxlm.models.vunet.network import PUBLISHED, Latents, VUNet, VUNetOutputs, transfer

__all__ = [
    "PUBLISHED",
    "Latents",
    "VUNet",
    "VUNetOutputs",
    "transfer",
]
