"""Coordinates of reinitialisation: published values, round trips, and gradients against finite differences."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.images import affine_maps, cropping
from jaxlm.landmarks import Scheme, conversion, geometry, load_scheme
from jaxlm.landmarks.schemes import FIVE, IBUG68, WFLW98
from jaxlm.models.dpr import coordinates, in_photos
from tolerances import assert_float32_close, float32_error

# A published face: its box, what the released network predicts for it, and both maps.
BOX = (431, 184, 675, 554)
THETA = ((0.857606, 0.078432, 0.028523), (-0.082339, 1.107675, -0.101218))
TO_CROP = ((0.520492, 0, -224.331967), (0, 0.343243, -63.156757))
TO_FACE = ((0.892754, 0.053842, -387.381854), (-0.085714, 0.760404, -128.883588))


def random_maps(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (np.eye(2, 3) + rng.uniform(-0.3, 0.3, (count, 2, 3))).astype(np.float32)


def random_points(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 256, (*shape, 2)).astype(np.float32)


warp = jax.jit(cropping.warp, static_argnames="size")


def assert_maps_close(ours: jax.Array, theirs: np.ndarray, depth: int) -> None:
    """Linear parts by their own size; shifts are differences of places in pixels, up to 675."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert_float32_close(ours[..., :2], theirs[..., :2], depth)
    assert_float32_close(ours[..., 2], theirs[..., 2], depth, scale=675)


def assert_fits_close(ours: jax.Array, theirs: np.ndarray, depth: int) -> None:
    """Linear parts are sums of both signs over one of squares; shifts are differences of places, up to 256 pixels."""
    assert_float32_close(ours[..., :2], theirs[..., :2], depth, scale=1)
    assert_float32_close(ours[..., 2], theirs[..., 2], depth, scale=256)


def many_points(tmp_path: pathlib.Path) -> Scheme:
    """A scheme of 106 points in the usual order of such sets, read from a file."""
    spans = {"left_brow": (33, 37), "left_eye": (52, 57), "right_brow": (38, 42), "right_eye": (58, 63)}
    spans |= {"nose": (43, 51), "mouth": (84, 103)}
    points = {part: list(range(first, last + 1)) for part, (first, last) in spans.items()}
    points["left_brow"] += range(64, 68)
    points["right_brow"] += range(68, 72)
    points["left_eye"] += [72, 73, 74]
    points["right_eye"] += [75, 76, 77]
    points["nose"] += range(78, 84)
    parts = "\n".join(f"{part} = {indices}" for part, indices in points.items())
    face = [[0.1 + 0.008 * i, (i * i % 31) / 31] for i in range(106)]
    file = tmp_path / "many.toml"
    file.write_text(f'name = "many"\ncount = 106\npupils = [[104], [105]]\nmean_face = {face}\n[parts]\n{parts}\n')
    return load_scheme(str(file))


def test_the_box_becomes_the_corners_of_the_crop():
    to_crop = coordinates.box_to_crop([BOX])
    corners = np.float32([[[431, 184], [431, 554], [675, 184]]])
    assert_float32_close(cropping.move(corners, to_crop)[0], [[0, 0], [0, 127], [127, 0]], depth=8, scale=675)


@pytest.mark.parametrize("roll", [0.0, 30.0, -135.0])
def test_a_turned_box_becomes_upright(roll: float):
    turn = geometry.rotation(roll, np.array([553.0, 369.0]))
    corners = geometry.transform(np.float64([[431, 184], [431, 554], [675, 184]]), turn)
    to_crop = in_photos.box_to_crop(np.float64([*BOX, roll]))
    np.testing.assert_allclose(geometry.transform(corners, to_crop), [[0, 0], [0, 127], [127, 0]], rtol=0, atol=1e-9)


def test_maps_of_the_host_are_those_of_the_device():
    assert_maps_close(coordinates.box_to_crop([BOX])[0], in_photos.box_to_crop(np.float64(BOX)), depth=4)
    theta = np.float64(THETA)
    assert_maps_close(coordinates.crop_to_face(jnp.asarray([THETA]))[0], in_photos.crop_to_face(theta), depth=4)


def test_published_maps():
    to_crop = coordinates.box_to_crop([BOX])
    to_face = affine_maps.compose(coordinates.crop_to_face(jnp.asarray([THETA])), to_crop)
    assert_maps_close(to_crop[0], TO_CROP, depth=4)
    assert_maps_close(to_face[0], TO_FACE, depth=12)


def test_maps_come_back():
    matrix, points = random_maps(5), random_points(5, 7)
    back = cropping.move(cropping.move(points, matrix), affine_maps.invert(matrix))
    # An inverse makes rounding larger by the condition of the map.
    assert_float32_close(back, points, depth=12, scale=256 * np.linalg.cond(matrix[..., :2]).max())
    thetas = coordinates.map_to_theta(coordinates.theta_to_map(matrix, 128), 128)
    assert_float32_close(thetas, matrix, depth=6, scale=3)


def test_compose_applies_the_first_map_first():
    first, second, points = random_maps(2)[:1], random_maps(2)[1:], random_points(1, 4)
    expected = cropping.move(cropping.move(points, first), second)
    assert_float32_close(cropping.move(points, affine_maps.compose(second, first)), expected, depth=8)


def test_residuals_come_back_and_zero_is_the_mean_face():
    points, mean = random_points(2, 98), coordinates.mean_face(WFLW98)
    residuals = coordinates.points_to_residual(points, mean, 256)
    assert_float32_close(coordinates.residual_to_points(residuals, mean, 256), points, depth=4)
    np.testing.assert_array_equal(coordinates.residual_to_points(np.zeros((1, 98, 2)), mean, 256)[0], 256 * mean)


def test_identity_theta_leaves_the_crop_unchanged():
    crop = np.random.default_rng(2).uniform(0, 255, (1, 128, 128, 3)).astype(np.float32)
    matrix = coordinates.theta_to_map(jnp.eye(2, 3)[None], coordinates.CROP_SIZE)
    np.testing.assert_array_equal(warp(crop, matrix, size=128), crop)


def test_sampler_is_black_outside():
    ones = np.ones((1, 8, 8, 3), np.float32)
    shifted = warp(ones, jnp.asarray([[[1.0, 0, 3], [0, 1, 0]]]), size=8)
    np.testing.assert_array_equal(shifted[0, :, :, 0], np.tile([0, 0, 0, 1, 1, 1, 1, 1], (8, 1)))


def test_similarity_fit_is_the_least_squares_solution():
    source, target = random_points(3, 9), random_points(3, 9)[:, ::-1]
    x, y = source[..., 0], source[..., 1]
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows = np.stack([np.stack([x, -y, one, zero], -1), np.stack([y, x, zero, one], -1)], axis=-2)
    fits = jax.jit(affine_maps.similarity_fit)(source, target)
    for i in range(3):
        (a, b, u, v), *_ = np.linalg.lstsq(rows[i].reshape(-1, 4).astype(np.float64), target[i].ravel(), rcond=None)
        assert_fits_close(fits[i], np.asarray([[a, -b, u], [b, a, v]]), depth=3 * 9)


def test_similarity_fit_agrees_with_geometry():
    source, target = random_points(2, 20), random_points(2, 20)[:, ::-1]
    expected = geometry.similarity_fit(source.astype(np.float64), target.astype(np.float64))
    assert_fits_close(jax.jit(affine_maps.similarity_fit)(source, target), expected, depth=3 * 20)


@pytest.mark.parametrize("scheme", [WFLW98, IBUG68], ids=["wflw98", "ibug68"])
def test_closed_form_undoes_a_similarity_of_the_mean_parts(scheme: Scheme):
    cosine, sine = 1.3 * np.cos(0.4), 1.3 * np.sin(0.4)
    moved = jnp.asarray([[[cosine, -sine, 20], [sine, cosine, -9]]], jnp.float32)
    parts, means = coordinates.facial_parts(scheme), coordinates.mean_parts(scheme)

    @jax.jit
    def undone(face: jax.Array) -> dict[str, jax.Array]:
        face = cropping.move(face, moved)
        thetas = coordinates.closed_form_thetas(face, scheme)
        return {
            part: cropping.move(face[:, parts[part]], coordinates.theta_to_map(theta, 128))
            for part, theta in thetas.items()
        }

    for part, points in undone(256 * coordinates.mean_face(scheme)[None]).items():
        # Parts are 40 pixels and more of the face's 256, and become 128.
        assert_float32_close(points[0], 128 * means[part], depth=3 * 20, scale=256 / 40 * 128)


def test_part_sizes(tmp_path: pathlib.Path):
    schemes = {"98": WFLW98, "68": IBUG68, "106": many_points(tmp_path)}
    sizes = {name: [len(i) for i in coordinates.facial_parts(scheme).values()] for name, scheme in schemes.items()}
    assert sizes == {"98": [18, 18, 9, 20], "68": [11, 11, 9, 20], "106": [19, 19, 15, 20]}


def test_parts_of_98_points_leave_the_contour():
    parts = coordinates.facial_parts(WFLW98)
    np.testing.assert_array_equal(parts["left_eye"], [*range(33, 42), *range(60, 68), 96])
    assert sorted(np.concatenate(list(parts.values()))) == list(range(33, 98))


def test_left_and_right_eye_mirror_each_other():
    for scheme in (WFLW98, IBUG68):
        parts = coordinates.facial_parts(scheme)
        assert {scheme.flip[i] for i in parts["left_eye"]} == set(parts["right_eye"])


def test_a_scheme_without_parts_is_refused():
    with pytest.raises(ValueError, match="scheme five has 1 points of the left eye"):
        coordinates.facial_parts(FIVE)
    with pytest.raises(ValueError, match="scheme five has no mean face"):
        coordinates.mean_face(FIVE)


def test_mean_face_of_68_points_is_that_of_98():
    face = coordinates.mean_face(WFLW98)
    assert np.linalg.norm(face[60] - face[72]) == pytest.approx(0.519760, abs=1e-6)  # Six decimals.
    np.testing.assert_array_equal(coordinates.mean_face(IBUG68), face[conversion(WFLW98, IBUG68)])


def test_mean_parts_fill_their_frames():
    for points in coordinates.mean_parts(WFLW98).values():
        low, high = points.min(axis=0), points.max(axis=0)
        assert (high - low).max() == pytest.approx(5 / 6, abs=float32_error(depth=4))
        assert_float32_close(low + high, [1, 1], depth=4)


def test_mean_shapes_are_the_published_ones(shared_data: pathlib.Path):
    face = np.load(shared_data / "dpr" / "mean_98_face.npy").reshape(98, 2)
    # Eight decimals, rounded to float32.
    np.testing.assert_allclose(coordinates.mean_face(WFLW98), face, rtol=0, atol=5e-8)
    with np.load(shared_data / "dpr" / "part_means.npz") as parts:
        for part, points in coordinates.mean_parts(WFLW98).items():
            assert_float32_close(points, parts[part], depth=4)


def test_a_mean_face_of_another_length_is_refused(tmp_path: pathlib.Path):
    file = tmp_path / "bad.toml"
    file.write_text('name = "bad"\ncount = 3\nmean_face = [[0.1, 0.2], [0.3, 0.4]]\n')
    with pytest.raises(ValueError, match=r"bad\.toml: scheme bad: `mean_face` holds 3 points"):
        load_scheme(str(file))


@pytest.mark.parametrize(
    ("theta", "degenerate"),
    [
        (THETA, False),
        (((0.01, 0, 0), (0, 0.01, 0)), True),
        (((1, 1, 0), (1, 1, 0)), True),
        (((-1, 0, 0), (0, 1, 0)), True),
        (((1, 0, np.nan), (0, 1, 0)), True),
        (((np.inf, 0, 0), (0, 1, 0)), True),
    ],
    ids=["published", "tiny", "flat", "mirrored", "nan", "infinite"],
)
def test_degenerate_thetas(theta: tuple, degenerate: bool):
    assert coordinates.is_degenerate(jnp.asarray([theta], jnp.float32)).tolist() == [degenerate]


def test_gradient_through_the_sampler():
    """A bilinear surface is sampled exactly, so that the loss is known in float64 at any map."""
    y, x = np.mgrid[:32, :32].astype(np.float64)
    weight = np.random.default_rng(3).normal(size=(12, 12))

    def surface(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 3 + 0.7 * x - 0.4 * y + 0.05 * x * y

    def exact(theta: np.ndarray) -> float:
        row, column = np.mgrid[:12, :12]
        grid = np.stack([column, row], axis=-1).reshape(-1, 2).astype(np.float64)
        sampled = surface(*geometry.transform(grid, geometry.invert(theta)).T)
        return float(np.sum(weight.ravel() * sampled))

    theta = np.array([[0.61, 0.09, -3.1], [-0.07, 0.66, -2.3]])
    image = np.repeat(surface(x, y)[None, :, :, None], 3, axis=-1).astype(np.float32)

    @jax.jit
    @jax.grad
    def gradient_at(theta: jax.Array) -> jax.Array:
        return jnp.sum(weight * cropping.warp(image, theta[None], 12)[0, :, :, 0])

    gradient = gradient_at(jnp.asarray(theta, jnp.float32))
    assert_float32_close(gradient, finite_differences(exact, theta), depth=12 * 12 + 20)


def test_gradient_through_the_point_transform_and_the_fit():
    points = random_points(5).astype(np.float64)
    weight = np.random.default_rng(4).normal(size=(5, 2))

    def exact(theta: np.ndarray) -> float:
        return float(np.sum(weight * geometry.transform(points, geometry.invert(theta))))

    def exact_fit(points: np.ndarray) -> float:
        return float(np.sum(weight[:2, :1] * geometry.similarity_fit(points, points[:, ::-1] ** 2 / 256)))

    def loss(theta: jax.Array) -> jax.Array:
        return jnp.sum(
            weight * cropping.move(jnp.asarray(points, jnp.float32)[None], affine_maps.invert(theta)[None])[0]
        )

    def fit_loss(points: jax.Array) -> jax.Array:
        return jnp.sum(weight[:2, :1] * affine_maps.similarity_fit(points, points[:, ::-1] ** 2 / 256))

    theta = np.array([[0.9, 0.1, 12.0], [-0.2, 1.1, -7.0]])
    gradient = jax.jit(jax.grad(loss))(jnp.asarray(theta, jnp.float32))
    assert_float32_close(gradient, finite_differences(exact, theta), depth=20)
    gradient = jax.jit(jax.grad(fit_loss))(jnp.asarray(points, jnp.float32))
    assert_float32_close(gradient, finite_differences(exact_fit, points), depth=3 * 5 + 20)


def finite_differences(function, at: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of a scalar function in float64."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        change = np.zeros_like(at)
        change[index] = step
        gradient[index] = (function(at + change) - function(at - change)) / (2 * step)
    return gradient
