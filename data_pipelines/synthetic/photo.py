"""The photograph of a synthetic scene: light, lens, sensor and file."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np

from jaxlm.data_pipelines.synthetic.painting.paint import glaze
from jaxlm.data_pipelines.synthetic.painting.surface import noise
from jaxlm.data_pipelines.synthetic.shape.look import Light
from jaxlm.data_pipelines.synthetic.shape.sampling import pick, uniform

# What a warm white balance adds to red, green and blue.
_WARM = np.array([1.0, 0.1, -1.0])
# Exposure of each pixel value, in steps of `_response`.
_EXPOSURES = np.linspace(0, 1.08, 256)[:, None] * 256 + 0.5


def take_photo(scene: np.ndarray, size: int, light: Light, blurred: bool, rng: np.random.Generator) -> np.ndarray:
    """A scene, uint8 [any, any, 3], as a photograph [size, size, 3]."""
    # What is not sharp is photographed at half the size and enlarged.
    inner = max(1, size // 2) if blurred else size
    image = scene if len(scene) == inner else cv2.resize(scene, (inner, inner), interpolation=cv2.INTER_AREA)
    if light.shadow:
        image = _cast_shadow(image, light.shadow, rng)
    image = cv2.LUT(image, tone_curve(light))
    if blurred:
        image = cv2.resize(_blur(image, rng), (size, size), interpolation=cv2.INTER_LINEAR)
    amount = uniform(rng, 0.05, 0.25) if blurred or light.gain < 0.6 else uniform(rng, 0.0, 0.10)
    image = _add_noise(image, amount, rng)
    if rng.random() < (0.5 if blurred else 0.1):
        quality = rng.integers(18, 45) if blurred else rng.integers(60, 95)
        coded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, int(quality)))[1]
        # Both calls take the first channel for blue, and it is red: the two mistakes cancel out.
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR_BGR)
        assert decoded is not None
        image = decoded
    return image


@functools.cache
def _response(gamma: int) -> np.ndarray:
    """Pixel values [1025] of exposures from 0 to 4, at a gamma in hundredths, with a soft shoulder at white."""
    value = np.linspace(0, 4, 1025)
    return np.minimum((value / (1 + value**6) ** (1 / 6)) ** (gamma / 100) * 262, 255)


def tone_curve(light: Light) -> np.ndarray:
    """The camera's response, uint8 [1, 256, 3]: exposure and white balance, gamma, and a soft shoulder at white."""
    balance = light.gain * light.colour * (1 + 0.12 * light.warmth * _WARM)
    exposure = np.minimum(_EXPOSURES * balance, 1024).astype(np.int32)
    return _response(round(100 * light.gamma))[exposure].astype(np.uint8)[None]


def _cast_shadow(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Darkens part of the picture, as a wall, a branch or a blind between it and the sun does."""
    mask = np.full((112, 112), 255, np.uint8)
    angle = uniform(rng, 0, np.pi)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    centre = 0.5 + rng.normal(0, 0.06, 2)
    bands = ((-2, 0),) if rng.random() < 0.6 else tuple((step, step + 0.09) for step in np.arange(-0.6, 0.6, 0.18))
    for low, high in bands:
        corners = np.array([centre + a * along + b * across for a, b in ((-2, low), (2, low), (2, high), (-2, high))])
        glaze(mask, [corners], (0,), strength, 0.006)
    shade = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(image, cv2.cvtColor(shade, cv2.COLOR_GRAY2RGB), scale=1 / 255)


def _blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, moved, or a tiny picture; of half the photograph's size or smaller."""
    size = len(image)
    kind = pick(rng, (0.45, 0.25, 0.30))
    if kind == 0:
        return cv2.GaussianBlur(image, (0, 0), size * uniform(rng, 0.006, 0.014))
    if kind == 1:
        length = max(3, int(size * uniform(rng, 0.02, 0.05)) | 1)
        angle = uniform(rng, 0, math.pi)
        kernel = np.zeros((length, length), np.float32)
        reach = (length - 1) / 2 * np.array([math.cos(angle), math.sin(angle)])
        ends = np.rint((np.array([-reach, reach]) + (length - 1) / 2) * 16).astype(np.int32)
        cv2.polylines(kernel, [ends], False, 1.0, 1, cv2.LINE_8, 4)
        return cv2.filter2D(image, -1, kernel / kernel.sum())
    small = int(size * uniform(rng, 0.4, 0.8))
    return cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)


@functools.cache
def _sensor_noise(size: int) -> np.ndarray:
    """Noise around 128, uint8 [n, n, 3], a third larger than pictures of `size`."""
    grain = noise("grain")
    channels = cv2.merge([grain, np.roll(grain, 170, 0), np.roll(grain, 170, 1)])
    side = size * 4 // 3
    repeats = -(-side // len(grain))
    return np.ascontiguousarray(np.tile(channels, (repeats, repeats, 1))[:side, :side])


def _add_noise(image: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    size = len(image)
    x, y = (int(place) for place in rng.random(2) * (size // 3))
    return cv2.addWeighted(image, 1, _sensor_noise(size)[y : y + size, x : x + size], amount, -128 * amount)
