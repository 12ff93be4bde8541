"""ONNX graphs of our writer: every rule against JAX for any batch, and what makes graphs small."""

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.typing import DTypeLike

from jaxlm.checkpoints import Trained, open_model, shipped
from jaxlm.interop import programs
from jaxlm.interop.onnx_writer import RULES, UnknownPrimitiveError, convert
from jaxlm.models.layers import operators
from tolerances import assert_float16_close, assert_float32_close

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

IMAGES = (8, 6, 3)
RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.normal(size=(3, 3, 3, 4)).astype(np.float32)
MATRIX = RANDOM.normal(size=(6, 5)).astype(np.float32)

CHANNELS = np.float32([1, 2, 3, 4])[None, None, None]


class Outputs(NamedTuple):
    result: Any
    second: Any = None


def written(function: Callable[..., Any], shape: tuple[int, ...]) -> Any:
    """The model of a function of float32 arrays with one result."""
    return convert(lambda x: Outputs(function(x)), shape, np.float32, "x")


def run(model: Any, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def assert_same(function: Callable[..., Any], shape: tuple[int, ...]) -> Counter[str]:
    """Asserts that the model of a function gives JAX's results for one input and for several; counts its nodes."""
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    model = written(function, shape)
    for count in (1, 3):
        expected, found = np.asarray(function(jnp.asarray(x[:count]))), run(model, x[:count])
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        if expected.dtype == np.float32:
            assert_float32_close(found, expected, depth=100)  # Sums of 72 products, the longest, and what follows.
        else:
            np.testing.assert_array_equal(found, expected)
    return Counter(node.op_type for node in model.graph.node)


def conv(x: jax.Array, kernel: np.ndarray = KERNEL, stride: int = 1, **options: Any) -> jax.Array:
    padding = options.pop("padding", "SAME")
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=numbers, **options)


def sampled(x: jax.Array) -> jax.Array:
    """Pixels of each image at places that are computed from it."""
    rows, columns = (jnp.clip((x[..., channel] * 2 + 3).astype(jnp.int32), 0, 5) for channel in (0, 1))
    return jax.vmap(lambda image, row, column: image.at[row, column].get(mode="promise_in_bounds"))(x, rows, columns)


def at_the_peak(x: jax.Array) -> jax.Array:
    """The row of each channel in which its first column is largest."""
    return jnp.take_along_axis(x, jnp.argmax(x[:, :, 0], axis=1)[:, None, None], axis=1)


def upsampled(x: jax.Array) -> jax.Array:
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return x.reshape(batch, 2 * height, 2 * width, channels)


CASES: dict[str, tuple[Callable[[jax.Array], jax.Array], tuple[int, ...]]] = {
    "abs": (jnp.abs, (4,)),
    "add and mul of constants": (lambda x: 2 * x + np.float32([[[0, 1, 2, 3]]]), (3, 4)),
    "and, or, not": (lambda x: ~((x > 0) & (x < 1)) | (x < -1), (9,)),
    "argmax": (lambda x: jnp.argmax(x, axis=1), IMAGES),
    "broadcasts of both": (lambda x: x[:, :, None] * x[:, None, :], (4,)),
    "broadcast as a result": (lambda x: jnp.broadcast_to(x[:, :, None], (*x.shape, 3)), (4,)),
    "a constant as a result": (lambda x: jnp.ones((x.shape[0], 2)), (4,)),
    "concatenate": (lambda x: jnp.concatenate([x, 2 * x, jnp.ones_like(x)], axis=-1), IMAGES),
    "convolution": (conv, IMAGES),
    "convolution, strides and no borders": (lambda x: conv(x, stride=2, padding="VALID"), IMAGES),
    "convolution by depth": (lambda x: conv(x, KERNEL[:, :, :1, :3], feature_group_count=3), IMAGES),
    "convolution, dilated": (lambda x: conv(x, rhs_dilation=(2, 2)), IMAGES),
    "convolution, transposed": (
        lambda x: operators.conv_transpose_4x4(x, np.resize(KERNEL, (4, 4, 5, 3))),
        IMAGES,
    ),
    "div": (lambda x: x / (x[:, :1] + 9), (4,)),
    "dot_general of a constant": (lambda x: x @ MATRIX, (4, 6)),
    "dot_general along the height": (lambda x: jnp.einsum("bhwc,hk->bkwc", conv(x), np.resize(MATRIX, (8, 5))), IMAGES),
    "dot_general along the width": (lambda x: jnp.einsum("bhwc,wk->bhkc", conv(x), MATRIX), IMAGES),
    "dot_general with a constant first": (lambda x: jnp.einsum("kw,bwc->kbc", MATRIX.T, x).swapaxes(0, 1), (6, 3)),
    "dot_general of images": (lambda x: x @ x.swapaxes(1, 2), (4, 6)),
    "eq, ne": (lambda x: (jnp.sign(x) == 1) | (jnp.floor(x) != -1), (9,)),
    "exp, log": (lambda x: jnp.log(jnp.exp(x) + 1), (9,)),
    "flatten": (lambda x: conv(x).reshape(x.shape[0], -1), IMAGES),
    "floor": (jnp.floor, (9,)),
    "gather of constant rows": (lambda x: x[:, np.array([3, 1, 1])], (4, 2)),
    "gather of one channel": (lambda x: conv(x)[..., 2], IMAGES),
    "gather by the largest": (at_the_peak, IMAGES),
    "gather of pixels": (sampled, (6, 6, 3)),
    "ge, le": (lambda x: (x >= 0) & (x <= 1), (9,)),
    "integer_pow": (lambda x: x**2 + x**3, (9,)),
    "iota": (lambda x: x + jnp.arange(4.0)[None], (4,)),
    "is_finite": (lambda x: jnp.isfinite(1 / jnp.maximum(x, 0)), (9,)),
    "leaky_relu": (lambda x: nn.leaky_relu(x, 0.2), (9,)),
    "limits": (lambda x: jnp.clip(x, -0.5, 0.75), (9,)),
    "limits of integers": (lambda x: jnp.clip((4 * x).astype(jnp.int32), 0, 2), (9,)),
    "logistic, tanh": (lambda x: nn.sigmoid(x) + jnp.tanh(x), (9,)),
    "max and min": (lambda x: jnp.maximum(x, 2 * x) + jnp.minimum(x, x[:, :1]), (9,)),
    "max_pool_2x2": (lambda x: operators.max_pool_2x2(conv(x)), IMAGES),
    "max_pool_2x2 of odd sides": (operators.max_pool_2x2, (7, 5, 3)),
    "mean of one": (lambda x: x[:, :1].mean(axis=1), IMAGES),
    "mean": (lambda x: conv(x).mean((1, 2)), IMAGES),
    "merging channels": (lambda x: conv(x).reshape(x.shape[0], 8, 6, 2, 2).swapaxes(3, 4), IMAGES),
    "merging pixels": (lambda x: nn.softmax(conv(x).reshape(x.shape[0], 48, 4), axis=1), IMAGES),
    "merging the batch": (lambda x: x.reshape(-1, 6, 3).sum(1).reshape(x.shape[0], 8, 3), IMAGES),
    "neg, sub": (lambda x: 1 - -x, (9,)),
    "normalisation": (lambda x: nn.relu((conv(x) - 0.5) * CHANNELS + (1 - CHANNELS)), IMAGES),
    "pad": (lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), constant_values=3.0), IMAGES),
    "pad between gathers": (
        lambda x: sampled(jnp.pad(sampled(x), ((0, 0), (1, 1), (1, 1), (0, 0)))),
        (6, 6, 3),
    ),
    "photos": (lambda x: conv((x - 127.5) / 128), IMAGES),
    "reduce_and, reduce_or": (lambda x: (x > -1).all(axis=(1, 2)) | (x > 2).any(axis=(1, 2)), IMAGES),
    "reduce_max, reduce_min": (lambda x: x.max(axis=1) - x.min(axis=1), IMAGES),
    "reduce_window_max": (operators.max_pool_3x3, IMAGES),
    "rev": (lambda x: x[:, :, ::-1], IMAGES),
    "rsqrt, sqrt": (lambda x: lax.rsqrt(x * x + 1) + jnp.sqrt(jnp.abs(x)), (9,)),
    "scatter of rows": (lambda x: x.at[:, np.array([2, 0])].set(-x[:, :2]), (4, 2)),
    "scatter of a column": (lambda x: x.at[..., 0].set(7 - x[..., 0]), (4, 2)),
    "select_n": (lambda x: jnp.where(x > 0, x, x[:, :1] - 3), (9,)),
    "slice": (lambda x: conv(x)[:, 1:7:2, 2:, 1:3], IMAGES),
    "softmax": (lambda x: nn.softmax(conv(x), axis=(1, 2)), IMAGES),
    "split": (lambda x: jnp.concatenate(jnp.split(conv(x), [1], axis=-1)[::-1], axis=-1), IMAGES),
    "stack and squeeze": (lambda x: jnp.stack([x[:, 0], x[:, 1]], axis=-1), (2, 3)),
    "shuffled channels": (lambda x: jnp.stack([x, 2 * x], axis=-1).reshape(*x.shape[:-1], -1), IMAGES),
    "stop_gradient": (lax.stop_gradient, (9,)),
    "transpose": (lambda x: x.transpose(0, 3, 1, 2), IMAGES),
    "upsampling": (lambda x: upsampled(conv(x)) + 1, IMAGES),
}


@pytest.mark.parametrize("name", CASES)
def test_graphs_compute_what_jax_computes(name: str):
    assert_same(*CASES[name])


def test_every_rule_is_tried():
    def primitives(program: Any) -> set[str]:
        names = set()
        for equation in program.eqns:
            inner = [part for part in equation.params.values() if hasattr(part, "eqns") or hasattr(part, "jaxpr")]
            names.add(equation.primitive.name)
            names = names.union(*(primitives(getattr(part, "jaxpr", part)) for part in inner))
        return names

    with operators.traced_for("accelerator"):
        tried = [jax.make_jaxpr(function)(jnp.zeros((2, *shape))).jaxpr for function, shape in CASES.values()]
    assert set(RULES) - set().union(*map(primitives, tried)) == set()


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("normalisation", {"Transpose": 2, "Conv": 1, "Relu": 1}),
        ("photos", {"Transpose": 2, "Add": 1, "Conv": 1}),
        ("leaky_relu", {"LeakyRelu": 1}),
        ("limits", {"Clip": 1}),
        ("max_pool_2x2", {"Transpose": 2, "Conv": 1, "MaxPool": 1}),
        ("upsampling", {"Transpose": 2, "Conv": 1, "Resize": 1, "Add": 1}),
        ("transpose", {"Transpose": 1}),
        ("dot_general along the height", {"Transpose": 2, "Conv": 1, "MatMul": 1}),
    ],
)
def test_graphs_are_small(name: str, nodes: dict[str, int]):
    assert assert_same(*CASES[name]) == nodes


@pytest.mark.parametrize("scaled", ["after a convolution", "by itself"])
def test_normalisations_of_float16_are_folded_with_their_casts(scaled: str):
    """As Flax normalises float16: in float32, and back.

    It is compared with the same in float32, since XLA compiles no float16 for processors that cannot convert it (F16C).
    """

    def normalised(x: jax.Array, dtype: DTypeLike) -> jax.Array:
        y = x.astype(dtype)
        folds = scaled == "after a convolution"
        y = conv(y, KERNEL.astype(dtype)) if folds else nn.relu(jnp.concatenate([y, y[..., :1]], axis=-1))
        y = ((y.astype(jnp.float32) - 0.5) * CHANNELS + (1 - CHANNELS)).astype(dtype)
        return nn.relu(y).astype(jnp.float32)

    x = np.random.default_rng(1).normal(size=(3, *IMAGES)).astype(np.float32)
    model = written(functools.partial(normalised, dtype=jnp.float16), IMAGES)
    assert_float16_close(run(model, x), normalised(x, jnp.float32), depth=30)
    counts = Counter(node.op_type for node in model.graph.node)
    assert counts["Cast"] == 2
    if scaled == "after a convolution":
        assert counts == {"Cast": 2, "Transpose": 2, "Conv": 1, "Relu": 1}
    else:
        assert (counts["Mul"], counts["Add"]) == (1, 1)


INTEGERS = np.random.default_rng(2).integers(-127, 128, (3, 3, 32, 8))
INTEGERS[0, 0, 0] = 127
EIGHTS = (INTEGERS * 2.0 ** -np.arange(8)).astype(np.float32)
"""Weights that int8 holds without rounding, if each of the eight outputs has a scale of its own."""


@pytest.mark.parametrize(
    ("function", "shape", "count"),
    [
        (lambda x: conv(x, EIGHTS), (8, 6, 32), 1),
        (lambda x: operators.conv_transpose_4x4(x, np.resize(EIGHTS, (4, 4, 24, 8)).swapaxes(2, 3)), (8, 6, 24), 1),
        (lambda x: x @ np.resize(EIGHTS, (288, 8)), (288,), 1),
        (lambda x: conv(x) @ np.resize(EIGHTS, (4, 8)), IMAGES, 0),
        (lambda x: x @ np.mgrid[:3, :500][1].astype(np.float32), (3,), 0),
        (lambda x: x @ np.eye(64, dtype=np.float32), (64,), 0),
    ],
    ids=["convolution", "transposed", "product", "small ones stay", "pixels stay", "what is mostly zeros stays"],
)
def test_large_weights_become_int8_with_a_scale_for_each_output(function: Callable, shape: tuple[int, ...], count: int):
    x = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    model = convert(lambda x: Outputs(function(x)), shape, np.float32, "x", int8=True)
    kinds = Counter(tensor.data_type for tensor in model.graph.initializer)
    assert Counter(node.op_type for node in model.graph.node)["DequantizeLinear"] == count
    assert kinds[onnx.TensorProto.INT8] == count
    assert_float32_close(run(model, x), function(x), depth=2304)


def test_what_is_used_twice_is_not_folded():
    def both(x: jax.Array) -> jax.Array:
        y = conv(x)
        return y * (2 * y + 1)

    assert assert_same(both, IMAGES)["Conv"] == 1


def test_several_outputs_have_the_names_of_their_fields():
    model = convert(lambda x: Outputs(x + 1, x + 1), (4,), np.float32, "x")
    assert [output.name for output in model.graph.output] == ["result", "second"]
    np.testing.assert_array_equal(run(model, np.zeros((2, 4), np.float32)), np.ones((2, 4)))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: jnp.cumsum(x, axis=1), "the primitive cumsum has no rule"),
        (lambda x: lax.fori_loop(0, 3, lambda _, y: 2 * y, x), "the primitive scan has no rule"),
        (lambda x: jnp.arange(x.shape[0]) + x[:, 0], "iota along the batch has no rule"),
        (lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 1))), "pad between elements"),
        (lambda x: x.at[:, jnp.argmax(x[0])].set(1.0), "scatter at computed places"),
    ],
)
def test_what_has_no_rule_is_named(function: Callable[..., Any], message: str):
    with pytest.raises(UnknownPrimitiveError, match=message):
        written(function, (4,))


@pytest.fixture(scope="module")
def trained() -> Trained:
    return open_model(shipped.NAME)


def test_the_shipped_model_is_a_small_graph(trained: Trained):
    predict = programs.predict_function(trained)
    model = onnx.load_from_string(programs.onnx_model(trained, predict))
    onnx.checker.check_model(model, full_check=True)
    counts = Counter(node.op_type for node in model.graph.node)
    assert sum(counts.values()) < 120
    assert counts["Transpose"] == 1
    assert counts["Conv"] == 30
    assert [output.name for output in model.graph.output] == ["points", "confidence"]
