"""Distances of photos, colours and textures against known values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.styles import distances
from jaxlm.styles.distances import Colours
from jaxlm.styles.feature_networks import LaplacianFeatures
from tolerances import assert_float32_close, float32_error


def smooth(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Smooth random photos in 0..255, float32."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, 8, 8, 3)).astype(np.float32)
    return np.asarray(jax.image.resize(coarse, (count, side, side, 3), "bilinear"))


@pytest.mark.parametrize("side", [11, 24, 44])
def test_ssim_is_that_of_tensorflow(side: int):
    """With as many scales, one to three here, and the exponents of those."""
    import tensorflow as tf

    photos = smooth(3, side)
    noisy = np.clip(photos + np.random.default_rng(1).normal(0, 25, photos.shape), 0, 255).astype(np.float32)
    weights = np.asarray([0.0448, 0.2856, 0.3001][: side.bit_length() - 3])
    expected = tf.image.ssim_multiscale(noisy, photos, 255, tuple(weights / weights.sum()))
    found = np.asarray(distances.multi_scale_ssim(noisy, photos))
    # Both divide variances, of 1700 and more in sum, that are differences of squares up to 255 ** 2.
    assert_float32_close(found, expected, depth=2 * 22, scale=255**2 / 1700)
    assert found.max() < 0.95


def test_ssim_of_equal_photos_is_1_and_of_grey_ones_what_their_levels_say():
    photos = smooth(2, 24)
    assert_float32_close(distances.multi_scale_ssim(photos, photos), np.ones(2), depth=22, scale=255**2 / 1700)
    dark, light = jnp.full((1, 16, 16, 1), 4.0), jnp.full((1, 16, 16, 1), 8.0)
    expected = (2 * 4 * 8 + 2.55**2) / (4**2 + 8**2 + 2.55**2)
    # Without a variance the constant 7.65 ** 2 is what squares are divided by.
    assert_float32_close(distances.multi_scale_ssim(dark, light), [expected], depth=22, scale=80 / 58)


@pytest.mark.parametrize(
    ("side", "scales"), [(10, 0), (11, 1), (21, 1), (22, 2), (64, 3), (128, 4), (176, 5), (512, 5)]
)
def test_scales_that_a_photo_has_room_for(side: int, scales: int):
    assert distances.num_scales(side) == scales


def test_photos_smaller_than_a_window_are_refused():
    with pytest.raises(AssertionError):
        distances.multi_scale_ssim(jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 3)))


def test_colours_of_plain_photos():
    images = np.stack([np.full((4, 4, 3), 255, np.uint8), np.full((4, 4, 3), (255, 0, 0), np.uint8)])
    colours = distances.colours_of(images)
    # CIE Lab of sRGB red: two decimals, and OpenCV reads the curves from tables.
    np.testing.assert_allclose(colours.mean, [[100, 0, 0], [53.24, 80.09, 67.20]], rtol=0, atol=0.01)
    assert np.abs(colours.covariance).max() <= float32_error(depth=16, scale=100) ** 2
    half = np.zeros((1, 4, 4, 3), np.uint8)
    half[:, :2] = 255
    colours = distances.colours_of(half)
    assert_float32_close(colours.mean, [[50, 0, 0]], depth=16 + 10, scale=100)
    assert_float32_close(colours.covariance[0], np.diag([2500, 0, 0]), depth=16 + 10, scale=100**2)


def test_distance_of_colours():
    """Of equal covariances the shift; of commuting ones the difference of their square roots; never negative."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    covariance = turn @ np.diag([1.0, 4.0, 9.0]) @ turn.T
    one = Colours(np.zeros(3), covariance)
    assert distances.colour_distance(one, one) == pytest.approx(0, abs=1e-6)  # A root of float64's rounding.
    assert distances.colour_distance(one, Colours(np.array([3.0, 0, 4]), covariance)) == pytest.approx(5)
    wide = Colours(np.zeros(3), turn @ np.diag([9.0, 4.0, 25.0]) @ turn.T)
    assert distances.colour_distance(one, wide) == pytest.approx(np.hypot(2, 2))
    flat = Colours(np.zeros(3), np.zeros((3, 3)))
    assert distances.colour_distance(one, flat) == pytest.approx(np.sqrt(14))


def test_colours_are_compared_with_every_other():
    rng = np.random.default_rng(0)
    colours = distances.colours_of(rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8))
    rows = jax.tree.map(lambda leaf: leaf[:, None], colours)
    table = distances.colour_distance(rows, colours)
    assert table.shape == (4, 4)
    # Squares are differences of two traces, up to 5000 each, and of what the covariances share.
    assert_float32_close(table**2, (table**2).T, depth=8 * 8, scale=2 * 5000)
    assert_float32_close(np.diagonal(table) ** 2, np.zeros(4), depth=8 * 8, scale=2 * 5000)
    assert table[~np.eye(4, dtype=bool)].min() > 0.5


def test_textures_of_neighbours_are_1_apart_and_a_mirror_changes_nothing():
    network = LaplacianFeatures()
    photos = jnp.asarray(smooth(6, 16) / 128 - 1)
    scales = distances.texture_scales(network, photos)
    textures = np.asarray(distances.textures_of(network, scales, photos))
    apart = distances.texture_distance(textures, np.roll(textures, 1, axis=0))
    assert_float32_close(apart.mean(), 1, depth=16 * 16 + 40, scale=4)  # Textures are up to 4 long.
    mirrored = np.asarray(distances.textures_of(network, scales, photos[:, :, ::-1]))
    assert_float32_close(distances.texture_distance(textures, mirrored), np.zeros(6), depth=16 * 16 + 40, scale=4)
