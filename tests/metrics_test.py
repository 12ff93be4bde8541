"""Metrics against hand-made numbers and against the published metrics of a 300-W system."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.data_pipelines.faces import yaw_masks
from jaxlm.evaluation import error_table
from jaxlm.landmarks import Scheme
from jaxlm.landmarks.schemes import FIVE, IBUG68, WFLW98
from jaxlm.tasks import metrics
from tolerances import assert_float32_close, assert_float32_trees_close

SQUARE = Scheme(name="square", flip=(1, 0, 3, 2), eye_corners=(0, 1), pupils=((0, 2), (1, 3)))

face_nme = jax.jit(metrics.face_nme)
summarise = jax.jit(metrics.summarise)
ced = jax.jit(metrics.ced)


def _all(nme: jax.Array) -> jax.Array:
    return jnp.ones(nme.shape, bool)


@pytest.fixture(scope="module")
def oracle(shared_data: pathlib.Path) -> tuple[dict[str, np.ndarray], dict]:
    folder = shared_data / "metrics_oracle"
    with np.load(folder / "300wpublic.npz") as arrays:
        return dict(arrays), json.loads((folder / "300wpublic.json").read_text())


def _oracle_nme(arrays: dict[str, np.ndarray], kind: str) -> jax.Array:
    truth = jnp.asarray(arrays["truth"], jnp.float32)
    distance = metrics.normaliser_distance(truth, IBUG68, kind)
    return face_nme(jnp.asarray(arrays["prediction"], jnp.float32), truth, distance)


def test_published_numbers_of_300w(oracle):
    arrays, published = oracle
    nme = _oracle_nme(arrays, "inter_ocular")
    summary = summarise(nme, _all(nme), (0.08, 0.10))
    assert summary.count == published["count"]
    depth = 68 + 10 + len(nme)
    assert_float32_close(100 * summary.nme, published["nme_interocular_percent"], depth)
    assert_float32_close(100 * summary.failure_rate, list(published["fr_percent_at"].values()), depth)
    assert_float32_close(summary.auc, list(published["auc_at"].values()), depth)
    box = _oracle_nme(arrays, "box")
    assert_float32_close(100 * box.mean(), published["nme_landmark_bbox_percent"], depth)


def test_published_numbers_of_300w_subsets(oracle):
    arrays, published = oracle
    nme = _oracle_nme(arrays, "inter_ocular")
    for subset, (count, percent) in published["subsets_interocular"].items():
        mask = jnp.zeros(nme.shape, bool).at[arrays[f"subset_{subset}"]].set(True)
        summary = summarise(nme, mask, (0.1,))
        assert summary.count == count
        assert_float32_close(100 * summary.nme, percent, depth=68 + 10 + count)


@pytest.mark.parametrize(("kind", "expected"), [("inter_ocular", 6.0), ("inter_pupil", 10.0), ("image", 64.0)])
def test_normalisers_of_a_hand_made_face(kind, expected):
    truth = jnp.asarray([[[2, 1], [8, 1], [0, 5], [14, 5]]], jnp.float32)
    assert_float32_close(metrics.normaliser_distance(truth, SQUARE, kind, 64), [expected], depth=6)


def test_box_normaliser_is_the_geometric_mean_of_the_sides():
    truth = jnp.asarray([[[1, 1], [10, 3], [4, 5], [2, 2]]], jnp.float32)
    assert_float32_close(metrics.normaliser_distance(truth, SQUARE, "box"), [6.0], depth=6)


@pytest.mark.parametrize("scheme", [WFLW98, IBUG68])
def test_normalisers_use_the_eyes_of_the_scheme(scheme):
    truth = jnp.zeros((2, scheme.num_points, 2)).at[:, scheme.eye_corners[1], 0].set(jnp.asarray([3.0, 4.0]))
    assert_float32_close(metrics.normaliser_distance(truth, scheme, "inter_ocular"), [3, 4], depth=4)
    pupils = jnp.zeros((1, scheme.num_points, 2)).at[:, np.asarray(scheme.pupils[0]), 1].set(7.0)
    assert_float32_close(metrics.normaliser_distance(pupils, scheme, "inter_pupil"), [7], depth=12)


def test_unusable_normalisers_say_what_to_do():
    five = jnp.zeros((1, 5, 2))
    with pytest.raises(ValueError, match=r"eye_corners.*five.*inter_pupil"):
        metrics.normaliser_distance(five, FIVE, "inter_ocular")
    with pytest.raises(ValueError, match=r"pupils.*blank"):
        metrics.normaliser_distance(five, Scheme(name="blank", flip=FIVE.flip), "inter_pupil")
    with pytest.raises(ValueError, match="image_size"):
        metrics.normaliser_distance(five, FIVE, "image")
    with pytest.raises(ValueError, match=r"unknown normaliser 'ocular'; known: inter_ocular"):
        metrics.normaliser_distance(five, FIVE, "ocular")
    with pytest.raises(AssertionError):
        metrics.normaliser_distance(five, IBUG68, "box")


def test_face_nme_counts_all_points_unless_told():
    truth = jnp.zeros((1, 3, 2))
    predicted = jnp.asarray([[[3, 4], [0, 1], [0, jnp.nan]]], jnp.float32)
    distance = jnp.asarray([10.0])
    visible = jnp.asarray([[1, 1, 0]])
    assert jnp.isnan(face_nme(predicted, truth, distance)[0])
    assert_float32_close(face_nme(predicted, truth, distance, visible), [0.3], depth=8)
    assert_float32_close(face_nme(predicted[:, :2], truth[:, :2], distance), [0.3], depth=8)


def test_face_nme_does_not_broadcast():
    with pytest.raises(AssertionError):
        face_nme(jnp.zeros((4, 5, 2)), jnp.zeros((1, 5, 2)), jnp.ones(4))
    with pytest.raises(AssertionError):
        face_nme(jnp.zeros((4, 5, 2)), jnp.zeros((4, 5, 2)), jnp.ones((4, 1)))


@pytest.mark.parametrize(("failures", "percent"), [(171, 6.84), (154, 6.16)])
def test_failure_rate_of_published_counts(failures, percent):
    nme = jnp.where(jnp.arange(2500) < failures, 0.11, 0.05)
    assert_float32_close(100 * summarise(nme, _all(nme), (0.1,)).failure_rate, [percent], depth=4)


@pytest.mark.parametrize("error", [0.0, 0.03, 0.099])
def test_auc_of_a_constant_error(error):
    nme = jnp.full(7, error)
    assert_float32_close(summarise(nme, _all(nme), (0.1,)).auc, [1 - error / 0.1], depth=10, scale=1)


def test_auc_is_the_area_under_the_ced():
    nme = jnp.asarray(np.random.default_rng(0).gamma(4, 0.015, 500), jnp.float32)
    grid = np.linspace(0, 0.08, 20001)
    area = np.trapezoid(ced(nme, _all(nme), grid), grid) / 0.08  # To a step of the grid, 1 / 20000, for each face.
    np.testing.assert_allclose(summarise(nme, _all(nme), (0.08,)).auc, [area], rtol=0, atol=1e-5)


def test_an_error_at_the_threshold_is_no_failure():
    nme = jnp.asarray([0.05, 0.1, 0.2])
    assert_float32_close(summarise(nme, _all(nme), (0.1,)).failure_rate, [1 / 3], depth=4)
    assert_float32_close(ced(nme, _all(nme), (0.04, 0.05, 0.1, 0.3)), [0, 1 / 3, 2 / 3, 1], depth=4)


def test_a_face_without_a_number_is_a_failure():
    nme = jnp.asarray([0.05, jnp.nan])
    summary = summarise(nme, _all(nme), (0.1,))
    np.testing.assert_array_equal(summary.failure_rate, [0.5])
    assert jnp.isnan(summary.nme)


def test_padding_changes_nothing():
    nme = jnp.asarray(np.random.default_rng(1).gamma(4, 0.015, 100), jnp.float32)
    padded = jnp.concatenate([nme, jnp.asarray([jnp.nan, jnp.inf, 0.0, 0.5])])
    mask = jnp.arange(104) < 100
    whole, part = summarise(nme, _all(nme), (0.05, 0.1)), summarise(padded, mask, (0.05, 0.1))
    assert part.count == 100
    assert_float32_trees_close(whole, part, depth=100)
    np.testing.assert_array_equal(ced(nme, _all(nme), (0.05,)), ced(padded, mask, (0.05,)))


def test_jitted_metrics_equal_eager_ones():
    rng = np.random.default_rng(2)
    truth = jnp.asarray(rng.uniform(0, 128, (9, 98, 2)), jnp.float32)
    predicted = truth + jnp.asarray(rng.normal(0, 2, (9, 98, 2)), jnp.float32)
    mask = jnp.arange(9) < 7

    def evaluate(predicted, truth, mask):
        distance = metrics.normaliser_distance(truth, WFLW98, "inter_ocular")
        return metrics.summarise(metrics.face_nme(predicted, truth, distance), mask, (0.08, 0.1))

    eager, jitted = evaluate(predicted, truth, mask), jax.jit(evaluate)(predicted, truth, mask)
    assert_float32_trees_close(eager, jitted, depth=98 + 9)


def test_float32_is_enough_for_a_large_set():
    nme = np.random.default_rng(3).gamma(4, 0.015, 50_000).astype(np.float32)
    exact = nme.astype(np.float64)
    summary = summarise(jnp.asarray(nme), jnp.ones(nme.shape, bool), jnp.asarray([0.1]))
    # Half of the last decimal of a table: three of a percentage, four of an area.
    np.testing.assert_allclose(summary.nme, exact.mean(), rtol=0, atol=0.5e-5)
    area = np.maximum(0, np.float32(0.1) - exact).mean() / 0.1
    np.testing.assert_allclose(summary.auc, [area], rtol=0, atol=0.5e-4)
    assert_float32_close(summary.failure_rate, [(nme > np.float32(0.1)).mean()], depth=2)


def test_yaw_bins_of_aflw2000(shared_data):
    """The re-annotated points scored against the original ones, by the published poses."""
    labels = shared_data / "aflw2000" / "labels_only"
    truth = np.load(labels / "AFLW2000-3D.pts68.npy")[:, :2].transpose(0, 2, 1)
    points = np.load(labels / "AFLW2000-3D-Reannotated.pts68.npy").transpose(0, 2, 1)
    distance = metrics.normaliser_distance(jnp.asarray(truth), IBUG68, "box")
    nme = np.asarray(metrics.face_nme(jnp.asarray(points), jnp.asarray(truth), distance))
    bins = yaw_masks(np.load(labels / "AFLW2000-3D.pose.npy"))
    rows = error_table.error_rows(nme, {"full": np.ones(2000, bool)} | bins, [0.1])
    assert [row.faces for row in rows] == [2000, 1312, 383, 305]
    # Three decimals are published.
    np.testing.assert_allclose([row.nme for row in rows], [3.088, 2.812, 3.234, 4.096], rtol=0, atol=5e-4)
    np.testing.assert_allclose(error_table.mean_of_bins(rows).nme, 3.381, rtol=0, atol=5e-4)
