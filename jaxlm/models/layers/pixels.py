"""Pixels as published networks want them, of images as this project feeds them to its models."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

Pixels = Literal["centred", "signed", "unit", "imagenet", "imagenet_grey"]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_GREY = (0.299, 0.587, 0.114)


def rescale(images: jax.Array, pixels: Pixels) -> jax.Array:
    """Images [B, S, S, 3] of this project's range, RGB (v - 127.5) / 128, with pixels as `pixels` says.

    A factor alone could be part of the first kernel. An offset cannot: what zero padding stands for would change with
    it, and so would the result along the border.

    Args:
      images: The images.
      pixels: `centred`: as they are. `signed`: (v / 255 - 0.5) / 0.5. `unit`: v / 255. `imagenet`: (v / 255 - mean) /
        std, of each channel. `imagenet_grey`: the same, v being the brightness 0.299 R + 0.587 G + 0.114 B in all three
        channels.
    """
    if pixels == "centred":
        return images
    if pixels == "signed":
        return images * (128 / 127.5)
    values = (images * 128 + 127.5) / 255
    if pixels == "unit":
        return values
    if pixels == "imagenet_grey":
        values = jnp.sum(values * jnp.asarray(_GREY)[None, None, None], axis=-1, keepdims=True)
    mean, std = (jnp.asarray(numbers)[None, None, None] for numbers in (_IMAGENET_MEAN, _IMAGENET_STD))
    return (values - mean) / std
