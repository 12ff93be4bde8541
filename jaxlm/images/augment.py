"""Augmentation on the device: amounts become one affine map per face, by which its frame is sampled once.

A frame of side F prepared with margin m holds the face box in its central F / m pixels; a crop of side S covers `crop`
times that box. Every geometric step is a matrix, the steps are multiplied, the frame is read once, bilinearly, and the
same matrix moves the points. Points are (x, y) in pixels, pixel centres at integers; a map is a [2, 3] matrix that
takes (x, y, 1) of the frame to (x, y) of the crop. All shapes are static, and draws have the batch as their leading
axis, so that their values do not depend on how the batch is sharded.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.config import AugmentConfig
from jaxlm.images import appearance
from jaxlm.images.cropping import crop_affine, move, warp

Entry = jax.Array | float


class Amounts(NamedTuple):
    """How far each geometric step goes for each face; 0 and False leave it out.

    Attributes:
      angle: Rotation [B] in degrees, counter-clockwise on the screen.
      shear: Shear (cx, cy) [B, 2]: x + cx * y, y + cy * x.
      growth: Crop pixels (x, y) [B, 2] by which each side of the crop moves outwards.
      shift: Crop pixels (x, y) [B, 2] by which the content moves.
      flipped: Whether the crop is mirrored [B].
    """

    angle: jax.Array
    shear: jax.Array
    growth: jax.Array
    shift: jax.Array
    flipped: jax.Array


def augment_faces(
    key: jax.Array,
    images: jax.Array,
    points: jax.Array,
    visible: jax.Array,
    config: AugmentConfig,
    scheme_flip: jax.Array | np.ndarray,
    size: int,
    margin: float,
    crop: float = 1.0,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Random crops for training, a pure function of `key`.

    Points may leave the crop and are kept as they are. `visible` is the annotation's: only the flip moves it.

    Args:
      key: A key for this call alone.
      images: Frames uint8 [B, F, F, 3].
      points: Points [B, N, 2] in the frame.
      visible: Visibility of the points [B, N].
      config: How strong each step is.
      scheme_flip: The scheme's flip permutation [N].
      size: Side S of the crop in pixels.
      margin: Side of the frame in units of the face box.
      crop: Side of the crop in units of the face box before it is jittered.

    Returns:
      Crops float32 [B, S, S, 3] in 0..255, points [B, N, 2] in the crop, visibility [B, N].
    """
    geometry_key, appearance_key = jax.random.split(key)
    plain = crop_affine(images.shape[1], size, margin, crop)
    amounts = draw_amounts(geometry_key, images.shape[0], config, size)
    matrix = frame_to_crop(amounts, plain, images.shape[1], size, config.centre_shear)
    label_matrix = matrix
    if config.legacy:
        label_matrix = frame_to_crop(amounts, plain, images.shape[1], size, config.centre_shear, legacy=True)
    crops = appearance.change(appearance_key, warp(images, matrix, size), config)
    points = move(points, label_matrix)
    points = jnp.where(amounts.flipped[:, None, None], points[:, scheme_flip], points)
    visible = jnp.where(amounts.flipped[:, None], visible[:, scheme_flip], visible)
    return crops, points, visible


def draw_amounts(key: jax.Array, count: int, config: AugmentConfig, size: int) -> Amounts:
    """Amounts of the geometric steps for `count` faces and crops of side `size` pixels.

    Each step has its own coin for each face and a uniform amount within the limit that `config` sets; to switch one off
    leaves the others as they are.

    Raises:
      ValueError: `config.scale` lets the crop shrink to nothing.
    """
    if config.scale >= 0.5 * (size - 1) / size:
        raise ValueError(f"scale jitter of {config.scale} lets both halves of a crop shrink to nothing; stay below 0.5")
    coin_key, amount_key = jax.random.split(key)
    chances = np.asarray([[config.probability] * 4 + [0.5 if config.flip else 0.0]], np.float32)
    tossed = jax.random.bernoulli(coin_key, chances, (count, 5))
    drawn = jax.random.uniform(amount_key, (count, 4, 2), minval=-1.0)
    drawn = jnp.where(tossed[:, :4, None], drawn, 0.0)
    return Amounts(
        angle=config.rotation * drawn[:, 0, 0],
        shear=config.shear * drawn[:, 1],
        growth=config.scale * size * drawn[:, 2],
        shift=config.shift * size * drawn[:, 3],
        flipped=tossed[:, 4],
    )


def frame_to_crop(
    amounts: Amounts, plain: np.ndarray, side: int, size: int, centre_shear: bool = False, legacy: bool = False
) -> jax.Array:
    """The product [B, 2, 3] of the steps, in the order of the SepBN recipe (arXiv 2101.06663, released code).

    Rotation about the frame's centre; shear about its first pixel; the plain crop; growth of the crop about its
    centre, so that x -> 127 / (127 + 2 growth) x for a crop of 128; shift; flip, x -> S - 1 - x.

    Args:
      amounts: How far each step goes.
      plain: The map [2, 3] of the plain crop; see `crop_affine`.
      side: Side F of the frame in pixels.
      size: Side S of the crop in pixels.
      centre_shear: Shear about the frame's centre, so that the face stays where it is.
      legacy: The map that the released code applies to the points, and not to the image: rotation about F / 2 in
        place of (F - 1) / 2, by which they are 0.31 pixels off at 25 degrees; flip x -> S - x, one pixel off.
    """
    centre = (size - 1) / 2
    turn = (side if legacy else side - 1) / 2
    cosine, sine = jnp.cos(jnp.deg2rad(amounts.angle)), jnp.sin(jnp.deg2rad(amounts.angle))
    shear_x, shear_y = amounts.shear.T
    scale_x, scale_y = (size - 1) / (size - 1 + 2 * amounts.growth.T)
    shift_x, shift_y = amounts.shift.T
    mirror = jnp.where(amounts.flipped, -1.0, 1.0)
    steps = (
        _about(turn, cosine, sine, -sine, cosine),
        _about((side - 1) / 2 if centre_shear else 0, 1, shear_x, shear_y, 1),
        jnp.broadcast_to(plain, (*mirror.shape, 2, 3)),
        _about(centre, scale_x, 0, 0, scale_y),
        _affine(1, 0, shift_x, 0, 1, shift_y),
        _about(size / 2 if legacy else centre, mirror, 0, 0, 1),
    )
    return functools.reduce(_after, steps)


def _affine(*entries: Entry) -> jax.Array:
    """Maps [B, 2, 3] from their six entries by rows, scalars or [B]."""
    return jnp.stack(jnp.broadcast_arrays(*entries), axis=-1).reshape(-1, 2, 3)


def _about(centre: float, a: Entry, b: Entry, c: Entry, d: Entry) -> jax.Array:
    """Maps [B, 2, 3] with the linear part [[a, b], [c, d]] that keep the point (centre, centre)."""
    return _affine(a, b, centre * (1 - a - b), c, d, centre * (1 - c - d))


def _after(first: jax.Array, second: jax.Array) -> jax.Array:
    """The maps [B, 2, 3] that apply `first` and then `second`."""
    product = jnp.matmul(second[..., :2], first, precision=jax.lax.Precision.HIGHEST)
    return product + jnp.pad(second[..., 2:], ((0, 0), (0, 0), (2, 0)))
