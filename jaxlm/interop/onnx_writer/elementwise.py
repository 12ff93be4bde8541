"""Rules for operators that work on each element by itself."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxlm.interop.onnx_writer.graph import Graph
from jaxlm.interop.onnx_writer.values import TO_THE_END, Layout, Rule, Value, align, constant

# ONNX's operator, and NumPy's for constants.
_SAME: dict[str, tuple[str, Callable[..., Any]]] = {
    "abs": ("Abs", np.abs),
    "add": ("Add", np.add),
    "and": ("And", np.logical_and),
    "div": ("Div", np.divide),
    "eq": ("Equal", np.equal),
    "exp": ("Exp", np.exp),
    "floor": ("Floor", np.floor),
    "ge": ("GreaterOrEqual", np.greater_equal),
    "gt": ("Greater", np.greater),
    "le": ("LessOrEqual", np.less_equal),
    "log": ("Log", np.log),
    "logistic": ("Sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    "lt": ("Less", np.less),
    "max": ("Max", np.maximum),
    "min": ("Min", np.minimum),
    "mul": ("Mul", np.multiply),
    "neg": ("Neg", np.negative),
    "not": ("Not", np.logical_not),
    "or": ("Or", np.logical_or),
    "sign": ("Sign", np.sign),
    "sqrt": ("Sqrt", np.sqrt),
    "sub": ("Sub", np.subtract),
    "tanh": ("Tanh", np.tanh),
}
# What leaves every x as it is, as the second operand.
_NEUTRAL = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0, "max": -np.inf, "min": np.inf}
_EITHER_WAY = ("add", "mul", "max", "min")


def _same(primitive: str) -> Rule:
    """The rule for an operator that ONNX has, too."""
    op, compute = _SAME[primitive]

    def rule(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
        if all(value.data is not None for value in inputs):
            with np.errstate(all="ignore"):
                return constant(_computed(compute, inputs, out), out.shape)
        if primitive in _EITHER_WAY and inputs[0].data is not None:
            inputs = inputs[::-1]
        if primitive in _NEUTRAL and _is_number(inputs[1], _NEUTRAL[primitive]) and inputs[0].shape == out.shape:
            return inputs[0]
        names, layout = align(graph, inputs)
        if primitive in ("max", "min") and inputs[1].data is not None and inputs[1].data.size == 1:
            limit = graph.constant(inputs[1].data.reshape(()))
            limits = (limit,) if primitive == "max" else ("", limit)
            return inputs[0].tensor(graph.node("Clip", names[0], *limits), layout, out.shape, out.dtype)
        if primitive == "max" and (pooled := _pool(graph, names, layout)):
            return inputs[0].tensor(pooled, layout, out.shape, out.dtype)
        return inputs[0].tensor(graph.node(op, *names), layout, out.shape, out.dtype)

    return rule


def _pool(graph: Graph, names: Sequence[str], layout: Layout) -> str | None:
    """The maximum of every two rows or columns of images, or of both one after the other; None of anything else."""
    even, odd = (graph.producer.get(name) for name in names)
    if even is None or odd is None or even.op != "Slice" or odd.op != "Slice" or even.inputs[0] != odd.inputs[0]:
        return None
    starts, ends, axes, steps = zip(
        *([graph.constants[name].tolist() for name in node.inputs[1:]] for node in (even, odd)), strict=True
    )
    one_axis = len(layout) == 4 and axes in (([2], [2]), ([3], [3]))
    if not one_axis or starts != ([0], [1]) or steps != ([2], [2]) or ends != ([TO_THE_END], [TO_THE_END]):
        return None
    source, window = even.inputs[0], [2, 1] if axes[0] == [2] else [1, 2]
    before = graph.producer.get(source)
    if (
        before is not None
        and before.op == "MaxPool"
        and before.attributes == {"kernel_shape": [2, 1], "strides": [2, 1]}
    ):
        source, window = before.inputs[0], [2, 2]
    return graph.node("MaxPool", source, kernel_shape=window, strides=window)


def _composed(compute: Callable[..., Any], emit: Callable[..., str]) -> Rule:
    """The rule for an operator that is several in ONNX: `emit` is called with the graph, names and parameters."""

    def rule(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
        if all(value.data is not None for value in inputs):
            return constant(_computed(lambda *x: compute(*x, **parameters), inputs, out), out.shape)
        names, layout = align(graph, inputs)
        return inputs[0].tensor(emit(graph, *names, **parameters), layout, out.shape, out.dtype)

    return rule


def _computed(compute: Callable[..., Any], inputs: Sequence[Value], out: jax.ShapeDtypeStruct) -> np.ndarray:
    """A function of constants; numbers get the rank of the result."""
    arrays = [
        value.data.reshape((1,) * len(out.shape)) if value.shape == () else value.data
        for value in inputs
        if value.data is not None
    ]
    return np.asarray(compute(*arrays)).astype(out.dtype, copy=False)


def _is_number(value: Value, number: float) -> bool:
    return value.data is not None and value.data.size == 1 and float(value.data.item()) == number


def _convert(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    (value,) = inputs
    if value.dtype == out.dtype:
        return value
    if value.data is not None:
        return constant(value.data.astype(out.dtype), out.shape)
    assert value.name is not None
    return value.tensor(graph.cast(value.name, out.dtype), value.layout, dtype=out.dtype)


def _pass_on(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    return inputs[0]


def _integer_pow(graph: Graph, x: str, y: int) -> str:
    return graph.node("Mul", x, x) if y == 2 else graph.node("Pow", x, graph.constant(np.array(y, np.float32)))


def _is_finite(graph: Graph, x: str) -> str:
    return graph.node("Not", graph.node("Or", graph.node("IsNaN", x), graph.node("IsInf", x)))


RULES: dict[str, Rule] = {
    **{primitive: _same(primitive) for primitive in _SAME},
    "convert_element_type": _convert,
    "integer_pow": _composed(lambda x, y: x**y, _integer_pow),
    "is_finite": _composed(np.isfinite, _is_finite),
    "ne": _composed(operator.ne, lambda graph, x, y: graph.node("Not", graph.node("Equal", x, y))),
    "rsqrt": _composed(
        lambda x, accuracy: 1 / np.sqrt(x),
        lambda graph, x, accuracy: graph.node("Reciprocal", graph.node("Sqrt", x)),
    ),
    # Of two cases the first is that of a false condition.
    "select_n": _composed(
        lambda condition, no, yes: np.where(condition, yes, no),
        lambda graph, condition, no, yes: graph.node("Where", condition, yes, no),
    ),
    "stop_gradient": _pass_on,
}
