"""Structure maps: images of landmarks, drawn on the device. A translator knows the shape of a face from them alone.

Points are (x, y) in pixels of the map, pixel centres at integers; maps are [B, S, S, C] float32 in 0..1. Every map is
exp(-d^2 / (2 sigma^2)) of a distance d in pixels that is exact to fractions of a pixel: nothing is rasterised.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxlm.landmarks import Scheme

# How many straight pieces a boundary has between two landmarks.
_PIECES = 4

# Neighbouring landmarks are taken to be at least this many pixels apart.
_SHORTEST_CHORD = 1e-3


def dot_map(points: jax.Array, size: int, sigma: float = 1.0) -> jax.Array:
    """One map [B, S, S, 1] of all points [B, N, 2]; d is the distance to the nearest one, so all points look alike."""
    x, y = _offsets(points, size)
    return _bell(jnp.min(x**2 + y**2, axis=-1, keepdims=True), sigma)


def published_dot_map(points: jax.Array, size: int, sigma: int = 1) -> jax.Array:
    """The map of the released AVS code (Qian et al., ICCV 2019), three times: [B, S, S, 3].

    Points [B, N, 2] are moved to whole pixels, downwards but within 3 sigma of the left or upper border, where it is
    upwards, and their dots end 3 sigma from their centre along each axis.
    """
    reach = 3.0 * sigma
    x, y = _offsets(jnp.trunc(points - reach) + reach, size)
    near = (jnp.abs(x) <= reach) & (jnp.abs(y) <= reach)
    squared = jnp.where(near, x**2 + y**2, jnp.inf)
    return jnp.repeat(_bell(jnp.min(squared, axis=-1, keepdims=True), sigma), 3, axis=-1)


def boundary_maps(points: jax.Array, scheme: Scheme, size: int, sigma: float = 1.0) -> jax.Array:
    """Maps [B, S, S, K] of the scheme's K boundaries through points [B, N, 2]; 0 from 3 sigma on.

    As for LAB (Wu et al., CVPR 2018), but for the distance, which is that to the curve and not to the pixels it
    crosses, so that a map reaches 1 only where the curve meets a pixel's centre.

    Raises:
      ValueError: The scheme has no boundaries.
    """
    if not scheme.boundaries:
        raise ValueError(
            f"scheme {scheme.name} has no boundaries; draw dots, or list them in the table `boundaries` of a .toml file"
        )
    curves = [spline(points[:, list(curve)]) for curve in scheme.boundaries.values()]
    squared = jnp.stack([_squared_distance(curve, size) for curve in curves], axis=-1)
    return jnp.where(squared < (3 * sigma) ** 2, _bell(squared, sigma), 0.0)


def spline(points: jax.Array) -> jax.Array:
    """Points [B, 4 (n - 1) + 1, 2] on the natural cubic spline through points [B, n, 2], those included.

    Its parameter is the length of the chords, and its second derivative is 0 at both ends.
    """
    chords = jnp.maximum(jnp.linalg.norm(jnp.diff(points, axis=1), axis=-1, keepdims=True), _SHORTEST_CHORD)
    slopes = jnp.diff(points, axis=1) / chords
    curvature = _second_derivatives(chords, slopes)
    # On each piece from p to q the spline is (1 - t) p + t q and a cubic that is 0 at both ends.
    t = (jnp.arange(_PIECES) / _PIECES)[None, None, :, None]
    start, end = curvature[:, :-1, None], curvature[:, 1:, None]
    bend = chords[:, :, None] ** 2 / 6 * (start * ((1 - t) ** 3 - (1 - t)) + end * (t**3 - t))
    curve = (1 - t) * points[:, :-1, None] + t * points[:, 1:, None] + bend
    return jnp.concatenate([curve.reshape(points.shape[0], -1, 2), points[:, -1:]], axis=1)


def _second_derivatives(chords: jax.Array, slopes: jax.Array) -> jax.Array:
    """Second derivatives of the spline at its n points [B, n, 2].

    They follow from the chords [B, n - 1, 1] and the slopes along them [B, n - 1, 2].
    """
    batch, count = slopes.shape[0], slopes.shape[1] - 1
    if not count:
        return jnp.zeros_like(slopes, shape=(batch, 2, 2))
    before, after = chords[:, :-1, 0], chords[:, 1:, 0]
    zero = jnp.zeros((batch, 1), chords.dtype)
    lower, upper = jnp.concatenate([zero, before[:, 1:]], 1), jnp.concatenate([after[:, :-1], zero], 1)
    inner = lax.linalg.tridiagonal_solve(lower, 2 * (before + after), upper, 6 * jnp.diff(slopes, axis=1))
    return jnp.pad(inner, ((0, 0), (1, 1), (0, 0)))


def _squared_distance(curve: jax.Array, size: int) -> jax.Array:
    """Squared distance [B, S, S] of each pixel to the line through points [B, n, 2]."""
    x, y = _offsets(curve[:, :-1], size)
    along_x, along_y = jnp.moveaxis(jnp.diff(curve, axis=1)[:, None, None], -1, 0)
    length = jnp.maximum(along_x**2 + along_y**2, 1e-12)
    nearest = jnp.clip((x * along_x + y * along_y) / length, 0.0, 1.0)
    return jnp.min((x - nearest * along_x) ** 2 + (y - nearest * along_y) ** 2, axis=-1)


def _offsets(points: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """How far each pixel is to the right of points [B, N, 2], [B, 1, S, N], and below them, [B, S, 1, N]."""
    pixels = jnp.arange(size, dtype=jnp.float32)[None, :, None]
    return (pixels - points[:, None, :, 0])[:, None], (pixels - points[:, None, :, 1])[:, :, None]


def _bell(squared: jax.Array, sigma: float) -> jax.Array:
    return jnp.exp(-0.5 * squared / sigma**2)
