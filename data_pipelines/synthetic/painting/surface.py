"""Textures, and curved surfaces drawn as small smooth pictures."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np

# Shaded surfaces are smooth: they are drawn at this size, then enlarged.
SMALL = 96


@functools.cache
def noise(name: str) -> np.ndarray:
    """A texture, uint8 [512, 512] around 128: one of the names below; `strands` are drawn out in y."""
    rng = np.random.default_rng(98)
    octaves = {
        "clouds": [(4, 4, 1.0), (8, 8, 0.7), (20, 20, 0.45), (48, 48, 0.25), (128, 128, 0.15)],
        "folds": [(16, 16, 1.0), (32, 32, 0.7), (80, 80, 0.45), (192, 192, 0.25)],
        "grain": [(256, 256, 0.6), (512, 512, 1.0), (100, 100, 0.5)],
        "skin": [(16, 16, 0.5), (40, 40, 0.6), (120, 120, 0.6), (256, 256, 0.9), (512, 512, 1.0)],
        "strands": [(5, 40, 0.8), (8, 128, 1.0), (12, 300, 1.0), (24, 512, 0.5)],
        "curls": [(40, 40, 1.0), (80, 80, 1.0), (160, 160, 0.6)],
    }[name]
    total = np.zeros((512, 512), np.float32)
    for rows, columns, weight in octaves:
        grid = rng.normal(size=(rows, columns)).astype(np.float32)
        total += weight * cv2.resize(grid, (512, 512), interpolation=cv2.INTER_CUBIC)
    total = (total - total.mean()) / total.std()
    return np.clip(128 + 42 * total, 0, 255).astype(np.uint8)


def noise_crop(rng: np.random.Generator, name: str, size: int, span: float) -> np.ndarray:
    """A random part of a `noise` texture, uint8 [size, size]; `span` is the part's side in textures."""
    texture = noise(name)
    side = max(8, int(len(texture) * span))
    x, y, flip = (int(part) for part in rng.random(3) * (len(texture) - side + 1, len(texture) - side + 1, 4))
    part = texture[y : y + side, x : x + side]
    # A turned copy is much faster to work on than a view that runs backwards.
    part = cv2.flip(part, (0, 1, -1)[flip - 1]) if flip else part
    return part if side == size else cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)


def skin_tone(skin: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The colour [3] of a small skin picture at a place [2] in the frame."""
    x, y = (min(max(int(v * SMALL), 0), SMALL - 1) for v in place.tolist())
    return skin[y, x].astype(np.float32)


def normals(surface: np.ndarray, scale: float) -> np.ndarray:
    """Unit normals [3, rows, columns] of closed rings around a head as `Camera.project` gives them; z is outwards."""
    down, right = np.empty_like(surface), np.empty_like(surface)
    np.subtract(surface[:, 2:], surface[:, :-2], out=down[:, 1:-1])
    np.subtract(surface[:, :, 2:], surface[:, :, :-2], out=right[:, :, 1:-1])
    down[:, 0], down[:, -1] = surface[:, 1] - surface[:, 0], surface[:, -1] - surface[:, -2]
    # The first and the last column of a ring are the same place.
    right[:, :, 0] = right[:, :, -1] = surface[:, :, 1] - surface[:, :, -2]
    for step in (down, right):
        step[2] *= scale
    (ax, ay, az), (bx, by, bz) = right, down
    normal = np.empty_like(surface)
    x, y, z = normal
    x[:], y[:], z[:] = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    normal /= np.sqrt(x * x + y * y + z * z) + 1e-12
    return normal


def rasterise(
    surface: np.ndarray, facing: np.ndarray, values: Sequence[np.ndarray], near_last: int, steps: tuple[int, int]
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Draws a surface that carries values, as a small picture.

    Args:
      surface: [3, rows, columns], x and y in the frame.
      facing: [rows, columns], positive where the surface looks at the viewer; the rest is not drawn.
      values: Four [rows, columns], interpolated between the surface's points.
      near_last: 1 where columns come nearer from first to last, else -1; nearer ones hide those behind.
      steps: How many places to draw from one row to the next, and from one column to the next.

    Returns:
      The rows and columns of a picture of side SMALL that the surface spans, and of that part: the values [h, w, 4],
      spread a little beyond the surface, and how far each pixel is covered [h, w], 0 to 1.
    """
    seen = np.flatnonzero(facing.max(0) > 0)
    columns = np.s_[max(seen[0] - 1, 0) : seen[-1] + 2]
    # What lies beyond the frame is drawn on its border, which costs less than leaving it out.
    x, y = np.minimum(np.maximum(surface[:2, :, columns] * SMALL, 0.5), SMALL - 0.5)
    left, right, top, bottom = int(x.min()), int(x.max()), int(y.min()), int(y.max())
    # The blur below spreads by two pixels.
    left, top = max(left - 2, 0), max(top - 2, 0)
    height, width = min(bottom + 3, SMALL) - top, min(right + 3, SMALL) - left
    dense = (steps[0] * len(surface[0]), steps[1] * len(x[0]))

    def spread(*parts: np.ndarray) -> np.ndarray:
        return cv2.resize(cv2.merge([np.ascontiguousarray(part.T[::near_last]) for part in parts]), dense)

    place = spread(y - top).astype(np.int32) * width + spread(x - left).astype(np.int32)
    # What is not seen goes beyond the end.
    index = np.where(spread(facing[:, columns]) > 0, place, height * width).astype(np.intp).ravel()
    # Four floats move as one complex128. Where an index repeats, the last value stays: that of the nearest column.
    picture: np.ndarray = np.zeros(height * width + 1, np.complex128)
    picture[index] = spread(*(part[:, columns] for part in values)).view(np.complex128).ravel()
    covered: np.ndarray = np.zeros(height * width + 1, np.float32)
    covered[index] = 1
    picture = cv2.GaussianBlur(picture[:-1].view(np.float32).reshape(height, width, 4), (5, 5), 0.8)
    covered = cv2.GaussianBlur(covered[:-1].reshape(height, width), (5, 5), 0.8)
    picture = cv2.divide(picture, cv2.merge([np.maximum(covered, 1e-5)] * 4))
    return np.s_[top : top + height, left : left + width], picture, covered
