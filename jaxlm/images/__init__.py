"""Images on the device: crops, augmentation, heat-maps, structure maps. Pure functions of arrays.

In: frames uint8 [B, F, F, 3] and points [B, N, 2]. Out: crops [B, S, S, 3], points in them, maps [B, h, w, N].
All run inside jitted steps; points are (x, y) in pixels, pixel centres at integers.
"""

from jaxlm.images.augment import augment_faces
from jaxlm.images.cropping import crop_affine, move, normalise, plain_crops, plain_images, warp

__all__ = [
    "augment_faces",
    "crop_affine",
    "move",
    "normalise",
    "plain_crops",
    "plain_images",
    "warp",
]
