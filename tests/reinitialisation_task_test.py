"""The losses of DPR's stages: what they are 0 for, whose gradient they pass, and the landmark weights (oracle D11)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import tasks
from jaxlm.config import ModelConfig, TaskConfig
from jaxlm.images import affine_maps, cropping
from jaxlm.landmarks import Scheme, load_scheme
from jaxlm.landmarks.schemes import IBUG68
from jaxlm.models.dpr import DPROutputs, coordinates
from jaxlm.tasks.reinitialisation import ReinitialisationTask
from jaxlm.tasks.reinitialisation_losses import affine_fit, landmark_weighted, landmark_weights, theta_loss
from tolerances import assert_float32_close, float32_error

STAGES = ("global_reinit", "global_regress", "local_reinit", "part_regressors", "joint")
SIZE = 256


@functools.cache
def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1.0, shape).astype(np.float32)


def task(stage: str, scheme: str = "ibug68", **options: str) -> ReinitialisationTask:
    model = ModelConfig("dpr_glsr", SIZE, {"stage": stage, "scheme": scheme, "local": "network"})
    return tasks.build(TaskConfig("reinitialisation", options), model)


def true_points(scheme: Scheme) -> jax.Array:
    """Two faces in wide crops: the mean face turned, stretched and moved."""
    maps = jnp.asarray([[[130, -30, 60], [30, 140, 55]], [[90, 20, 80], [-15, 110, 85]]], jnp.float32)
    return cropping.move(jnp.broadcast_to(coordinates.mean_face(scheme), (2, scheme.num_points, 2)), maps)


@functools.partial(jax.jit, static_argnames="name")
def perfect(name: str, points: jax.Array) -> DPROutputs:
    """What a model that makes no error says of faces with these points [B, N, 2] in wide crops."""
    scheme = load_scheme(name)
    mean = coordinates.mean_face(scheme)
    to_crop = jnp.broadcast_to(cropping.crop_affine(SIZE, coordinates.CROP_SIZE, 2.0), (len(points), 2, 3))
    in_crop = cropping.move(points, to_crop)
    theta = coordinates.map_to_theta(
        affine_maps.similarity_fit(in_crop, jnp.broadcast_to(coordinates.CROP_SIZE * mean, in_crop.shape)),
        coordinates.CROP_SIZE,
    )
    matrix = affine_maps.compose(coordinates.crop_to_face(theta), to_crop)
    in_face = cropping.move(points, matrix)
    part_thetas = coordinates.closed_form_thetas(in_face, scheme)
    parts, means = coordinates.facial_parts(scheme), coordinates.mean_parts(scheme)
    part_residuals = {
        part: coordinates.points_to_residual(
            cropping.move(in_face[:, parts[part]], coordinates.theta_to_map(part_thetas[part], 128)), means[part], 128
        )
        for part in parts
    }
    residuals = coordinates.points_to_residual(in_face, mean, coordinates.FACE_SIZE)
    return DPROutputs(theta, matrix, residuals, points, points, part_thetas, part_residuals)


@pytest.fixture(scope="module")
def scheme_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A scheme of eleven points as a user describes it, with pupils in no other part."""
    face = [[0.2, 0.3], [0.4, 0.3], [0.6, 0.3], [0.8, 0.3], [0.5, 0.5], [0.5, 0.6], [0.4, 0.8], [0.6, 0.8], [0.5, 0.95]]
    face += [[0.3, 0.31], [0.7, 0.31]]
    file = tmp_path_factory.mktemp("scheme") / "eleven.toml"
    file.write_text(
        f'name = "eleven"\ncount = 11\nflip = [[0, 3], [1, 2], [6, 7], [9, 10]]\npupils = [[9], [10]]\n'
        f"mean_face = {face}\n[parts]\n"
        "left_eye = [0, 1]\nright_eye = [2, 3]\nnose = [4, 5]\nmouth = [6, 7]\nchin = [8]\n"
    )
    return str(file)


@pytest.mark.parametrize("weighting", ["none", "sample", "batch"])
def test_a_perfect_model_has_no_loss(weighting: str):
    points = true_points(IBUG68)
    outputs = perfect("ibug68", points)

    @jax.jit
    def losses_of(outputs: DPROutputs) -> dict[str, jax.Array]:
        return {stage: task(stage, weighting=weighting).loss(outputs, points, jnp.ones((2, 68))) for stage in STAGES}

    for stage, loss in losses_of(outputs).items():
        # What is left of stages that predict maps is how far a similarity leaves these shapes from the mean ones; of
        # others, squares of rounding errors.
        rounding = float32_error(depth=3 * 20, scale=256 / 40)  # Parts are 40 pixels and more of the face's 256.
        assert (loss <= (0.01 if stage.endswith("reinit") else rounding**2)).all(), stage


def test_a_scheme_from_a_file_has_its_own_parts_and_normaliser(scheme_file: str):
    points = true_points(load_scheme(scheme_file))
    outputs = perfect(scheme_file, points)
    assert {part: residuals.shape for part, residuals in outputs.part_residuals.items()} == {
        "left_eye": (2, 3, 2),
        "right_eye": (2, 3, 2),
        "nose": (2, 2, 2),
        "mouth": (2, 2, 2),
    }

    @jax.jit
    def losses_of(outputs: DPROutputs) -> dict[str, jax.Array]:
        return {stage: task(stage, scheme_file).loss(outputs, points, jnp.ones((2, 11))) for stage in STAGES}

    worse = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.1) * random(0, *leaf.shape), outputs)
    losses, larger = losses_of(outputs), losses_of(worse)
    for stage in STAGES:
        assert (losses[stage] < 0.01).all(), stage  # What a similarity leaves of the parts' shapes.
        assert (larger[stage] > losses[stage]).all(), stage


@pytest.mark.parametrize(
    ("stage", "fields"),
    [
        ("global_reinit", {"theta"}),
        ("global_regress", {"residuals", "matrix"}),
        ("part_regressors", {"part_residuals", "part_thetas", "matrix"}),
        ("joint", {"points", "points_global"}),
    ],
)
def test_a_stage_supervises_what_it_trains(stage: str, fields: set[str]):
    points = true_points(IBUG68)
    outputs = jax.tree.map(lambda leaf: leaf + 0.1 * random(0, *leaf.shape), perfect("ibug68", points))
    gradient = jax.jit(jax.grad(lambda outputs: task(stage).loss(outputs, points, jnp.ones((2, 68))).sum()))(outputs)
    reached = {name for name, tree in gradient._asdict().items() if any(map(np.any, jax.tree.leaves(tree)))}
    assert reached == fields


def test_the_target_of_the_first_stage_is_the_least_squares_fit():
    """No other similarity, or affine map, of the same points has a smaller loss."""
    points = true_points(IBUG68)
    outputs = perfect("ibug68", points)
    in_crop = points - 64  # The box is the central half.
    mean = jnp.broadcast_to(128 * coordinates.mean_face(IBUG68), points.shape)
    affine = coordinates.map_to_theta(jax.jit(affine_fit)(in_crop, mean), 128)
    loss = jax.jit(task("global_reinit", target="affine").loss)
    # Squares of rounding errors of places up to 2.
    assert (loss(outputs._replace(theta=affine), points, None) <= float32_error(depth=2 * 68, scale=2) ** 2).all()
    similarity = jax.jit(task("global_reinit").loss)(outputs, points, None)
    moved = cropping.move(in_crop, coordinates.theta_to_map(outputs.theta, 128)) / 128
    left = np.mean(np.sum((np.asarray(moved) - coordinates.mean_face(IBUG68)) ** 2, -1), -1)
    # A square's error is twice the root times that of the root.
    assert_float32_close(similarity, left, depth=68 + 20, scale=2 * 2 * np.sqrt(left.max()))
    assert (similarity > 1e-4).all()


def test_theta_loss_in_numbers():
    theta, target = jnp.asarray([np.eye(2, 3)]), jnp.asarray([[[1, 0, 0.5], [0, 1, 0]]])
    points, mean = jnp.asarray([[[0.0, 0.0], [64.0, 128.0]]]), np.float32([[0, 0], [0.5, 0.8]])
    loss = jax.jit(functools.partial(theta_loss, mean=mean, size=128))(theta, target, points)
    assert_float32_close(loss, [0.25 + 0.04 / 2], depth=10)


def test_affine_fit_is_the_least_squares_solution():
    source, target = 9 * random(1, 3, 12, 2), 9 * random(2, 3, 12, 2)
    for ours, x, y in zip(jax.jit(affine_fit)(source, target), source, target, strict=True):
        theirs, *_ = np.linalg.lstsq(np.concatenate([x, np.ones((12, 1))], axis=1), y)
        assert_float32_close(ours, theirs.T, depth=3 * 12)


@pytest.mark.parametrize("weighting", ["none", "sample", "batch"])
def test_weights_have_mean_one_and_equal_errors_have_equal_weights(weighting: str):
    """Oracle D11."""
    weights = landmark_weights(random(0, 4, 68), weighting)
    assert_float32_close(weights.mean(axis=1), np.ones(4), depth=2 * 4 * 68)
    for error in (0.0, 0.3):
        equal = landmark_weights(jnp.full((4, 68), error), weighting)
        assert_float32_close(equal, np.ones(equal.shape), depth=2 * 4 * 68)


def test_a_doubled_error_weighs_more_in_its_face_or_in_all_of_them():
    """Oracle D11."""
    errors = random(0, 4, 10)
    doubled = errors.copy()
    doubled[1, 3] *= 2
    for weighting, faces in (("sample", [1]), ("batch", [0, 1, 2, 3])):
        change = landmark_weights(doubled, weighting) - landmark_weights(errors, weighting)
        assert (change[faces, 3] > 0.01).all()
        assert (np.delete(np.asarray(change)[faces], 3, axis=1) < 0).all()
    others = landmark_weights(doubled, "sample") - landmark_weights(errors, "sample")
    np.testing.assert_array_equal(np.delete(others, 1, axis=0), 0)
    assert_float32_close(landmark_weights(errors, "sample"), errors / errors.mean(1, keepdims=True), depth=12)


@pytest.mark.parametrize("weighting", ["sample", "batch"])
def test_no_gradient_passes_through_the_weights(weighting: str):
    """Oracle D11: the gradient is that of constant weights."""
    predicted, truth, distance = random(0, 3, 7, 2), random(1, 3, 7, 2), random(2, 3)
    errors = np.linalg.norm(predicted - truth, axis=-1) / distance[:, None]
    fixed = np.asarray(landmark_weights(errors, weighting))

    def with_fixed_weights(predicted: jax.Array) -> jax.Array:
        return jnp.mean(fixed * jnp.sum((predicted - truth) ** 2, -1) / distance[:, None] ** 2, axis=1)

    @jax.jit
    def both(predicted: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
        losses = functools.partial(landmark_weighted, truth=truth, distance=distance, weighting=weighting)
        return [jax.value_and_grad(lambda p, f=f: f(p).sum())(predicted) for f in (losses, with_fixed_weights)]

    (ours, gradient), (theirs, expected) = both(predicted)
    assert_float32_close(ours, theirs, depth=20)
    assert_float32_close(gradient, expected, depth=20)


def test_landmark_weighted_in_numbers_and_where_a_point_is_exact():
    predicted = jnp.asarray([[[3.0, 4.0], [0.0, 0.0]]])
    truth, distance = jnp.zeros((1, 2, 2)), jnp.asarray([10.0])
    assert_float32_close(landmark_weighted(predicted, truth, distance, "none"), [0.25 / 2], depth=8)
    total = jax.jit(jax.value_and_grad(lambda p: landmark_weighted(p, truth, distance, "sample").sum()))
    loss, gradient = total(predicted)
    assert_float32_close(loss, 2 * 0.25 / 2, depth=10)
    assert np.isfinite(gradient).all()
    with pytest.raises(AssertionError):
        landmark_weighted(predicted, truth[:, :1], distance)


def test_degenerate_maps_are_flagged_face_by_face():
    outputs = perfect("ibug68", true_points(IBUG68))
    flags = task("joint").degenerate
    np.testing.assert_array_equal(flags(outputs), [False, False])
    np.testing.assert_array_equal(flags(outputs._replace(theta=outputs.theta.at[1].set(0))), [False, True])
    mirrored = outputs.part_thetas | {"nose": outputs.part_thetas["nose"].at[0, 0].multiply(-1)}
    np.testing.assert_array_equal(flags(outputs._replace(part_thetas=mirrored)), [True, False])


def test_options_are_checked_and_the_models_are_taken():
    assert task("joint").context == 2.0
    with pytest.raises(ValueError, match="for models with scheme, context, stage, which cnn has not"):
        tasks.build(TaskConfig("reinitialisation"), ModelConfig("cnn"))
    with pytest.raises(ValueError, match="weighting of task reinitialisation cannot be 'ema'"):
        task("joint", weighting="ema")
