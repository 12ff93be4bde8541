"""Rules for operators that move elements without computing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxlm.interop.onnx_writer.graph import Graph
from jaxlm.interop.onnx_writer.values import BATCH, TO_THE_END, Rule, Value, constant, hold, insert, lengths_of, place

_BEFORE_THE_START = np.iinfo(np.int64).min  # As its end where it goes backwards.

# Axes of an array, and those that a reshape makes of them.
Group = tuple[list[int], list[int]]


def _broadcast(
    graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct
) -> Value:
    return inputs[0].relabelled(dict(enumerate(map(int, parameters["broadcast_dimensions"]))), out.shape)


def _squeeze(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    kept = [axis for axis in range(len(inputs[0].shape)) if axis not in parameters["dimensions"]]
    return inputs[0].relabelled({axis: position for position, axis in enumerate(kept)}, out.shape)


def _transpose(
    graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct
) -> Value:
    return inputs[0].relabelled(
        {int(axis): position for position, axis in enumerate(parameters["permutation"])}, out.shape
    )


def _reshape(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    """Groups of axes become other groups of the same size, without a transposition if they lie together in the tensor.

    Axes n and k, repeated along k, that become one axis are nearest-neighbour upsampling.
    """
    (value,) = inputs
    groups = _groups(value.shape, out.shape)
    renamed = {old[0]: new[0] for old, new in groups if len(old) == len(new) == 1}
    larger = {
        old[0]: (new[0], value.shape[old[1]])
        for old, new in groups
        if len(old) == 2 and len(new) == 1 and value.held.intersection(old) == {old[0]}
    }
    others = [axis for old, _ in groups for axis in old if old[0] not in renamed and old[0] not in larger]
    if value.data is None and not value.held.intersection(others):
        renamed |= {axis: new for axis, (new, _) in larger.items()}
        value = _upsample(graph, value, {axis: factor for axis, (_, factor) in larger.items()})
        return value.relabelled(renamed, out.shape)
    for old, new in groups:
        if len(old) != 1 or len(new) != 1:
            value = hold(graph, value, old)
    if value.data is not None:
        lengths = {axis: out.shape[axis] for _, new in groups for axis in new}
        lengths |= {renamed[axis]: value.data.shape[axis] for axis in renamed}
        return constant(value.data.reshape([lengths.get(axis, 1) for axis in range(len(out.shape))]), out.shape)
    group_of = {axis: number for number, (old, _) in enumerate(groups) for axis in old}
    order = dict.fromkeys(group_of[axis] for axis in value.layout if axis in value.held)
    before = tuple(axis for number in order for axis in groups[number][0])
    after = tuple(axis for number in order for axis in groups[number][1])
    name = graph.node("Reshape", place(graph, value, before), lengths_of(graph, out.shape, after))
    return value.tensor(name, after, out.shape)


def _groups(before: Sequence[int], after: Sequence[int]) -> list[Group]:
    """The smallest groups of axes whose sizes agree, without axes of length 1."""
    groups: list[Group] = []
    new = [axis for axis, length in enumerate(after) if length != 1]
    for axis, length in enumerate(before):
        if length == 1:
            continue
        if not groups or _size(before, groups[-1][0]) == _size(after, groups[-1][1]):
            groups.append(([], []))
        groups[-1][0].append(axis)
        while _size(after, groups[-1][1]) < _size(before, groups[-1][0]):
            groups[-1][1].append(new.pop(0))
    return groups


def _size(shape: Sequence[int], axes: Sequence[int]) -> int:
    return int(np.prod([shape[axis] for axis in axes], dtype=object))


def _upsample(graph: Graph, value: Value, factors: Mapping[int, int]) -> Value:
    """The tensor with each element repeated along axes, by their factors; the value still has the old shape."""
    if not factors:
        return value
    layout = tuple(axis for axis in value.layout if axis in value.held)
    scales = np.array([factors.get(axis, 1) for axis in layout], np.float32)
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    name = graph.node("Resize", place(graph, value, layout), "", graph.constant(scales), **nearest)
    return value.tensor(name, layout)


def _iota(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    axis = parameters["dimension"]
    if out.shape[axis] % BATCH == 0:
        raise NotImplementedError("iota along the batch")
    return constant(np.arange(out.shape[axis], dtype=out.dtype)).relabelled({0: axis}, out.shape)


def _slice(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    (value,) = inputs
    starts, limits = parameters["start_indices"], parameters["limit_indices"]
    strides = parameters["strides"] or (1,) * len(starts)
    return _cut(graph, value, dict(enumerate(zip(starts, limits, strides, strict=True))), out)


def _reverse(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    (value,) = inputs
    return _cut(
        graph, value, {axis: (value.shape[axis] - 1, _BEFORE_THE_START, -1) for axis in parameters["dimensions"]}, out
    )


def _cut(graph: Graph, value: Value, ranges: Mapping[int, tuple[int, int, int]], out: jax.ShapeDtypeStruct) -> Value:
    """A part by the start, end and step along each axis."""
    whole = {axis for axis in ranges if ranges[axis] == (0, value.shape[axis], 1)}
    cut = [axis for axis in value.layout if axis in value.held - whole and axis in ranges]
    if not cut:
        return value.relabelled({axis: axis for axis in value.held}, out.shape)
    assert value.name is not None
    ranges = {
        axis: (start, TO_THE_END if end == value.shape[axis] else end, step)
        for axis, (start, end, step) in ranges.items()
    }
    starts, ends, steps = (graph.integers(*(int(ranges[axis][part]) for axis in cut)) for part in range(3))
    positions = graph.integers(*(value.layout.index(axis) for axis in cut))
    return value.tensor(graph.node("Slice", value.name, starts, ends, positions, steps), value.layout, out.shape)


def _split(
    graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct
) -> list[Value]:
    axis, sizes = int(parameters["axis"]), tuple(map(int, parameters["sizes"]))
    value = hold(graph, inputs[0], [axis])
    assert value.name is not None
    position = value.layout.index(axis)
    names = graph.nodes_of_many("Split", (value.name, graph.integers(*sizes)), len(sizes), {"axis": position})
    shapes = [tuple(size if at == axis else length for at, length in enumerate(value.shape)) for size in sizes]
    return [value.tensor(name, value.layout, shape) for name, shape in zip(names, shapes, strict=True)]


def _concatenate(
    graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct
) -> Value:
    return concatenated(graph, inputs, int(parameters["dimension"]), out.shape)


def concatenated(graph: Graph, values: Sequence[Value], axis: int, shape: tuple[int, ...]) -> Value:
    """Values one after another along an axis."""
    largest = max((value for value in values if value.data is None), key=lambda value: value.size)
    held = set().union(*(value.held for value in values)) - {axis}
    layout: list[int | None] = [at for at in largest.layout if at in held or (at == axis and at in largest.held)]
    for at in sorted(held.union([axis]).difference(layout)):
        insert(layout, at, shape)
    names = [place(graph, hold(graph, value, [*held, axis]), tuple(layout)) for value in values]
    name = graph.node("Concat", *names, axis=layout.index(axis))
    return values[0].tensor(name, tuple(layout), shape)


def _stack(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    axis = int(parameters["axis"])
    moved = {at: at + (at >= axis) for at in range(len(out.shape) - 1)}
    shape = tuple(1 if at == axis else length for at, length in enumerate(out.shape))
    return concatenated(graph, [value.relabelled(moved, shape) for value in inputs], axis, out.shape)


def _pad(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    value, filling = inputs
    amounts = {axis: (int(low), int(high)) for axis, (low, high, _) in enumerate(parameters["padding_config"])}
    if any(between for _, _, between in parameters["padding_config"]) or filling.data is None:
        raise NotImplementedError("pad between elements or by a computed number")
    axes = [axis for axis, (low, high) in amounts.items() if low or high]
    value = hold(graph, value, axes)
    layout = tuple(axis for axis in value.layout if axis in value.held)
    layout += tuple(axis for axis in axes if axis not in layout)
    # Those of all axes: where onnxruntime 1.32 moves a transposition, it takes the pads of some for the pads of all.
    pads = graph.integers(*(amounts[axis][end] for end in (0, 1) for axis in layout))
    padded = graph.node("Pad", place(graph, value, layout), pads, graph.constant(filling.data.reshape(())))
    return value.tensor(padded, layout, out.shape)


RULES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "iota": _iota,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _reverse,
    "slice": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
}
OF_CONSTANTS = ("broadcast_in_dim", "iota", "reshape", "squeeze", "transpose")
"""Those whose rules take constants, too."""
