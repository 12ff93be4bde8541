"""Rules for convolutions, windows, products and reductions: what works on axes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxlm.interop.onnx_writer.graph import Graph
from jaxlm.interop.onnx_writer.values import Layout, Rule, Value, hold, place


def _convolution(
    graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct
) -> Value:
    """Conv, or ConvTranspose where the input has zeros between its pixels."""
    x, kernel = inputs
    numbers, strides = parameters["dimension_numbers"], parameters["window_strides"]
    spread, padding = parameters["lhs_dilation"], parameters["padding"]
    if parameters["batch_group_count"] != 1 or any(amount < 0 for pair in padding for amount in pair):
        raise NotImplementedError("conv_general_dilated with groups of the batch or negative padding")
    settings: dict[str, Any] = {
        "group": parameters["feature_group_count"],
        "dilations": list(parameters["rhs_dilation"]),
        "kernel_shape": [kernel.shape[axis] for axis in numbers.rhs_spec[2:]],
    }
    name = place(graph, hold(graph, x, numbers.lhs_spec), numbers.lhs_spec)
    if set(spread) == {1}:
        settings |= {"strides": list(strides), "pads": [pair[end] for end in (0, 1) for pair in padding]}
        weights = place(graph, hold(graph, kernel, numbers.rhs_spec), numbers.rhs_spec)
        return x.tensor(graph.node("Conv", name, weights, **settings), numbers.out_spec, out.shape)
    reach = [(length - 1) * step for length, step in zip(settings["kernel_shape"], settings["dilations"], strict=True)]
    pads = [there - pair[end] for end in (0, 1) for there, pair in zip(reach, padding, strict=True)]
    if set(strides) != {1} or settings["group"] != 1 or kernel.data is None or min(pads) < 0:
        raise NotImplementedError("conv_general_dilated with lhs_dilation and strides, groups or much padding")
    outputs, features, *window = numbers.rhs_spec
    flipped = np.flip(kernel.data.transpose(features, outputs, *window), tuple(range(2, len(numbers.rhs_spec))))
    settings |= {"strides": list(spread), "pads": pads}
    name = graph.node("ConvTranspose", name, graph.constant(flipped), **settings)
    return x.tensor(name, numbers.out_spec, out.shape)


def _window_maximum(
    graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct
) -> Value:
    (value,) = inputs
    window, strides, dilations = (parameters[f"window_{name}"] for name in ("dimensions", "strides", "dilation"))
    axes = [axis for axis, length in enumerate(window) if length != 1 or strides[axis] != 1]
    others = [axis for axis in range(len(window)) if axis not in axes]
    if set(parameters["base_dilation"]) != {1} or len(others) != 2:
        raise NotImplementedError("reduce_window_max other than of an image's channels")
    layout = (*others, *axes)
    name = graph.node(
        "MaxPool",
        place(graph, hold(graph, value, layout), layout),
        kernel_shape=[window[axis] for axis in axes],
        strides=[strides[axis] for axis in axes],
        dilations=[dilations[axis] for axis in axes],
        pads=[parameters["padding"][axis][end] for end in (0, 1) for axis in axes],
    )
    return value.tensor(name, layout, out.shape)


def _product(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    """MatMul; with a constant matrix on the side where the tensor needs no transposition."""
    (summed_left, summed_right), (batch_left, batch_right) = parameters["dimension_numbers"]
    left, right = inputs
    free_left = [axis for axis in range(len(left.shape)) if axis not in (*summed_left, *batch_left)]
    free_right = [axis for axis in range(len(right.shape)) if axis not in (*summed_right, *batch_right)]
    places_left = {axis: place for place, axis in enumerate((*batch_left, *free_left))}
    places_right = {axis: place for place, axis in enumerate((*batch_right, *free_right))}
    places_right |= {axis: len(places_left) + number for number, axis in enumerate(free_right)}
    if len(summed_left) == 1 and not batch_left:
        if right.data is not None and len(free_right) == 1:
            return _by_matrix(graph, left, summed_left[0], places_left, right, summed_right[0], len(places_left), out)
        if left.data is not None and len(free_left) == 1:
            return _by_matrix(graph, right, summed_right[0], places_right, left, summed_left[0], 0, out)
    if not len(summed_left) == len(free_left) == len(free_right) == 1:
        raise NotImplementedError("dot_general of more than matrices")
    left, right = (hold(graph, value, range(len(value.shape))) for value in inputs)
    names = (
        place(graph, left, (*batch_left, *free_left, *summed_left)),
        place(graph, right, (*batch_right, *summed_right, *free_right)),
    )
    return left.tensor(graph.node("MatMul", *names), tuple(range(len(out.shape))), out.shape)


def _by_matrix(
    graph: Graph,
    value: Value,
    axis: int,
    places: Mapping[int, int],
    matrix: Value,
    summed: int,
    new: int,
    out: jax.ShapeDtypeStruct,
) -> Value:
    """Sums a tensor's `axis` with the axis `summed` of a constant matrix, whose other axis gets the place `new`."""
    value = hold(graph, value, [axis])
    layout: Layout = tuple(at for at in value.layout if at in value.held)
    if value.shape[axis] == 1 or layout.index(axis) < len(layout) - 2 or len(layout) == 1:
        layout = (*(at for at in layout if at != axis), axis)
    name = place(graph, value, layout)
    matrix = hold(graph, matrix, range(2))
    if layout[-1] == axis:
        name = graph.node("MatMul", name, place(graph, matrix, (summed, 1 - summed)))
    else:
        name = graph.node("MatMul", place(graph, matrix, (1 - summed, summed)), name)
    return value.tensor(name, tuple(new if at == axis else places[at] for at in layout if at is not None), out.shape)


def _reduction(op: str) -> Rule:
    """The rule for a sum, a maximum or a minimum over axes."""

    def rule(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
        return _reduced(graph, op, inputs[0], parameters["axes"], out)

    return rule


def _reduced(graph: Graph, op: str, value: Value, axes: Sequence[int], out: jax.ShapeDtypeStruct) -> Value:
    """A reduction over axes, which keep length 1 in the tensor."""
    kept = [axis for axis in range(len(value.shape)) if axis not in axes]
    long = [axis for axis in axes if value.shape[axis] != 1]
    renamed = {axis: position for position, axis in enumerate(kept)}
    if not long:
        return value.relabelled(renamed, out.shape)
    value = hold(graph, value, long)
    assert value.name is not None
    positions = graph.integers(*sorted(value.layout.index(axis) for axis in long))
    layout = tuple(None if axis in axes else axis for axis in value.layout)
    reduced = value.tensor(graph.node(op, value.name, positions, keepdims=1), layout)
    return reduced.relabelled(renamed, out.shape)


def _of_booleans(op: str) -> Rule:
    """The rule for a reduction of booleans: that of 0 and 1."""

    def rule(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
        (value,) = inputs
        assert value.name is not None
        numbers = value.tensor(graph.cast(value.name, np.int32), value.layout, dtype=np.int32)
        found = _reduced(graph, op, numbers, parameters["axes"], out)
        assert found.name is not None
        return found.tensor(graph.cast(found.name, np.bool_), found.layout, dtype=np.bool_)

    return rule


def _index_of_maximum(
    graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct
) -> Value:
    (axis,) = parameters["axes"]
    value = hold(graph, inputs[0], [axis])
    assert value.name is not None
    found = graph.node("ArgMax", value.name, axis=value.layout.index(axis), keepdims=1)
    layout = tuple(None if at == axis else at for at in value.layout)
    renamed = {at: at - (at > axis) for at in range(len(value.shape)) if at != axis}
    return value.tensor(graph.cast(found, out.dtype), layout, dtype=out.dtype).relabelled(renamed, out.shape)


RULES: dict[str, Rule] = {
    "argmax": _index_of_maximum,
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "reduce_and": _of_booleans("ReduceMin"),
    "reduce_max": _reduction("ReduceMax"),
    "reduce_min": _reduction("ReduceMin"),
    "reduce_or": _of_booleans("ReduceMax"),
    "reduce_sum": _reduction("ReduceSum"),
    "reduce_window_max": _window_maximum,
}
