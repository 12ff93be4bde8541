"""The heat-map ShuffleNetV2: published counts, its sequence of operations, and how it starts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxlm import models
from jaxlm.evaluation.cost import summarise
from jaxlm.models.shufflenetv2_heatmap import ShuffleNetV2HeatMap, ShuffleUnit, interleave_channels
from tolerances import assert_float32_close

NARROW = {"width": 0.1}


def shapes_of(size: int = 384, **options: object) -> dict:
    init = functools.partial(ShuffleNetV2HeatMap(68, **options).init, train=False)
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, size, size, 3)))


def parameters(tree: dict) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def images(count: int = 4, height: int = 32, width: int = 32) -> np.ndarray:
    return np.random.default_rng(3).uniform(-2, 2, (count, height, width, 3)).astype(np.float32)


@functools.cache
def variables_of(model: ShuffleNetV2HeatMap) -> dict:
    """Drawn in numpy, which compiles nothing; the last convolution, whose size counts, is as `init` starts it."""
    init = functools.partial(model.init, jax.random.key(0), images(), train=False)
    rng, starts = np.random.default_rng(0), {"scale": 1.0, "var": 1.0}

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if path[-1].key == "kernel":
            return (rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))).astype(np.float32)
        return np.full(leaf.shape, starts.get(path[-1].key, 0.0), np.float32)

    variables = jax.tree_util.tree_map_with_path(draw, jax.eval_shape(init))
    variables["params"]["head_conv4"] = jax.jit(lambda: init()["params"]["head_conv4"])()
    return variables


@functools.partial(jax.jit, static_argnames="model")
def run(model: nn.Module, variables: dict, x: jax.Array) -> jax.Array:
    return model.apply(variables, x, train=False)


@functools.cache
def trained() -> tuple[jax.Array, dict, dict]:
    """Maps of a network as it starts, the statistics afterwards, and the gradient of the maps' distance from 1."""
    model, x = ShuffleNetV2HeatMap(5, **NARROW), images()

    @jax.jit
    def step(variables: dict) -> tuple[jax.Array, dict, dict]:
        def error(params: dict) -> tuple[jax.Array, tuple[jax.Array, dict]]:
            maps, new = model.apply(variables | {"params": params}, x, train=True, mutable=["batch_stats"])
            return jnp.square(maps - 1.0).mean(), (maps, new["batch_stats"])

        gradient, (maps, statistics) = jax.grad(error, has_aux=True)(variables["params"])
        return maps, statistics, gradient

    return jax.device_get(step(variables_of(model)))


def test_published_counts() -> None:
    total = summarise(models.build("shufflenetv2_heatmap", 68, {}, "float32"), 384)
    assert total.parameters == 3_194_556
    assert total.megabytes == pytest.approx(12.778224)
    assert total.products == 7_999_582_464
    # What the convention of ptflops adds: activations, normalisations and the pool.
    assert total.macs == 8_034_884_352


def test_published_parameters_by_layer() -> None:
    params = shapes_of()["params"]

    def count(*prefixes: str) -> int:
        return parameters({name: tree for name, tree in params.items() if name.startswith(prefixes)})

    assert count("stem_conv1", "stem_norm1") == 1_856
    assert count("stem_conv2", "stem_norm2") == 13_872
    assert count("stage2") == 30_192
    assert count("stage3") == 244_180
    assert count("head_conv1", "head_norm1") == 1_203_336
    assert count("head_conv2", "head_norm2") == 1_327_616
    assert count("head_conv3", "head_norm3") == 295_168
    assert count("head_conv4") == 78_336
    norms = [path for path, _ in jax.tree.leaves_with_path(params) if path[-1].key == "scale"]
    assert len(norms) == 59 - 14  # The published 59 include the stage that is never called.


def test_maps_are_a_quarter_of_the_image_rows_first() -> None:
    shape = functools.partial(ShuffleNetV2HeatMap(68).apply, train=False)
    assert jax.eval_shape(shape, shapes_of(), jnp.zeros((2, 384, 384, 3))).shape == (2, 96, 96, 68)
    assert jax.eval_shape(shape, shapes_of(), jnp.zeros((1, 256, 128, 3))).shape == (1, 64, 32, 68)


def test_sizes_that_16_does_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sides that 16 divides, found shape \(1, 380, 380, 3\)"):
        shapes_of(380)


@pytest.mark.parametrize("width", [0.01, 0.33, 0.5, 1.5])
def test_width_scales_the_channels_and_keeps_them_even(width: float) -> None:
    params = shapes_of(32, width=width)["params"]
    for name, count in (("stem_conv1", 64), ("stem_conv2", 24), ("head_conv3", 128)):
        channels = params[name]["kernel"].shape[-1]
        assert channels % 2 == 0
        assert abs(channels - width * count) <= 1 or channels == 2
    assert params["head_conv4"]["kernel"].shape[-1] == 68


def test_channels_are_shuffled_by_two() -> None:
    left, right = np.arange(4.0)[None], np.arange(10.0, 14.0)[None]
    np.testing.assert_array_equal(interleave_channels(left, right), [[0, 10, 1, 11, 2, 12, 3, 13]])


@pytest.mark.parametrize("stride", [1, 2])
def test_unit_is_the_published_sequence_of_operations(stride: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 6, 8, 8)).astype(np.float32)
    unit = ShuffleUnit(8, stride, train=True, dtype=jnp.float32)
    params = jax.jit(unit.init)(jax.random.key(0), x)["params"]

    def convolve(y: jax.Array, name: str, stride: int = 1) -> jax.Array:
        kernel = params[name]["kernel"]
        size, groups = kernel.shape[0], y.shape[-1] // kernel.shape[2]
        layer = nn.Conv(kernel.shape[3], (size, size), stride, size // 2, feature_group_count=groups, use_bias=False)
        y = layer.apply({"params": params[name]}, y)
        return (y - y.mean((0, 1, 2), keepdims=True)) / jnp.sqrt(y.var((0, 1, 2), keepdims=True) + 1e-5)

    @jax.jit
    def expected(x: jax.Array) -> jax.Array:
        left, right = (x, x) if stride == 2 else (x[..., :4], x[..., 4:])
        if stride == 2:
            left = nn.relu(convolve(convolve(left, "left_conv1", 2), "left_conv2"))
        right = nn.relu(convolve(right, "right_conv1"))
        right = nn.relu(convolve(convolve(right, "right_conv2", stride), "right_conv3"))
        return jnp.stack([left[..., 0], right[..., 0], left[..., 1], right[..., 1]], -1)

    result = jax.jit(functools.partial(unit.apply, mutable=["batch_stats"]))({"params": params}, x)[0]
    assert result.shape == (2, 6 // stride, 8 // stride, 8)
    assert_float32_close(result[..., :4], expected(x), depth=4 + 9 + 4 + 3 * 96)


def test_normalisation_has_momentum_0_9() -> None:
    x, variables = images(), variables_of(ShuffleNetV2HeatMap(5, **NARROW))
    new = trained()[1]["stem_norm1"]
    layer = nn.Conv(6, (3, 3), 2, 1, use_bias=False)
    convolved = jax.jit(layer.apply)({"params": variables["params"]["stem_conv1"]}, x)
    assert_float32_close(new["mean"], 0.1 * np.mean(convolved, (0, 1, 2)), depth=27 + 1024)
    assert_float32_close(new["var"], 0.9 + 0.1 * np.var(convolved, (0, 1, 2)), depth=27 + 1024)


def test_published_form_ends_in_a_relu() -> None:
    x = images()
    published, logits = (ShuffleNetV2HeatMap(5, relu_output=relu, **NARROW) for relu in (True, False))
    variables = variables_of(published)
    maps, raw = (run(model, variables, x) for model in (published, logits))
    assert maps.shape == (4, 8, 8, 5)
    assert raw.min() < 0
    assert_float32_close(maps, np.maximum(raw, 0), depth=1000)


def test_it_starts_near_empty_maps_with_every_parameter_in_use() -> None:
    maps, _, gradient = trained()
    assert 0 < np.abs(maps).max() < 0.2
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


def test_bfloat16_computes_near_float32_and_keeps_float32_state() -> None:
    x = images()
    exact, fast = (ShuffleNetV2HeatMap(5, dtype=dtype, **NARROW) for dtype in (jnp.float32, jnp.bfloat16))
    variables = variables_of(exact)
    shapes = jax.eval_shape(functools.partial(fast.init, train=False), jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {np.dtype(np.float32)}
    outputs, expected = (run(model, variables, x) for model in (fast, exact))
    assert outputs.dtype == jnp.float32
    assert 0 < np.abs(outputs - expected).max() < 0.1 * np.abs(expected).max()
