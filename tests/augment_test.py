"""Crops and augmentation: exact pixels, exact labels, and agreement of what the image and the points go through."""

import dataclasses
import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxlm.config import AugmentConfig
from jaxlm.images import appearance, augment, cropping
from jaxlm.landmarks.schemes import WFLW98
from tolerances import assert_float32_close, float32_error

FLIP = np.asarray(WFLW98.flip)
GEOMETRY = AugmentConfig(rotation=25.0, shear=0.3, scale=0.15, shift=0.1, flip=True)
EVERYTHING = dataclasses.replace(
    GEOMETRY, colour=0.4, hue=0.1, grey=0.5, blur=0.5, defocus=0.5, dark=0.5, occlusion=0.5
)


def _frames(count: int, side: int, seed: int = 0) -> tuple[jax.Array, jax.Array]:
    """Frames of noise and 98 random points in each."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    return jnp.asarray(images), jnp.asarray(rng.uniform(0, side, (count, 98, 2)), jnp.float32)


def _blobs(centres: np.ndarray, side: int) -> jax.Array:
    """Frames uint8 with one Gaussian blob each, at `centres` [B, 2]."""
    pixel = np.arange(side)
    x, y = (np.exp(-0.5 * ((pixel[None] - centres[:, i, None]) / 3) ** 2) for i in (0, 1))
    blobs = np.rint(255 * y[:, :, None] * x[:, None, :]).astype(np.uint8)
    return jnp.asarray(np.repeat(blobs[..., None], 3, axis=-1))


def _centroids(crops: jax.Array) -> np.ndarray:
    """Centres of mass [B, 2] of crops [B, S, S, 3]."""
    mass = np.asarray(crops[..., 0], np.float64)
    mass /= mass.sum(axis=(1, 2), keepdims=True)
    pixel = np.arange(mass.shape[1])
    return np.stack([mass.sum(axis=1) @ pixel, mass.sum(axis=2) @ pixel], axis=1)


def _amounts(**given: object) -> augment.Amounts:
    """Amounts for one face: those given, and none of the other steps."""
    none = {"angle": 0.0, "shear": (0.0, 0.0), "growth": (0.0, 0.0), "shift": (0.0, 0.0), "flipped": False}
    return augment.Amounts(**{name: jnp.asarray([value]) for name, value in (none | given).items()})


@functools.partial(jax.jit, static_argnames=("centre_shear", "legacy"))
def _maps(amounts: augment.Amounts, **options: bool) -> jax.Array:
    return augment.frame_to_crop(amounts, cropping.crop_affine(256, 128, 2.0), 256, 128, **options)


def _moved(point: tuple[float, float], matrix: jax.Array) -> np.ndarray:
    return np.asarray(cropping.move(jnp.asarray([[point]], jnp.float32), matrix))[0, 0]


@functools.partial(jax.jit, static_argnames=("size", "margin", "crop"))
def _centre_crop(
    images: jax.Array, points: jax.Array, size: int, margin: float, crop: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """Plain crops in 0..255, and points in them."""
    _, moved = cropping.plain_crops(images, points, size, margin, crop)
    return cropping.plain_images(images, size, margin, crop), moved


_warp = jax.jit(cropping.warp, static_argnames="size")


@functools.partial(jax.jit, static_argnames=("config", "size"))
def _augmented(key, images, points, config, size):
    visible = jnp.broadcast_to(jnp.arange(points.shape[1]) % 3 > 0, points.shape[:2])
    flip = FLIP if points.shape[1] == 98 else np.arange(points.shape[1])
    return augment.augment_faces(key, images, points, visible, config, flip, size, margin=2.0)


def test_evaluation_crop_is_the_central_slice_bit_for_bit():
    images, points = _frames(2, 256)
    crops, moved = _centre_crop(images, points, 128, margin=2.0)
    np.testing.assert_array_equal(crops, images[:, 64:192, 64:192])
    np.testing.assert_array_equal(moved, points - 64)


def test_a_crop_of_half_the_resolution_averages_two_by_two():
    images, points = _frames(2, 64)
    crops, moved = _centre_crop(images, points, 16, margin=2.0)
    expected = images[:, 16:48, 16:48].reshape(2, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    assert_float32_close(crops, expected, depth=4)
    assert_float32_close(moved, (points - 31.5) / 2 + 7.5, depth=4, scale=64)


def test_a_crop_larger_than_the_frame_is_black_outside():
    images = jnp.full((1, 32, 32, 3), 255, jnp.uint8)
    crops, _ = _centre_crop(images, jnp.zeros((1, 1, 2)), 64, margin=1.0, crop=2.0)
    np.testing.assert_array_equal(crops, np.pad(np.full((1, 32, 32, 3), 255.0), ((0, 0), (16, 16), (16, 16), (0, 0))))


def test_crop_affine_maps_the_edges_of_the_crop_to_the_edges_of_the_box():
    matrix = cropping.crop_affine(side=300, size=96, margin=2.5, crop=1.2)
    half_box = 1.2 * 300 / 2.5 / 2
    assert_float32_close(matrix @ [149.5 - half_box, 149.5 + half_box, 1], [-0.5, 95.5], depth=2, scale=200)


def test_normalised_range():
    np.testing.assert_array_equal(cropping.normalise(jnp.asarray([0.0, 127.5, 255.0])), [-0.99609375, 0, 0.99609375])


def test_warp_agrees_with_opencv():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 48, 48, 3), np.uint8)
    linear = np.eye(2) * rng.uniform(0.6, 1.6, (8, 1, 1)) + rng.uniform(-0.5, 0.5, (8, 2, 2))
    centre = np.full((2, 1), 23.5)
    matrices = np.concatenate([linear, centre - linear @ centre + rng.uniform(-9, 9, (8, 2, 1))], axis=2)
    crops = _warp(jnp.asarray(images), jnp.asarray(matrices, jnp.float32), 40)
    # White noise may change by 255 a pixel in either direction; OpenCV 4 rounds positions to 1/32 pixel.
    tolerance = 2 * 255 * float32_error(depth=6, scale=48) if int(cv2.__version__.split(".")[0]) >= 5 else 8
    for image, matrix, crop in zip(images, matrices, crops, strict=True):
        expected = cv2.warpAffine(image.astype(np.float32), matrix, (40, 40), flags=cv2.INTER_LINEAR)
        np.testing.assert_allclose(crop, expected, rtol=0, atol=tolerance)


def test_flipping_twice_is_the_identity():
    images, points = _frames(2, 32)
    amounts = jax.tree.map(lambda x: jnp.repeat(x, 2, axis=0), _amounts(flipped=True))
    matrix = augment.frame_to_crop(amounts, cropping.crop_affine(32, 32, 1.0), 32, 32)
    once = _warp(images, matrix, 32)
    np.testing.assert_array_equal(once, images[:, :, ::-1])
    np.testing.assert_array_equal(_warp(once, matrix, 32), images)
    flipped = cropping.move(points, matrix)[:, FLIP]
    assert_float32_close(cropping.move(flipped, matrix)[:, FLIP], points, depth=8, scale=32)


def test_scale_jitter_of_the_recipe():
    matrix = _maps(_amounts(growth=(19.2, 0.0)))
    assert_float32_close(_moved((160, 160), matrix), [88.4547, 96], depth=10, scale=256)
    assert_float32_close(_moved((127.5, 127.5), matrix), [63.5, 63.5], depth=10, scale=256)


def test_shear_is_about_the_first_pixel_or_the_centre():
    amounts = _amounts(shear=(0.3, -0.2))
    assert_float32_close(_moved((0, 0), _maps(amounts)), [-64, -64], depth=10, scale=256)
    assert_float32_close(_moved((100, 50), _maps(amounts)), [100 + 15 - 64, 50 - 20 - 64], depth=10, scale=256)
    centre = _moved((127.5, 127.5), _maps(amounts, centre_shear=True))
    assert_float32_close(centre, [63.5, 63.5], depth=10, scale=256)


def test_rotation_is_counter_clockwise_about_the_centre():
    assert_float32_close(_moved((137.5, 127.5), _maps(_amounts(angle=90.0))), [63.5, 53.5], depth=10, scale=256)


def test_the_steps_come_in_the_order_of_the_recipe():
    amounts = {"angle": 20.0, "shear": (0.1, -0.2), "growth": (9.0, -9.0), "shift": (3.0, 4.0), "flipped": True}
    plain = cropping.crop_affine(256, 128, 2.0)
    expected = np.eye(3)
    for i, (name, amount) in enumerate(amounts.items()):
        step = np.vstack([_maps(_amounts(**{name: amount}))[0], [0, 0, 1]]).astype(np.float64)
        uncrop = np.linalg.inv(np.vstack([plain, [0, 0, 1]]))
        expected = step @ (uncrop if i else np.eye(3)) @ expected
    assert_float32_close(_maps(_amounts(**amounts))[0], expected[:2], depth=40, scale=256)


@pytest.mark.parametrize(("angle", "error"), [(25.0, (-0.163, 0.258)), (-25.0, (0.261, -0.165))])
def test_legacy_rotation_misplaces_the_points(angle, error):
    centres = np.array([[120.3, 140.8]])
    amounts = _amounts(angle=angle)
    found = _centroids(_warp(_blobs(centres, 256), _maps(amounts), 128))[0]  # Of whole numbers: good to 0.01 pixel.
    np.testing.assert_allclose(_moved(centres[0], _maps(amounts, legacy=True)) - found, error, atol=0.01)
    np.testing.assert_allclose(_moved(centres[0], _maps(amounts)), found, atol=0.01)


def test_legacy_flip_misplaces_the_points_by_one_pixel():
    images, points = _frames(32, 32)
    key = jax.random.key(1)
    crops, right, _ = _augmented(key, images, points, AugmentConfig(flip=True), 16)
    legacy_crops, legacy, _ = _augmented(key, images, points, AugmentConfig(flip=True, legacy=True), 16)
    flipped = np.asarray(crops == images[:, 8:24, 8:24][:, :, ::-1]).all(axis=(1, 2, 3))
    assert 0 < flipped.sum() < 32
    np.testing.assert_array_equal(crops, legacy_crops)
    expected = np.where(flipped[:, None, None], np.array([1.0, 0.0])[None, None], 0.0)
    assert_float32_close(legacy - right, np.broadcast_to(expected, right.shape), depth=8, scale=32)


@pytest.mark.parametrize("centre_shear", [False, True])
def test_points_follow_the_image(centre_shear):
    config = dataclasses.replace(GEOMETRY, probability=1.0, shear=0.15, centre_shear=centre_shear)
    centres = np.random.default_rng(0).uniform(54, 74, (40, 2))
    points = jnp.asarray(centres[:, None], jnp.float32)
    crops, moved, _ = _augmented(jax.random.key(0), _blobs(centres, 128), points, config, 64)
    border = np.asarray(crops).copy()
    border[:, 1:-1, 1:-1] = 0
    whole = border.max(axis=(1, 2, 3)) == 0
    assert whole.sum() >= 25
    np.testing.assert_allclose(_centroids(crops)[whole], moved[whole, 0], atol=0.02)  # Blobs are of whole numbers.


def test_flip_permutes_points_and_visibility():
    images, points = _frames(32, 32)
    _, plain = _centre_crop(images, points, 16, margin=2.0)
    _, moved, visible = _augmented(jax.random.key(2), images, points, AugmentConfig(flip=True), 16)
    annotated = np.arange(98) % 3 > 0
    flipped = ~np.isclose(plain, moved, rtol=0, atol=float32_error(depth=8, scale=32)).all(axis=(1, 2))
    assert 0 < flipped.sum() < 32
    mirrored = np.stack([15 - plain[..., 0], plain[..., 1]], axis=-1)[:, FLIP]
    assert_float32_close(moved, np.where(flipped[:, None, None], mirrored, plain), depth=8, scale=32)
    np.testing.assert_array_equal(visible, np.where(flipped[:, None], annotated[FLIP], annotated))


def test_all_off_is_the_centre_crop():
    images, points = _frames(4, 64)
    crops, moved, _ = _augmented(jax.random.key(3), images, points, AugmentConfig(probability=1.0), 32)
    expected_crops, expected_points = _centre_crop(images, points, 32, margin=2.0)
    np.testing.assert_array_equal(crops, expected_crops)
    np.testing.assert_array_equal(moved, expected_points)


def test_probability_zero_leaves_the_geometry_alone():
    config = dataclasses.replace(GEOMETRY, probability=0.0, flip=False)
    amounts = augment.draw_amounts(jax.random.key(0), 50, config, 128)
    jax.tree.map(lambda amount: np.testing.assert_array_equal(amount, np.zeros(amount.shape)), amounts)


def test_a_key_decides_everything():
    faces = _frames(8, 32)
    first, again, other = (_augmented(jax.random.key(seed), *faces, EVERYTHING, 16) for seed in (5, 5, 6))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[1], other[1])


def test_sharding_over_devices_changes_nothing():
    faces = _frames(8, 32)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    spread = jax.device_put(faces, NamedSharding(mesh, PartitionSpec("data")))
    alone = _augmented(jax.random.key(7), *faces, EVERYTHING, 16)
    together = _augmented(jax.random.key(7), *spread, EVERYTHING, 16)
    # White noise may change by 255 a pixel in either direction, and colour jitter by 1.4 more.
    np.testing.assert_allclose(together[0], alone[0], rtol=0, atol=1.4**3 * 2 * 255 * float32_error(depth=30, scale=32))
    assert_float32_close(together[1], alone[1], depth=30, scale=32)
    np.testing.assert_array_equal(together[2], alone[2])


def test_photometric_steps_leave_the_points_alone():
    faces = _frames(8, 32)
    _, points, visible = _augmented(jax.random.key(5), *faces, GEOMETRY, 16)
    _, same_points, same_visible = _augmented(jax.random.key(5), *faces, EVERYTHING, 16)
    np.testing.assert_array_equal(points, same_points)
    np.testing.assert_array_equal(visible, same_visible)


def test_amounts_stay_within_their_limits_and_toss_independent_coins():
    amounts = jax.jit(augment.draw_amounts, static_argnums=(1, 2, 3))(jax.random.key(0), 4000, GEOMETRY, 128)
    limits = {"angle": 25.0, "shear": 0.3, "growth": 19.2, "shift": 12.8}
    moves = {name: np.asarray(getattr(amounts, name)).reshape(4000, -1) for name in limits}
    # Means of 4000 draws and their correlations: four of their standard deviations at most, for any key.
    for name, limit in limits.items():
        largest = np.abs(moves[name]).max()
        assert 0.98 * limit < largest <= limit * (1 + float32_error(depth=2))
        assert abs(moves[name].mean()) < 0.05 * limit
        np.testing.assert_allclose(np.abs(moves[name]).mean() / limit, 0.25, atol=0.02)
    coins = np.stack([values.any(axis=1) for values in moves.values()] + [np.asarray(amounts.flipped)])
    np.testing.assert_allclose(coins.mean(axis=1), 0.5, atol=0.03)
    assert np.abs(np.corrcoef(coins) - np.eye(5)).max() < 0.06


def test_a_scale_that_empties_the_crop_is_refused():
    with pytest.raises(ValueError, match=r"scale jitter of 0\.5"):
        augment.draw_amounts(jax.random.key(0), 1, AugmentConfig(scale=0.5), 128)


@pytest.mark.parametrize("switch", ["colour", "hue", "grey", "blur", "defocus", "dark", "occlusion"])
def test_photometric_switches_change_their_share_of_the_faces(switch):
    crops = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (400, 20, 20, 3)), jnp.float32)
    change = jax.jit(appearance.change, static_argnums=2)
    changed = change(jax.random.key(0), crops, AugmentConfig(**{switch: 0.3}))
    share = np.mean(np.abs(crops - changed).max(axis=(1, 2, 3)) > 1)
    if switch in ("colour", "hue"):
        assert share > 0.98
    else:
        # A box may be thinner than a pixel, a blur too narrow to see: not every chosen face changes.
        assert 0.15 < share < 0.37
    assert changed.min() >= 0
    assert changed.max() <= 255 + float32_error(depth=10, scale=255)


def test_grey_has_the_luma_of_the_colours():
    crops = jnp.asarray([[[[255.0, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]])
    grey = appearance.change(jax.random.key(0), crops, AugmentConfig(grey=1.0))
    assert_float32_close(grey[0, ..., 0], [[76.245, 149.685], [29.07, 255]], depth=5)
    np.testing.assert_array_equal(grey, jnp.broadcast_to(grey[..., :1], grey.shape))


def test_colour_jitter_of_a_plain_grey_crop_is_its_brightness():
    crops = jnp.full((200, 4, 4, 3), 100.0)
    jittered = np.asarray(jax.jit(appearance.jitter_colour)(jax.random.key(0), crops, 0.4))
    assert np.ptp(jittered, axis=(1, 2, 3)).max() < float32_error(depth=10, scale=140)
    assert 60 <= jittered.min() < 65
    assert 135 < jittered.max() <= 140 + float32_error(depth=10 + 16, scale=140)


def test_hue_jitter_turns_colours_and_keeps_grey_and_luma():
    jitter = jax.jit(appearance.jitter_hue)
    grey = jnp.full((4, 2, 2, 3), 90.0)
    assert_float32_close(jitter(jax.random.key(0), grey, 0.5), grey, depth=20, scale=255)
    crops = jnp.broadcast_to(jnp.asarray([140.0, 110.0, 100.0]), (300, 2, 2, 3))
    turned = np.asarray(jitter(jax.random.key(0), crops, 0.5))
    assert_float32_close(appearance.luma(turned), appearance.luma(crops), depth=20, scale=255)
    # Half a circle either way reaches every hue: each channel is the largest for a third of the faces, but for the
    # chance of 300 draws, 0.027.
    np.testing.assert_allclose(np.bincount(turned[:, 0, 0].argmax(axis=-1)) / 300, 1 / 3, atol=0.1)
    slightly = np.asarray(jitter(jax.random.key(0), crops, 0.02))
    assert (slightly[:, 0, 0].argmax(axis=-1) == 0).all()


def test_blur_is_a_gaussian_of_five_taps():
    crops = jnp.zeros((50, 11, 11, 3)).at[:, 5, 5].set(255.0)
    blurred = np.asarray(jax.jit(appearance.blur)(jax.random.key(0), crops))[..., 0]
    assert_float32_close(blurred.sum(axis=(1, 2)), np.full(50, 255), depth=2 * 10 + 121)
    assert_float32_close(blurred, blurred[:, ::-1, ::-1], depth=10)
    ratio = blurred[:, 5, 6] / blurred[:, 5, 5]
    wide = ratio > 0.05
    sigma = np.sqrt(-0.5 / np.log(ratio[wide]))
    assert sigma.max() <= 1.0 + float32_error(depth=12)
    for face, width in zip(blurred[wide], sigma, strict=True):
        expected = cv2.GaussianBlur(np.asarray(crops[0, ..., 0]), (5, 5), float(width))
        assert_float32_close(face, expected, depth=20, scale=255)


def test_blur_mirrors_the_border():
    plain = jnp.full((4, 8, 8, 3), 90.0)
    assert_float32_close(appearance.blur(jax.random.key(0), plain), plain, depth=2 * 10)


def test_a_face_out_of_focus_is_a_gaussian_as_wide_as_drawn():
    crops = jnp.zeros((40, 61, 61, 3)).at[:, 30, 30].set(255.0)
    blurred = np.asarray(jax.jit(appearance.defocus)(jax.random.key(0), crops))[..., 0]
    assert_float32_close(blurred, blurred[:, ::-1, ::-1], depth=2 * 61, scale=255)
    sigma = np.sqrt(-0.5 / np.log(np.maximum(blurred[:, 30, 31] / blurred[:, 30, 30], 1e-30)))
    assert sigma.max() <= 0.05 * 61 * (1 + float32_error(depth=2 * 61))
    assert np.quantile(sigma, 0.5) > 0.02 * 61
    for face, width in zip(blurred[sigma > 0.5], sigma[sigma > 0.5], strict=True):
        expected = cv2.GaussianBlur(np.asarray(crops[0, ..., 0]), (61, 61), float(width))
        assert_float32_close(face, expected, depth=4 * 61, scale=255)


def test_out_of_focus_keeps_plain_crops_up_to_their_border():
    plain = jnp.full((4, 32, 32, 3), 90.0)
    assert_float32_close(appearance.defocus(jax.random.key(0), plain), plain, depth=4 * 32)


def test_little_light_is_a_factor_and_noise():
    crops = jnp.broadcast_to(jnp.asarray([200.0, 100.0, 100.0]), (200, 16, 16, 3))
    dark = np.asarray(jax.jit(appearance.darken)(jax.random.key(0), crops), np.float64)
    light = dark[..., 0].mean(axis=(1, 2)) / 200
    # The noise of 256 pixels has a deviation of 4 / 16 levels in their mean.
    error = 5 * 4 / 16 / 200
    assert 0.08 - error < light.min() < 0.1
    assert 0.9 < light.max() < 1 + error
    # Each doubling is as likely: half of the 200 faces, with a deviation of 7, have less than sqrt(0.08).
    assert 65 < np.sum(light < 0.08**0.5) < 135
    np.testing.assert_allclose(dark[..., 1].std(axis=(1, 2)), 4.0, rtol=0.3)  # Of 256 pixels: to 0.18.
    assert dark.min() >= 0


def test_occlusion_is_one_box_of_noise():
    crops = jnp.full((200, 32, 32, 3), -1.0)
    covered = np.asarray(jax.jit(appearance.occlude)(jax.random.key(0), crops))
    boxes = (covered != -1).all(axis=-1)
    heights, widths = boxes.any(axis=2).sum(axis=1), boxes.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(boxes.sum(axis=(1, 2)), heights * widths)
    assert 14 <= max(heights.max(), widths.max()) <= 17
    assert boxes.any(axis=0)[4:28, 4:28].all()
    noise = covered[boxes]
    # Of some 30000 bytes: their mean deviates by 0.4, their deviation by less.
    np.testing.assert_allclose([noise.mean(), noise.std()], [127.5, 73.9], rtol=0, atol=2)
