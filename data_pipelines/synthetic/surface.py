"""Textures, and curved surfaces drawn as small smooth pictures, for the synthetic faces."""

from __future__ import annotations

import functools

import cv2
import numpy as np

# Shaded surfaces are smooth: they are drawn at this size, then enlarged.
SMALL = 112


@functools.cache
def noise(name: str) -> np.ndarray:
    """A texture, uint8 [512, 512] around 128: `clouds`, `grain`, `skin`, `strands` (drawn out in y) or `curls`."""
    rng = np.random.default_rng(98)
    octaves = {
        "clouds": [(4, 4, 1.0), (8, 8, 0.7), (20, 20, 0.45), (48, 48, 0.25), (128, 128, 0.15)],
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
    x, y, flip = rng.integers(0, (len(texture) - side + 1, len(texture) - side + 1, 4)).tolist()
    part = texture[y : y + side, x : x + side]
    part = part[:: 1 - 2 * (flip & 1), :: 1 - (flip & 2)]
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)


def normals(surface: np.ndarray, scale: float) -> np.ndarray:
    """Unit normals [rows, columns, 3] of closed rings around a head as `Camera.project` gives them; z is outwards."""
    points = surface * np.array([1 / scale, 1 / scale, 1], np.float32)
    down, right = np.empty_like(points), np.empty_like(points)
    down[1:-1], right[:, 1:-1] = points[2:] - points[:-2], points[:, 2:] - points[:, :-2]
    down[0], down[-1] = points[1] - points[0], points[-1] - points[-2]
    # The first and the last column of a ring are the same place.
    right[:, 0] = right[:, -1] = points[:, 1] - points[:, -2]
    (ax, ay, az), (bx, by, bz) = np.moveaxis(right, -1, 0), np.moveaxis(down, -1, 0)
    normal = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
    return normal / (np.sqrt((normal * normal).sum(-1, keepdims=True)) + 1e-9)


def rasterise(
    surface: np.ndarray, facing: np.ndarray, values: np.ndarray, near_last: int, steps: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a surface that carries values, as a small picture.

    Args:
      surface: [rows, columns, 3], x and y in the frame.
      facing: [rows, columns], positive where the surface looks at the viewer; the rest is not drawn.
      values: [rows, columns, 4], interpolated between the surface's points.
      near_last: 1 where columns come nearer from first to last, else -1; nearer ones hide those behind.
      steps: How many places to draw from one column to the next.

    Returns:
      The values [SMALL, SMALL, 4], spread a little beyond the surface, and how far each pixel is covered, 0 to 1.
    """
    rows, columns = facing.shape
    dense = (rows * 3, columns * steps)
    place, facing, values = (
        cv2.resize(np.ascontiguousarray(part.swapaxes(0, 1)[::near_last], np.float32), dense)
        # What lies beyond the frame is drawn on its border, which costs less than leaving it out.
        for part in (np.clip(surface[..., :2] * SMALL - 0.5, 0, SMALL - 1), facing, values)
    )
    seen = np.flatnonzero(facing > 0)
    index = (np.rint(place) @ np.array([1, SMALL], np.float32)).astype(np.int32).ravel()[seen]
    # Four floats move as one complex128. Where an index repeats, the last value stays: that of the nearest column.
    picture = np.zeros(SMALL * SMALL, np.complex128)
    picture[index] = values.reshape(-1, 4).view(np.complex128).ravel()[seen]
    picture = picture.view(np.float32).reshape(SMALL, SMALL, 4)
    covered = np.zeros(SMALL * SMALL, np.float32)
    covered[index] = 1
    covered = cv2.GaussianBlur(covered.reshape(SMALL, SMALL), (5, 5), 0)
    picture = cv2.GaussianBlur(picture, (5, 5), 0)
    picture *= (1 / np.maximum(covered, 1e-3))[..., None]
    return picture, covered
