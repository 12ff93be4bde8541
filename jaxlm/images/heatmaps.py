"""Heat-maps: the targets that a network learns to draw, and the points that are read from its drawings.

Maps are [B, H, W, N], one for each landmark. Points are (x, y) in cells: x runs along columns, y along rows, and the
centre of the first cell is (0, 0). A Gaussian is separable, so targets are outer products of two [B, size, N] arrays.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

# A point further outside its map than this many standard deviations leaves no trace in it.
REACH = 3.0

# Height of the highest cell of a target as published for the ShuffleNetV2 of 384 px.
PUBLISHED_PEAK = 100.0

# The logarithm of anything smaller is that of this height.
_LOWEST = 1e-10


def to_cells(points: jax.Array, stride: int, centred: bool) -> jax.Array:
    """Points [B, N, 2] in crop pixels as points in cells of `stride` pixels.

    Args:
      points: (x, y), pixel centres at integers.
      stride: Side of a cell in pixels.
      centred: Cell j covers pixels stride j to stride j + stride - 1, so its centre is at stride j + (stride - 1) / 2
        and a cell is (x + 0.5) / stride - 0.5. Otherwise it is x / stride, as in the published ShuffleNetV2 code.
    """
    return (points + 0.5) / stride - 0.5 if centred else points / stride


def to_pixels(cells: jax.Array, stride: int, centred: bool) -> jax.Array:
    """The inverse of `to_cells`."""
    return stride * (cells + 0.5) - 0.5 if centred else stride * cells


def in_reach(cells: jax.Array, size: int, sigma: float) -> jax.Array:
    """1 for each point [B, N] that lies within `REACH` sigma of a map of `size` cells, 0 for the others and for NaN."""
    reach = REACH * sigma
    inside = (cells >= -reach) & (cells <= size - 1 + reach)
    return inside.all(axis=-1).astype(jnp.float32)


def draw_unbiased(cells: jax.Array, size: int, sigma: float) -> jax.Array:
    """Maps [B, size, size, N] of height exp(-d^2 / (2 sigma^2)), d cells from points [B, N, 2].

    The Gaussian is centred on the point itself, not on its nearest cell (Zhang et al., CVPR 2020), so the highest cell
    reaches 1 only where the point is that cell's centre.
    """
    x, y = jnp.exp(_log_gaussians(cells, size, sigma))
    return y[:, :, None] * x[:, None]


def draw_published(cells: jax.Array, size: int, sigma: float = 4.0) -> jax.Array:
    """Maps [B, size, size, N] as published: stretched to run from exactly 0 to exactly `PUBLISHED_PEAK`.

    A Gaussian around points [B, N, 2] is sampled at the cells, and each map is then scaled so that its lowest cell is 0
    and its highest, the one nearest to the point, is 100, also where the point lies outside the map.
    """
    exponents = _log_gaussians(cells, size, sigma)
    # Dividing by the maximum before the exponential keeps points far outside from turning into 0 / 0.
    x, y = jnp.exp(exponents - exponents.max(axis=2, keepdims=True))
    lowest = (x.min(axis=1) * y.min(axis=1))[:, None, None]
    return PUBLISHED_PEAK * ((y[:, :, None] * x[:, None] - lowest) / (1.0 - lowest))


def log_gaussian_probabilities(cells: jax.Array, size: int, sigma: float) -> jax.Array:
    """Logarithm [B, size, size, N] of Gaussians around points [B, N, 2], each map's probabilities summing to 1."""
    x, y = jax.nn.log_softmax(_log_gaussians(cells, size, sigma), axis=2)
    return y[:, :, None] + x[:, None]


def argmax(maps: jax.Array) -> jax.Array:
    """The highest cell [B, N, 2] of each map, the first in reading order of several, as float32."""
    return _highest_cell(maps).astype(jnp.float32)


def quarter(maps: jax.Array) -> jax.Array:
    """The highest cell [B, N, 2], moved by a quarter cell towards the higher of its neighbours along each axis.

    The offset of the stacked hourglass (Newell et al., ECCV 2016). There is none along an axis at whose border the cell
    lies, or where both neighbours are equally high.
    """
    highest = _highest_cell(maps)
    window = _window(maps, highest, 1)
    slope = jnp.stack([window[:, :, 1, 2] - window[:, :, 1, 0], window[:, :, 2, 1] - window[:, :, 0, 1]], axis=-1)
    return highest + jnp.where(_to_border(highest, maps) > 0, 0.25 * jnp.sign(slope), 0.0)


def dark(maps: jax.Array, sigma: float) -> jax.Array:
    """The peak [B, N, 2] of a Gaussian fitted to each map around its highest cell (DARK, Zhang et al., CVPR 2020).

    The map is smoothed by a Gaussian of the target's `sigma`, and one Newton step on its logarithm leads from the
    highest cell to the peak: -H^-1 g, with gradient and Hessian from differences between neighbouring cells. The step
    is at most one cell along each axis. Where the cell lies at the border or the Hessian is not negative definite, the
    point is that of `quarter`. Unlike in the paper, the smoothing is narrower near the border, so that it never
    reaches outside the map, which would pull points inwards by up to a cell.
    """
    highest = _highest_cell(maps)
    smooth = jnp.maximum(_smooth_peak(maps, highest, sigma), _LOWEST)
    height = jnp.moveaxis(jnp.log(smooth), (2, 3), (0, 1))
    dx, dy = (height[1, 2] - height[1, 0]) / 2, (height[2, 1] - height[0, 1]) / 2
    dxx = height[1, 2] - 2 * height[1, 1] + height[1, 0]
    dyy = height[2, 1] - 2 * height[1, 1] + height[0, 1]
    dxy = (height[2, 2] - height[2, 0] - height[0, 2] + height[0, 0]) / 4
    determinant = dxx * dyy - dxy**2
    # Logarithms of equal numbers may differ in their last bit, so a flat bottom must not count as a peak.
    concave = (dxx < 0) & (determinant > 0) & (smooth[:, :, 1, 1] > _LOWEST)
    step = jnp.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], axis=-1)
    step /= jnp.where(concave, determinant, 1.0)[..., None]
    usable = concave & (_to_border(highest, maps) > 0).all(axis=-1)
    return jnp.where(usable[..., None], highest + jnp.clip(step, -1.0, 1.0), quarter(maps))


def probabilities(logits: jax.Array, beta: float = 1.0) -> jax.Array:
    """Softmax of beta * logits over the cells of each map, [B, H, W, N]."""
    return jax.nn.softmax(beta * logits, axis=(1, 2))


def expectation(probability: jax.Array) -> jax.Array:
    """The mean cell [B, N, 2] of maps [B, H, W, N] that each sum to 1."""
    along_y, along_x = probability.sum(axis=2), probability.sum(axis=1)
    return jnp.stack([_mean_index(along_x), _mean_index(along_y)], axis=-1)


def soft_argmax(logits: jax.Array, beta: float = 1.0) -> jax.Array:
    """The mean cell [B, N, 2] under the softmax of beta * logits (Nibali et al., 2018, call it DSNT).

    On maps that are heights rather than logits a large `beta` makes it a smooth argmax: for `draw_unbiased`, the
    softmax is close to a Gaussian of standard deviation sigma / sqrt(beta) cells, which should not be below half a
    cell.
    """
    return expectation(probabilities(logits, beta))


def mass_near(probability: jax.Array, cells: jax.Array, radius: float) -> jax.Array:
    """Probability [B, N] of the cells within `radius` of points [B, N, 2] along both axes."""
    height, width = probability.shape[1:3]
    near_x = jnp.abs(jnp.arange(width)[None, :, None] - cells[:, None, :, 0]) <= radius
    near_y = jnp.abs(jnp.arange(height)[None, :, None] - cells[:, None, :, 1]) <= radius
    # One sum over both axes takes a quarter of the time of one after the other on a CPU.
    near = near_y.astype(probability.dtype)[:, :, None] * near_x.astype(probability.dtype)[:, None]
    return jnp.sum(probability * near, axis=(1, 2))


def _log_gaussians(cells: jax.Array, size: int, sigma: float) -> jax.Array:
    """-d^2 / (2 sigma^2) [2, B, size, N] along x and along y, d cells from points [B, N, 2]."""
    centres = jnp.moveaxis(cells, -1, 0)[:, :, None]
    return -0.5 * ((jnp.arange(size)[None, None, :, None] - centres) / sigma) ** 2


def _highest_cell(maps: jax.Array) -> jax.Array:
    """The highest cell [B, N, 2] of each map, int32."""
    # First the row, then the column in it: one plain maximum over the map, many times faster than an argmax on a CPU.
    row = jnp.argmax(maps.max(axis=2), axis=1)
    column = jnp.argmax(jnp.take_along_axis(maps, row[:, None, None], axis=1)[:, 0], axis=1)
    return jnp.stack([column, row], axis=-1).astype(jnp.int32)


def _window(maps: jax.Array, centre: jax.Array, radius: int) -> jax.Array:
    """The cells [B, N, 2 radius + 1, 2 radius + 1] around integer cells [B, N, 2]; the border continues outwards."""
    offsets = jnp.arange(-radius, radius + 1)

    def cut(one: jax.Array, middle: jax.Array) -> jax.Array:
        rows = jnp.clip(middle[1] + offsets, 0, one.shape[0] - 1)
        columns = jnp.clip(middle[0] + offsets, 0, one.shape[1] - 1)
        return one[rows[:, None], columns[None]]

    return jax.vmap(jax.vmap(cut, in_axes=(-1, 0)))(maps, centre)


def _smooth_peak(maps: jax.Array, highest: jax.Array, sigma: float) -> jax.Array:
    """The 3 x 3 cells [B, N, 3, 3] around integer cells [B, N, 2] of maps smoothed by a Gaussian; see `dark`."""
    radius = math.ceil(2.5 * sigma)
    window = _window(maps, highest, radius + 1)
    reach = jnp.minimum(_to_border(highest, maps) - 1, radius)[..., None, None]
    # Row i smooths the window at cell i - 1 from its middle.
    distance = (jnp.arange(-radius - 1, radius + 2)[None] - jnp.arange(-1, 2)[:, None])[None, None, None]
    kernel = jnp.where(jnp.abs(distance) <= reach, jnp.exp(-0.5 * (distance / sigma) ** 2), 0.0)
    return jnp.einsum("bnip,bnpq,bnjq->bnij", kernel[:, :, 1], window, kernel[:, :, 0], precision="highest")


def _to_border(cells: jax.Array, maps: jax.Array) -> jax.Array:
    """How many cells [B, N, 2] lie between integer cells and the nearer border, along x and along y."""
    last = jnp.asarray([maps.shape[2] - 1, maps.shape[1] - 1])
    return jnp.minimum(cells, last[None, None] - cells)


def _mean_index(weights: jax.Array) -> jax.Array:
    """The mean index [B, N] of weights [B, size, N] that sum to 1."""
    return jnp.sum(weights * jnp.arange(weights.shape[1], dtype=weights.dtype)[None, :, None], axis=1)
