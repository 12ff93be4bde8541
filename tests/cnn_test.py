"""The vanilla CNN: published parameter counts, its layers, and how models are built by name."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxlm import models
from jaxlm.models.cnn import CNN
from jaxlm.models.layers.operators import max_pool_2x2
from tolerances import assert_float32_close, assert_float32_trees_close

NARROW = {"widths": (10, 20), "head_width": 12}


def shapes_of(size: int = 128, **options: object) -> dict:
    init = functools.partial(CNN(98, **options).init, train=False)
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, size, size, 3)))


def parameters(tree: dict) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def images(count: int = 4, size: int = 16) -> np.ndarray:
    return np.random.default_rng(3).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


def variables_of(model: CNN) -> dict:
    """Random variables of the right shapes; `init` would take seconds to compile."""
    rng = np.random.default_rng(4)
    shapes = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), images())
    bounds = {"params": (-0.3, 0.3), "batch_stats": (0.5, 1.5)}
    return {
        name: jax.tree.map(lambda leaf, name=name: rng.uniform(*bounds[name], leaf.shape).astype(leaf.dtype), tree)
        for name, tree in shapes.items()
    }


@functools.partial(jax.jit, static_argnames=("model", "train"))
def run(
    model: CNN, variables: dict, x: jax.Array, *, train: bool = False, temperature: float = 1.0
) -> tuple[jax.Array, dict]:
    """The output and the collections that changed or were sown."""
    return model.apply(variables, x, train=train, temperature=temperature, mutable=["batch_stats", "intermediates"])


@pytest.mark.parametrize(
    ("norm", "count"), [("none", 42_327_876), ("batch", 42_335_940), ("sepbn", 42_909_940)], ids=str
)
def test_published_parameter_counts(norm: str, count: int) -> None:
    assert parameters(shapes_of(norm=norm)["params"]) == count


@pytest.mark.parametrize("sets", [1, 2, 3, 4, 5])
def test_parameters_by_number_of_sets(sets: int) -> None:
    assert parameters(shapes_of(norm="sepbn", sets=sets)["params"]) == 42_884_548 + 8_464 * sets


def test_parameters_by_layer() -> None:
    params = shapes_of(norm="sepbn")["params"]
    convolutions = [1_792, 73_856, 295_168, 1_180_160, 4_719_616, 18_876_416]
    norms = [786, 2_340, 8_011, 29_337, 110_898, 430_692]
    for index in range(6):
        block = params[f"block{index + 1}"]
        assert parameters(block["conv"]) == convolutions[index]
        assert parameters(block["norm"]) == norms[index]
    assert parameters(params["fc1"]) == 16_779_264
    assert parameters(params["fc2"]) == 401_604
    assert len(params) == 8


def test_it_is_the_published_sequence_of_operations() -> None:
    model, x = CNN(5, norm="batch", **NARROW), images()
    variables = variables_of(model)
    params = variables["params"]

    @jax.jit
    def expected(y: jax.Array) -> jax.Array:
        for name in ("block1", "block2"):
            y = nn.Conv(len(params[name]["conv"]["bias"]), (3, 3)).apply({"params": params[name]["conv"]}, y)
            norm = {"params": params[name]["norm"], "batch_stats": variables["batch_stats"][name]["norm"]}
            y = nn.BatchNorm(use_running_average=True).apply(norm, y)
            y = nn.max_pool(jnp.where(y > 0, y, 0.01 * y), (2, 2), (2, 2))
        y = y.reshape(4, -1) @ params["fc1"]["kernel"] + params["fc1"]["bias"][None]
        return jnp.where(y > 0, y, 0.01 * y) @ params["fc2"]["kernel"] + params["fc2"]["bias"][None]

    assert_float32_close(run(model, variables, x)[0], expected(x), depth=27 + 90 + 320 + 12)


def test_initial_weights_are_kaiming_uniform_and_biases_zero() -> None:
    init = jax.jit(functools.partial(CNN(98, **NARROW).init, train=False))
    params = init(jax.random.key(0), images())["params"]
    for layer in (params["block1"]["conv"], params["block2"]["conv"], params["fc1"], params["fc2"]):
        bound = np.sqrt(6 / np.prod(layer["kernel"].shape[:-1]))
        assert 0.9 * bound < np.abs(layer["kernel"]).max() <= bound
        np.testing.assert_array_equal(layer["bias"], 0.0)


def test_without_norm_it_keeps_no_statistics_and_trains_as_it_evaluates() -> None:
    model, x = CNN(5, **NARROW), images()
    variables = variables_of(model)
    assert set(variables) == {"params"}
    np.testing.assert_array_equal(run(model, variables, x, train=True)[0], run(model, variables, x)[0])


@pytest.mark.parametrize("norm", ["batch", "sepbn"])
def test_norms_follow_the_convolution_with_momentum_0_9(norm: str) -> None:
    model, x = CNN(5, norm=norm, **NARROW), images()
    variables = variables_of(model)
    old = variables["batch_stats"]["block1"]["norm"]
    new = run(model, variables, x, train=True)[1]["batch_stats"]["block1"]["norm"]
    convolved = jax.jit(nn.Conv(10, (3, 3)).apply)({"params": variables["params"]["block1"]["conv"]}, x)
    assert_float32_close(new["mean"], 0.9 * old["mean"] + 0.1 * np.mean(convolved, (0, 1, 2)), depth=27 + 1024)
    assert_float32_close(new["var"], 0.9 * old["var"] + 0.1 * np.var(convolved, (0, 1, 2)), depth=27 + 1024)


def test_temperature_reaches_the_attention() -> None:
    model, x = CNN(5, norm="sepbn", **NARROW), images()
    variables = variables_of(model)
    even, sharp = (run(model, variables, x, temperature=value)[1]["intermediates"] for value in (1e9, 1.0))
    for name in ("block1", "block2"):
        weights = even[name]["norm"]["attention"][0]
        assert_float32_close(weights, np.full(weights.shape, 1 / 3), depth=6)
        assert np.abs(sharp[name]["norm"]["attention"][0] - 1 / 3).max() > 1e-4


@pytest.mark.parametrize("norm", ["none", "sepbn"])
def test_bfloat16_computes_near_float32_and_keeps_float32_state(norm: str) -> None:
    x = images()
    exact, fast = (CNN(5, norm=norm, dtype=dtype, **NARROW) for dtype in (jnp.float32, jnp.bfloat16))
    variables = variables_of(fast)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    outputs, expected = (run(model, variables, x, train=True)[0] for model in (fast, exact))
    assert outputs.dtype == jnp.float32
    assert 0 < np.abs(outputs - expected).max() < 0.05 * np.abs(expected).max()


def test_gradients_are_the_same_on_four_devices() -> None:
    model, x = CNN(5, norm="sepbn", **NARROW), images(8)
    variables = variables_of(model)

    @jax.jit
    def gradient(x: jax.Array) -> dict:
        def loss(params: dict) -> jax.Array:
            return jnp.abs(run(model, variables | {"params": params}, x, train=True)[0] - 1.0).mean()

        return jax.grad(loss)(variables["params"])

    expected = gradient(x)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    result = jax.block_until_ready(gradient(sharded))
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    assert_float32_trees_close(result, expected, depth=8 * 16 * 16, scale=largest)


def test_images_too_small_for_the_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="6 blocks need images of 64 px"):
        shapes_of(size=32)


def test_max_pool_equals_flax_with_its_gradient() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 8, 3)).astype(np.float32)
    weights = rng.normal(size=(2, 3, 4, 3)).astype(np.float32)

    @functools.partial(jax.jit, static_argnames="pool")
    def value_and_gradient(x: jax.Array, pool: Callable[[jax.Array], jax.Array]) -> tuple[jax.Array, jax.Array]:
        y, pullback = jax.vjp(pool, x)
        return y, *pullback(weights)

    flax_pool = functools.partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2))
    ours, theirs = (value_and_gradient(x, pool) for pool in (max_pool_2x2, flax_pool))
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_build_fills_in_options_from_json() -> None:
    model = models.build("cnn", 68, {"widths": [4, 8], "norm": "sepbn", "sets": 2}, "bfloat16")
    assert model == CNN(68, widths=(4, 8), norm="sepbn", sets=2, dtype="bfloat16")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cmn", {}, r"'cmn'.*Did you mean cnn\?"),
        ("cnn", {"width": [4]}, r"'width'.*Did you mean widths\?"),
        (
            "cnn",
            {"norm": "sebpn"},
            r"norm of model cnn cannot be 'sebpn'. Did you mean sepbn\? Known: none, batch",
        ),
        ("cnn", {"num_points": 5}, "num_points"),
    ],
)
def test_build_suggests_what_was_meant(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.build(name, 68, options, "float32")
