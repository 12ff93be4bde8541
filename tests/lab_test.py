"""LAB: published counts, who tells whom, how maps are fused, whose gradient reaches the estimator."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

from jaxlm import models
from jaxlm.evaluation import cost
from jaxlm.landmarks.schemes import IBUG68, WFLW98
from jaxlm.models.lab import LAB, LABOutputs, messages
from jaxlm.models.lab.messages import GroupedConv, MessagePassing
from jaxlm.models.lab.regressor import BoundaryRegressor, FeatureFusion, fuse_input
from tolerances import assert_float32_close

DIRECTIONS = ("forward", "backward")
# Boundaries by their numbers in published tables.
NUMBERED = dict(zip(IBUG68.boundaries, range(1, 14), strict=True))


def random(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 1.0, shape).astype(np.float32)


def test_counts_and_products_of_the_published_network():
    """Published code has 384 and 480 parameters that it never uses, and counts of 98 points."""
    layers = cost.summarise(LAB(68, "ibug68", grey=True), 256).layers
    parts = {part: [layer for layer in layers if layer.path.startswith(part)] for part in ("estimator", "regressor")}
    parameters = {part: sum(layer.parameters for layer in rows) for part, rows in parts.items()}
    products = {part: sum(layer.products for layer in rows) for part, rows in parts.items()}
    assert parameters == {"estimator": 7_576_224 - 384, "regressor": 4_628_974 + 514 * 68 - 480}
    assert products == {"estimator": 18_568_445_952, "regressor": 281_977_856 - 2 * 30 * 256}


@pytest.mark.parametrize(("points", "published"), [(98, 4_679_346), (29, 4_643_880), (19, 4_638_740)])
def test_counts_of_the_regressor(points: int, published: int):
    init = functools.partial(BoundaryRegressor(points).init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 256, 256, 1)), jnp.zeros((1, 64, 64, 13)))
    assert cost.count_parameters(shapes["params"]) == published - 480


@pytest.mark.parametrize(("depth", "channels", "count"), [(3, 32, 13_178), (2, 64, 36_250), (1, 128, 87_194)])
def test_counts_of_the_fusions(depth: int, channels: int, count: int):
    init = functools.partial(FeatureFusion(depth).init, train=False)
    features, maps = jnp.zeros((1, 16, 16, channels)), jnp.zeros((1, 64, 64, 13))
    assert cost.count_parameters(jax.eval_shape(init, jax.random.key(0), features, maps)["params"]) == count


@pytest.mark.parametrize(("received", "count"), [(False, 510_496), (True, 837_056)])
def test_counts_of_message_passing(received: bool, count: int):
    assert cost.count_parameters(messages_shapes(256, received)["params"]) == count


def test_the_discriminator_is_drawn_apart_and_counts_as_published():
    model = LAB(68, "ibug68")
    init = functools.partial(model.init, train=False, method="discriminate")
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 64, 64, 13)))
    assert set(shapes["params"]) == {"discriminator"}
    assert cost.count_parameters(shapes["params"]) == 6_912_013


def test_edges_are_those_of_the_published_table_and_ten_levels_deep_in_both_directions():
    edges = messages.edges_of(IBUG68)
    table = {1: {2, 3, 7, 9, 13}, 13: {12}, 12: {11}, 11: {10}, 10: {5}, 5: {4}, 4: {7, 9}, 7: {6}, 9: {8}, 6: {2}}
    table |= {8: {3}}
    assert {(NUMBERED[a], NUMBERED[b]) for a, b in edges} == {(a, b) for a, others in table.items() for b in others}
    assert len(edges) == 16
    names = list(IBUG68.boundaries)
    forward = [{NUMBERED[name] for name in level} for level in messages.levels(names, edges)]
    assert forward == [{1}, {13}, {12}, {11}, {10}, {5}, {4}, {7, 9}, {6, 8}, {2, 3}]
    backward = [{NUMBERED[name] for name in level} for level in messages.levels(names, reversed_edges(edges))]
    assert len(backward) == 10
    assert backward[-1] == {1}
    assert len(messages.levels(WFLW98.boundaries, messages.edges_of(WFLW98))) == 10


def reversed_edges(edges: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    backward = messages.reverse(edges)
    assert {(b, a) for a, b in edges} == set(backward)
    return backward


def messages_shapes(width: int, received: bool) -> dict:
    init = functools.partial(MessagePassing(tuple(IBUG68.boundaries), messages.edges_of(IBUG68)).init, train=False)
    states = {(way, name): jnp.zeros((1, 8, 8, 16)) for way in DIRECTIONS for name in IBUG68.boundaries}
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 8, 8, width)), states if received else None)


def test_messages_reach_all_boundaries_downstream_and_no_others():
    """Weights are positive, so that nothing is lost on the way; a branch is 16 columns of the first kernel."""
    model = MessagePassing(tuple(IBUG68.boundaries), messages.edges_of(IBUG68))
    flat = traverse_util.flatten_dict(messages_shapes(4, received=True))
    drawn = {
        path: random(leaf.shape) / (leaf.shape[0] * leaf.shape[1] * leaf.shape[2] if path[-1] == "kernel" else 1)
        for path, leaf in flat.items()
    }
    drawn |= {path: np.zeros_like(leaf) for path, leaf in drawn.items() if path[-1] in ("mean", "bias")}
    features = random((1, 8, 8, 4), 1)
    states = {(way, name): random((1, 8, 8, 16), 2) for way in DIRECTIONS for name in IBUG68.boundaries}

    @jax.jit
    def maps(kernel: jax.Array, states: dict) -> jax.Array:
        variables = traverse_util.unflatten_dict(drawn | {("params", "branches", "kernel"): kernel})
        return model.apply(variables, features, states, train=False)[0]

    def changed(kernel: np.ndarray, states: dict) -> set[int]:
        difference = np.abs(maps(kernel, states) - before).max((0, 1, 2))
        return set((np.flatnonzero(difference) + 1).tolist())

    kernel = drawn["params", "branches", "kernel"]
    before = maps(kernel, states)
    assert np.isfinite(before).all()
    for direction, number, reached in (
        (0, 1, set(range(1, 14))),
        (0, 2, {2}),
        (0, 7, {7, 6, 2}),
        (1, 2, {2, 6, 7, 4, 5, 10, 11, 12, 13, 1}),
        (1, 1, {1}),
    ):
        other = kernel.copy()
        start = 16 * (13 * direction + number - 1)
        other[..., start : start + 16] *= 1.5
        assert changed(other, states) == reached
    other = states | {("forward", "left_lower_lid"): 2 * states["forward", "left_lower_lid"]}
    assert changed(kernel, other) == {7, 6, 2}


@pytest.mark.parametrize("rewritten", [True, False])
def test_a_grouped_convolution_is_one_of_each_group(rewritten: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jaxlm.models.layers.operators.rewritten", lambda: rewritten)
    x, kernel = random((2, 5, 5, 6)), random((3, 3, 2, 12), 1)
    ours = GroupedConv(4, groups=3, side=3).apply({"params": {"kernel": kernel}}, x)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for group in range(3):
        part = kernel[..., 4 * group : 4 * group + 4]
        expected = sum(
            padded[:, i : i + 5, j : j + 5, 2 * group : 2 * group + 2] @ part[i, j] for i in range(3) for j in range(3)
        )
        assert_float32_close(ours[..., 4 * group : 4 * group + 4], expected, depth=2 * 9)


def test_the_image_is_fused_with_each_map_and_with_none():
    images = random((2, 4, 4, 3))
    fused = np.asarray(fuse_input(images, np.ones((2, 4, 4, 13), np.float32)))
    np.testing.assert_array_equal(fused, np.tile(images, 14))
    fused = np.asarray(fuse_input(images, np.zeros((2, 4, 4, 13), np.float32)))
    np.testing.assert_array_equal(fused, np.concatenate([np.zeros((2, 4, 4, 39)), images], axis=-1))
    maps = np.zeros((2, 4, 4, 13), np.float32)
    maps[..., 5] = 2
    np.testing.assert_array_equal(fuse_input(images, maps)[..., 15:18], 2 * images)


def test_a_fusion_of_nothing_changes_no_feature_and_one_of_all_doubles_them():
    features, maps = random((1, 4, 4, 8)), random((1, 8, 8, 2), 1)
    fusion = FeatureFusion(1)
    shapes = jax.eval_shape(functools.partial(fusion.init, train=False), jax.random.key(0), features, maps)
    variables = jax.tree.map(lambda leaf: random(leaf.shape), shapes)
    apply = jax.jit(functools.partial(fusion.apply, train=False))
    # tanh of much is 1: of 6, but for 1e-5.
    np.testing.assert_allclose(apply(variables, features, maps), 2 * features, rtol=1e-5)
    variables["params"]["conv3"]["kernel"] *= 0
    np.testing.assert_array_equal(apply(variables, features, maps), features)


class TinyEstimator(nn.Module):
    """Stands in for the hourglasses, whose gradient takes long to compile."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        return (nn.Conv(13, (4, 4), strides=(4, 4))(images),)


class TinyRegressor(nn.Module):
    @nn.compact
    def __call__(self, images: jax.Array, maps: jax.Array, *, train: bool) -> jax.Array:
        return nn.Dense(136)(jnp.concatenate([images.mean((1, 2)), maps.mean((1, 2))], axis=-1))


def test_the_regressor_trains_the_estimator(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jaxlm.models.lab.network.StackedHourglass", lambda *_: TinyEstimator())
    monkeypatch.setattr("jaxlm.models.lab.network.BoundaryRegressor", lambda *_, **__: TinyRegressor())
    model = LAB(68, "ibug68")
    images = random((2, 8, 8, 3))
    shapes = jax.eval_shape(functools.partial(model.init, train=True), jax.random.key(0), images)
    assert set(shapes["params"]) == {"estimator", "regressor"}
    variables = jax.tree.map(lambda leaf: random(leaf.shape), shapes)
    loss = jax.jit(jax.grad(lambda v: jnp.sum(model.apply(v, images, train=True).coordinates)))
    gradient = loss(variables)["params"]
    reached = {name for name, tree in gradient.items() if any(map(np.any, jax.tree.leaves(tree)))}
    assert reached == {"estimator", "regressor"}


@pytest.mark.parametrize("size", [64, 128])
def test_sizes_and_types_of_outputs(size: int):
    options = {"stacks": 2, "width": 16, "depth": 2, "grey": True, "message_passing": False}
    model = models.build("lab", 98, options | {"scheme": "wflw98"}, jnp.bfloat16)
    images = jnp.zeros((2, size, size, 3))
    outputs, _ = jax.eval_shape(functools.partial(model.init_with_output, train=False), jax.random.key(0), images)
    assert isinstance(outputs, LABOutputs)
    assert [(maps.shape, maps.dtype) for maps in outputs.maps] == [((2, size // 4, size // 4, 15), jnp.float32)] * 2
    assert (outputs.coordinates.shape, outputs.coordinates.dtype) == ((2, 196), jnp.float32)


def test_schemes_that_lab_cannot_draw_are_named(tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match="LAB draws boundaries, and scheme five has none; list them"):
        models.build("lab", 5, {"scheme": "five"}, jnp.float32)
    with pytest.raises(ValueError, match="ibug68 has 68 points and the data 98; make it the same"):
        models.build("lab", 98, {"scheme": "ibug68"}, jnp.float32)
    file = tmp_path / "beard.toml"
    file.write_text('name = "beard"\ncount = 3\n[boundaries]\nbeard = [0, 1, 2]\n')
    with pytest.raises(ValueError, match="scheme beard has others: beard; rename them, or set message_passing = False"):
        models.build("lab", 3, {"scheme": str(file)}, jnp.float32)
    assert models.build("lab", 3, {"scheme": str(file), "message_passing": False}, jnp.float32).num_points == 3
