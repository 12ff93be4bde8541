"""Photometric augmentation on the device: blur, colour, light, occlusion of crops float32 [B, S, S, 3] in 0..255."""

import functools
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.config import AugmentConfig

# From RGB to luma and two channels of colour (NTSC, 1953).
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


_WIDEST = 0.05  # Deviation of the blur of a face out of focus, in sides of the crop.
_LEAST_LIGHT = 0.08  # Of that of the photo.
_SENSOR = 4.0  # Deviation of a sensor's noise in little light, in levels of 255.


def change(key: jax.Array, crops: jax.Array, config: AugmentConfig) -> jax.Array:
    """Crops [B, S, S, 3] in 0..255 that went through each step that `config` asks for, in the order below."""
    blur_key, colour_key, grey_key, occlusion_key, hue_key = jax.random.split(key, 5)
    if config.blur:
        crops = _choose(blur_key, config.blur, blur, crops)
    if config.defocus:
        crops = _choose(jax.random.fold_in(key, 5), config.defocus, defocus, crops)
    if config.colour:
        crops = jitter_colour(colour_key, crops, config.colour)
    if config.hue:
        crops = jitter_hue(hue_key, crops, config.hue)
    if config.grey:
        crops = _choose(grey_key, config.grey, lambda _, crops: jnp.broadcast_to(luma(crops), crops.shape), crops)
    if config.dark:
        crops = _choose(jax.random.fold_in(key, 6), config.dark, darken, crops)
    if config.occlusion:
        crops = _choose(occlusion_key, config.occlusion, occlude, crops)
    return crops


def _choose(key: jax.Array, probability: float, change: Callable[..., jax.Array], crops: jax.Array) -> jax.Array:
    """`change(key, crops)` for a share `probability` of the faces, the others as they are."""
    coin_key, change_key = jax.random.split(key)
    chosen = jax.random.bernoulli(coin_key, probability, (crops.shape[0], 1, 1, 1))
    return jnp.where(chosen, change(change_key, crops), crops)


def luma(crops: jax.Array) -> jax.Array:
    """Brightness [B, S, S, 1] of RGB crops [B, S, S, 3] (ITU-R BT.601)."""
    return 0.299 * crops[..., 0:1] + 0.587 * crops[..., 1:2] + 0.114 * crops[..., 2:3]


def jitter_colour(key: jax.Array, crops: jax.Array, strength: float) -> jax.Array:
    """Brightness, then contrast about the mean luma, then saturation, by factors [B] uniform in 1 +- strength."""
    factors = jax.random.uniform(key, (crops.shape[0], 3, 1, 1, 1), minval=1 - strength, maxval=1 + strength)
    brightness, contrast, saturation = jnp.moveaxis(factors, 1, 0)
    grey = luma(crops)
    mean = grey.mean(axis=(1, 2, 3), keepdims=True)
    coloured = saturation * crops + (1 - saturation) * grey
    return jnp.clip(brightness * (contrast * coloured + (1 - contrast) * mean), 0, 255)


def jitter_hue(key: jax.Array, crops: jax.Array, amount: float) -> jax.Array:
    """Turns the hues of each face by an angle uniform in +- `amount` circles; brightness and colourfulness stay.

    Hue is the angle in the plane of the I and Q channels of YIQ.
    """
    angle = 2 * jnp.pi * jax.random.uniform(key, (crops.shape[0],), minval=-amount, maxval=amount)
    cosine, sine, zero, one = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle), jnp.ones_like(angle)
    turn = jnp.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], axis=-1).reshape(-1, 3, 3)
    matrix = jnp.asarray(np.linalg.inv(_YIQ), jnp.float32) @ turn @ jnp.asarray(_YIQ, jnp.float32)
    return jnp.clip(jnp.einsum("bhwc,bdc->bhwd", crops, matrix, precision="highest"), 0, 255)


def blur(key: jax.Array, crops: jax.Array) -> jax.Array:
    """Gaussian blur with 5 x 5 taps, sigma [B] uniform in (0, 1] pixels; the border is mirrored."""
    sigma = 1 - jax.random.uniform(key, (crops.shape[0], 1))
    taps = jnp.exp(-0.5 * (jnp.arange(-2.0, 3.0)[None] / sigma) ** 2)
    taps = taps / taps.sum(axis=1, keepdims=True)
    size = crops.shape[1]
    for axis in (1, 2):
        padding = [(2, 2) if axis == i else (0, 0) for i in range(4)]
        padded = jnp.pad(crops, padding, mode="reflect")
        shifted = [jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(5)]
        crops = functools.reduce(operator.add, (taps[:, i, None, None, None] * shifted[i] for i in range(5)))
    return crops


def defocus(key: jax.Array, crops: jax.Array) -> jax.Array:
    """Gaussian blur of any width, as of a face out of focus, far away or in motion.

    Its deviation [B] is uniform up to a twentieth of the crop's side. Near the border the taps inside the crop count.
    """
    count, size = crops.shape[:2]
    sigma = _WIDEST * size * (1 - jax.random.uniform(key, (count, 1, 1)))
    pixel = jnp.arange(size, dtype=jnp.float32)
    away = pixel[None, :, None] - pixel[None, None]
    taps = jax.nn.softmax(-0.5 * (away / sigma) ** 2, axis=-1)
    return jnp.einsum("bij,bkl,bjlc->bikc", taps, taps, crops, precision="highest")


def darken(key: jax.Array, crops: jax.Array) -> jax.Array:
    """Little light: brightness times a factor [B] from 0.08 to 1, each doubling as likely, and a sensor's noise."""
    light_key, noise_key = jax.random.split(key)
    light = _LEAST_LIGHT ** jax.random.uniform(light_key, (crops.shape[0], 1, 1, 1))
    return jnp.clip(light * crops + _SENSOR * jax.random.normal(noise_key, crops.shape), 0, 255)


def occlude(key: jax.Array, crops: jax.Array) -> jax.Array:
    """Covers each crop with one box of uniform noise; its sides are uniform up to half the crop's, so is its place."""
    count, size = crops.shape[:2]
    box_key, noise_key = jax.random.split(key)
    drawn = jax.random.uniform(box_key, (count, 2, 2))
    extent = 0.5 * size * drawn[:, 0]
    start = (size - extent) * drawn[:, 1]
    pixel = jnp.arange(size, dtype=jnp.float32)[None, :, None]
    inside = (pixel >= start[:, None]) & (pixel < (start + extent)[:, None])
    box = inside[:, :, None, 1] & inside[:, None, :, 0]
    # A random word a pixel holds its three bytes: a tenth of the time of three uniform floats.
    words = jax.random.bits(noise_key, (count, size, size), jnp.uint32)
    noise = jax.lax.bitcast_convert_type(words, jnp.uint8)[..., :3].astype(crops.dtype)
    return jnp.where(box[..., None], noise, crops)
