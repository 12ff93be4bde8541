"""The operators that are rewritten for CPUs: equal to XLA's own in value and gradient, with Flax's parameters."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from jaxlm.models import layers
from jaxlm.models.layers import operators
from tolerances import assert_float32_close, float32_error

Operator = Callable[..., jax.Array]

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
PAD_ONE = ((1, 1), (1, 1))


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ("centred", (np.float32([255, 127.5, 0]) - 127.5) / 128),
        ("signed", (1, 0, -1)),
        ("unit", (1, 0.5, 0)),
        ("imagenet", (0.515 / 0.229, 0.044 / 0.224, -0.406 / 0.225)),
        ("imagenet_grey", ((0.5925 - 0.485) / 0.229, (0.5925 - 0.456) / 0.224, (0.5925 - 0.406) / 0.225)),
    ],
)
def test_pixels_of_published_networks(pixels: str, expected: tuple[float, ...]):
    """Of red 255, green 127.5 and blue 0, whose brightness is 0.299 + 0.587 / 2 = 0.5925."""
    image = (np.float32([[[[255, 127.5, 0]]]]) - 127.5) / 128
    assert_float32_close(layers.rescale(image, pixels)[0, 0, 0], expected, depth=8)


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1, groups: int = 1) -> jax.Array:
    strides = (stride, stride)
    return lax.conv_general_dilated(
        x, kernel, strides, PAD_ONE, dimension_numbers=DIMENSIONS, feature_group_count=groups
    )


def convolve_same(x: jax.Array, kernel: jax.Array, stride: int = 1, groups: int = 1) -> jax.Array:
    strides = (stride, stride)
    return lax.conv_general_dilated(
        x, kernel, strides, "SAME", dimension_numbers=DIMENSIONS, feature_group_count=groups
    )


def conv_transpose(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=DIMENSIONS, transpose_kernel=True)


# Name: ours, XLA's own operator, shape of the kernel for C = 6 channels.
OPERATORS: dict[str, tuple[Operator, Operator, tuple[int, ...]]] = {
    "conv": (operators.conv_3x3, convolve, (3, 3, 6, 5)),
    "conv, stride 2": (
        functools.partial(operators.conv_3x3, stride=2),
        functools.partial(convolve, stride=2),
        (3, 3, 6, 5),
    ),
    "conv, 1 x 1": (operators.conv, convolve_same, (1, 1, 6, 5)),
    "depthwise": (operators.depthwise_conv_3x3, functools.partial(convolve, groups=6), (3, 3, 1, 6)),
    "depthwise, stride 2": (
        functools.partial(operators.depthwise_conv_3x3, stride=2),
        functools.partial(convolve, groups=6, stride=2),
        (3, 3, 1, 6),
    ),
    "depthwise, 5 x 5": (operators.depthwise_conv, functools.partial(convolve_same, groups=6), (5, 5, 1, 6)),
    "depthwise, 5 x 5, stride 2": (
        functools.partial(operators.depthwise_conv, stride=2),
        functools.partial(convolve_same, groups=6, stride=2),
        (5, 5, 1, 6),
    ),
    "transposed": (operators.conv_transpose_4x4, conv_transpose, (4, 4, 5, 6)),
}

MODULES: dict[str, tuple[nn.Module, nn.Module]] = {
    "conv": (layers.Conv3x3(5), nn.Conv(5, (3, 3), padding=1, use_bias=False)),
    "conv, stride 2": (layers.Conv3x3(5, stride=2), nn.Conv(5, (3, 3), strides=2, padding=1, use_bias=False)),
    "conv with bias": (layers.Conv3x3(5, use_bias=True), nn.Conv(5, (3, 3), padding=1)),
    "conv, 1 x 1": (layers.Conv1x1(5), nn.Conv(5, (1, 1), use_bias=False)),
    "conv, 1 x 1, with bias": (layers.Conv1x1(5, use_bias=True), nn.Conv(5, (1, 1))),
    "depthwise": (
        layers.DepthwiseConv3x3(),
        nn.Conv(6, (3, 3), padding=1, feature_group_count=6, use_bias=False),
    ),
    "transposed": (
        layers.ConvTranspose4x4(5),
        nn.ConvTranspose(5, (4, 4), strides=(2, 2), padding="SAME", transpose_kernel=True, use_bias=False),
    ),
}


def normal(shape: Sequence[int], seed: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32).astype(dtype)


@pytest.fixture(autouse=True)
def no_convolution_is_too_small_for_its_own_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "_LARGE", 0)


@functools.partial(jax.jit, static_argnums=0)
def values_and_gradients(operators: Sequence[Operator], *inputs: jax.Array) -> list[tuple[jax.Array, ...]]:
    """Of each operator the result and the gradient of a fixed weighting of it by each input; one program for all."""
    found = []
    for operator in operators:
        result, pullback = jax.vjp(operator, *inputs)
        weights = jnp.sin(jnp.arange(result.size, dtype=jnp.float32)).reshape(result.shape).astype(result.dtype)
        found.append((result, *pullback(weights)))
    return found


def assert_agree(ours: Operator, theirs: Operator, inputs: Sequence[np.ndarray], tolerance: float) -> None:
    """Values and gradients agree, relative to the largest number of each."""
    for result, expected in zip(*values_and_gradients((ours, theirs), *inputs), strict=True):
        assert result.dtype == expected.dtype
        expected = np.asarray(expected, np.float32)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(np.asarray(result, np.float32), expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("size", [(8, 10), (7, 6), (1, 3), (2, 2)], ids=str)
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_equal_those_of_xla_with_their_gradients(name: str, size: tuple[int, int]) -> None:
    ours, theirs, kernel = OPERATORS[name]
    assert_agree(ours, theirs, (normal((2, *size, 6), 0), normal(kernel, 1)), float32_error(depth=2 * 8 * 10))


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_map_over_an_axis(name: str) -> None:
    ours, theirs, kernel = OPERATORS[name]
    assert_agree(
        jax.vmap(ours),
        jax.vmap(theirs),
        (normal((3, 2, 4, 5, 6), 0), normal((3, *kernel), 1)),
        float32_error(depth=2 * 8 * 10),
    )


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_work_in_bfloat16(name: str) -> None:
    ours, theirs, kernel = OPERATORS[name]
    assert_agree(ours, theirs, (normal((2, 6, 6, 6), 0, "bfloat16"), normal(kernel, 1, "bfloat16")), 3e-2)  # Of 8 bits.


@pytest.mark.parametrize("size", [(8, 10), (7, 6), (2, 6)], ids=str)
def test_convolution_of_photos_with_stride_2(size: tuple[int, int]) -> None:
    ours, theirs, _ = OPERATORS["conv, stride 2"]
    assert_agree(ours, theirs, (normal((2, *size, 3), 0), normal((3, 3, 3, 5), 1)), float32_error(depth=2 * 8 * 10))
    wide = size[0] % 2 == 0
    program = str(jax.make_jaxpr(ours)(jnp.zeros((2, *size, 3)), jnp.zeros((3, 3, 3, 5))))
    assert ("12,5]" in program) == wide


def test_only_large_convolutions_have_a_kernel_gradient_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def own_gradient(channels: int) -> bool:
        gradient = jax.grad(lambda kernel, x: jnp.sum(operators.conv_3x3(x, kernel)))
        shapes = (3, 3, channels, 8), (2, 8, 8, channels)
        return "dot_general" in str(jax.make_jaxpr(gradient)(*map(jnp.zeros, shapes)))

    monkeypatch.setattr(operators, "_LARGE", 2 * 8 * 8 * 12 * 8)
    assert {channels: own_gradient(channels) for channels in (11, 12)} == {11: False, 12: True}
    monkeypatch.setattr(operators, "_LARGE", 2**30)
    assert {channels: own_gradient(channels) for channels in (16, 17)} == {16: False, 17: True}


@pytest.mark.parametrize("size", [(8, 10), (7, 6), (1, 3)], ids=str)
def test_max_pool_equals_that_of_flax_and_gives_ties_to_the_first(size: tuple[int, int]) -> None:
    pool = functools.partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2), padding=PAD_ONE)
    ties = np.random.default_rng(0).integers(-2, 2, (2, *size, 3)).astype(np.float32)
    for x in (normal((2, *size, 3), 1), ties):
        for result, expected in zip(*values_and_gradients((operators.max_pool_3x3, pool), x), strict=True):
            assert_float32_close(result, expected, depth=9)


@pytest.mark.parametrize("name", MODULES)
def test_modules_have_the_parameters_of_flax(name: str) -> None:
    ours, theirs = MODULES[name]
    x = normal((2, 7, 8, 6), 0)
    variables = jax.jit(ours.init)(jax.random.key(0), x)
    expected = jax.eval_shape(theirs.init, jax.random.key(0), x)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), variables) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), expected
    )
    result, wanted = jax.jit(lambda *inputs: (ours.apply(*inputs), theirs.apply(*inputs)))(variables, x)
    assert_float32_close(result, wanted, depth=6 * 9)


def test_transposed_convolution_is_that_of_pytorch() -> None:
    """Each input pixel adds its multiple of the kernel, two output pixels a step, with a border of one cut away."""
    x, kernel = normal((1, 3, 4, 2), 0), normal((2, 5, 4, 4), 1)
    expected = np.zeros((1, 2 * 3 + 2, 2 * 4 + 2, 5), np.float32)
    for row in range(3):
        for column in range(4):
            patch = np.einsum("bc,cdij->bijd", x[:, row, column], kernel)
            expected[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += patch
    result = jax.jit(operators.conv_transpose_4x4)(x, kernel.transpose(2, 3, 1, 0))
    assert_float32_close(result, expected[:, 1:-1, 1:-1], depth=2 * 16)


def test_weights_start_with_outputs_of_the_variance_that_relu_keeps() -> None:
    x = normal((1, 16, 16, 96), 0)
    for module in (layers.Conv3x3(96), layers.DepthwiseConv3x3(), layers.ConvTranspose4x4(96)):
        y = jax.jit(module.init_with_output)(jax.random.key(1), x)[0]
        assert np.var(y[:, 2:-2, 2:-2]) == pytest.approx(2.0, rel=0.25)  # Of one draw of 96 filters.


def primitives(operator: Operator, *inputs: np.ndarray) -> list[str]:
    """What XLA is asked to do; a new function each time, for JAX remembers what it has traced."""
    return [equation.primitive.name for equation in jax.make_jaxpr(lambda *x: operator(*x))(*inputs).jaxpr.eqns]


@pytest.mark.parametrize("name", OPERATORS)
def test_other_devices_run_the_operators_of_xla(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, kernel = OPERATORS[name]
    inputs = normal((1, 4, 4, 6), 0), normal(kernel, 1)
    if name != "conv, stride 2":  # Which has one form.
        assert primitives(ours, *inputs) != primitives(theirs, *inputs)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert primitives(ours, *inputs) == primitives(theirs, *inputs)


def test_other_devices_run_the_max_pool_of_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal((1, 4, 4, 6), 0)
    assert "reduce_window_max" not in primitives(operators.max_pool_3x3, x)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "reduce_window_max" in primitives(operators.max_pool_3x3, x)


def test_counts_are_those_of_the_plain_operators() -> None:
    shape = (1, 8, 8, 6)
    assert layers.Conv3x3(5, stride=2).count_macs(shape, (1, 4, 4, 5)) == (9 * 4 * 4 * 6 * 5, 0)
    assert layers.Conv3x3(5, use_bias=True).count_macs(shape, (1, 8, 8, 5)) == (9 * 8 * 8 * 6 * 5, 8 * 8 * 5)
    assert layers.Conv1x1(5).count_macs(shape, (1, 8, 8, 5)) == (8 * 8 * 6 * 5, 0)
    assert layers.Conv1x1(5, use_bias=True).count_macs(shape, (1, 8, 8, 5)) == (8 * 8 * 6 * 5, 8 * 8 * 5)
    assert layers.DepthwiseConv3x3(stride=2).count_macs(shape, (1, 4, 4, 6)) == (9 * 4 * 4 * 6, 0)
    assert layers.ConvTranspose4x4(5).count_macs(shape, (1, 16, 16, 5)) == (8 * 8 * 16 * 6 * 5, 0)
    assert layers.MaxPool3x3().count_macs(shape, (1, 4, 4, 6)) == (0, 8 * 8 * 6)
