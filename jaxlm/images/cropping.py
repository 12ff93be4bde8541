"""Crops: an affine map for each face, and one bilinear sampling of the frame.

A frame of side F prepared with margin m holds the face box in its central F / m pixels; a crop of side S covers `crop`
times that box. The plain crop is centred, neither turned nor jittered: what models see outside of training. Points are
(x, y) in pixels, pixel centres at integers; a map is a [2, 3] matrix that takes (x, y, 1) of the frame to (x, y) of the
crop.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

Images = jax.Array | np.ndarray


def crop_affine(side: int, size: int, margin: float, crop: float = 1.0) -> np.ndarray:
    """The map float32 [2, 3] of the plain, centred crop.

    Crop pixel q is frame pixel p = (q - (S - 1) / 2) * s + (F - 1) / 2 with s = crop * (F / m) / S.

    Args:
      side: Side F of the frame in pixels.
      size: Side S of the crop in pixels.
      margin: Side of the frame in units of the face box, m.
      crop: Side of the crop in units of the face box.
    """
    scale = size * margin / (crop * side)
    offset = (size - 1) / 2 - scale * (side - 1) / 2
    return np.asarray([[scale, 0, offset], [0, scale, offset]], np.float32)


def plain_images(frames: Images, size: int, margin: float, crop: float = 1.0) -> jax.Array:
    """The plain crops of frames, pixels in 0..255; slices of them, bit for bit, where crop and frame pixels coincide.

    Args:
      frames: Frames uint8 [B, F, F, 3].
      size: Side S of the crop in pixels.
      margin: Side of the frame in units of the face box.
      crop: Side of the crop in units of the face box.

    Returns:
      Crops float32 [B, S, S, 3].
    """
    return warp(frames, _plain_maps(frames, size, margin, crop), size)


def plain_crops(
    frames: Images, points: jax.Array | np.ndarray, size: int, margin: float, crop: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """The plain crops of frames as models see them, and the points in them.

    Args:
      frames: Frames uint8 [B, F, F, 3].
      points: Points [B, N, 2] in the frames.
      size: Side S of the crop in pixels.
      margin: Side of the frame in units of the face box.
      crop: Side of the crop in units of the face box.

    Returns:
      Normalised crops float32 [B, S, S, 3], and the points [B, N, 2] in pixels of the crops.
    """
    matrix = _plain_maps(frames, size, margin, crop)
    return normalise(warp(frames, matrix, size)), move(points, matrix)


def _plain_maps(frames: Images, size: int, margin: float, crop: float) -> jax.Array:
    """The map of `crop_affine` for each frame, [B, 2, 3]."""
    plain = jnp.asarray(crop_affine(frames.shape[1], size, margin, crop))
    return jnp.broadcast_to(plain, (frames.shape[0], 2, 3))


def normalise(crops: jax.Array) -> jax.Array:
    """(v - 127.5) / 128: pixels of 0..255 to the networks' range -0.99609375..0.99609375."""
    return (crops - 127.5) / 128


def move(points: jax.Array | np.ndarray, matrix: jax.Array) -> jax.Array:
    """Points [B, N, 2] taken through the map [B, 2, 3] of their face."""
    turned = jnp.matmul(points, jnp.swapaxes(matrix[..., :2], 1, 2), precision=jax.lax.Precision.HIGHEST)
    return turned + matrix[:, None, :, 2]


def warp(images: Images, matrix: jax.Array, size: int) -> jax.Array:
    """Bilinear samples float32 [B, S, S, 3] of frames [B, H, W, 3] through maps [B, 2, 3]; zeros outside the frame."""
    chex.assert_shape(images, (None, None, None, 3))
    chex.assert_shape(matrix, (images.shape[0], 2, 3))
    return jax.vmap(_sample)(jnp.asarray(images), _coordinates(matrix, size))


def _coordinates(matrix: jax.Array, size: int) -> jax.Array:
    """Where in its frame each pixel of a crop lies, (x, y) [B, 2, S, S], from maps [B, 2, 3] of frames to crops.

    A matrix product, because XLA keeps its result. Plain arithmetic it computes twice, for the pixels to read and for
    their weights; rounded to different sides of an integer, the weights belong to the pixel next door.
    """
    (a, b, left), (c, d, top) = jnp.moveaxis(matrix, 0, -1)
    inverse = jnp.asarray([[d, -b, b * top - d * left], [-c, a, c * left - a * top]]) / (a * d - b * c)[None, None]
    row, column = jnp.meshgrid(*[jnp.arange(size, dtype=jnp.float32)] * 2, indexing="ij")
    grid = jnp.stack([column, row, jnp.ones_like(row)]).reshape(3, -1)
    found = jnp.matmul(jnp.moveaxis(inverse, -1, 0), grid, precision=jax.lax.Precision.HIGHEST)
    return found.reshape(matrix.shape[0], 2, size, size)


def _sample(image: jax.Array, coordinates: jax.Array) -> jax.Array:
    """Bilinear samples [S, S, 3] of one frame at coordinates [2, S, S]."""
    x, y = coordinates
    x_low, y_low = jnp.floor(x), jnp.floor(y)
    # One black pixel on each side, to which the reads clamp: four plain gathers, and no test of the bounds.
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))

    def read(y_step: int, x_step: int) -> jax.Array:
        index = (
            jnp.clip(low.astype(jnp.int32) + (1 + step), 0, length - 1)  # ONNX's gather, unlike XLA's, does not clamp.
            for low, step, length in ((y_low, y_step, padded.shape[0]), (x_low, x_step, padded.shape[1]))
        )
        return padded.at[tuple(index)].get(mode="promise_in_bounds", wrap_negative_indices=False).astype(jnp.float32)

    right, below = (x - x_low)[..., None], (y - y_low)[..., None]
    upper = read(0, 0) + (read(0, 1) - read(0, 0)) * right
    lower = read(1, 0) + (read(1, 1) - read(1, 0)) * right
    return upper + (lower - upper) * below
