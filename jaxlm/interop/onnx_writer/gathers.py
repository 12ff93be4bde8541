"""Rules for reading and writing elements by their indices. Indices are taken to be within the array, as ours are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxlm.interop.onnx_writer.graph import Graph
from jaxlm.interop.onnx_writer.shapes import concatenated
from jaxlm.interop.onnx_writer.values import Rule, Value, hold, place


def _gather(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    """Gather of constant rows along one axis; otherwise GatherND."""
    value, indices = inputs
    numbers, sizes = parameters["dimension_numbers"], parameters["slice_sizes"]
    batching, indexed = _integers(numbers.operand_batching_dims), _integers(numbers.start_index_map)
    rest = [axis for axis in range(len(value.shape)) if axis not in (*batching, *indexed)]
    if any(sizes[axis] != 1 for axis in indexed) or any(sizes[axis] != value.shape[axis] for axis in rest):
        raise NotImplementedError("gather of slices")
    windows = [axis for axis in range(len(value.shape)) if axis not in (*batching, *numbers.collapsed_slice_dims)]
    window_of = dict(zip(windows, _integers(numbers.offset_dims), strict=True))
    # The place in the result of each axis of the indices but the last, along which lie the parts of an index.
    places = [axis for axis in range(len(out.shape)) if axis not in window_of.values()]
    if indices.data is not None and not batching and len(indexed) == 1 and len(places) <= 1:
        return _rows(graph, value, indices.data.reshape(-1), indexed[0], places, window_of, out)
    indices_batching = _integers(numbers.start_indices_batching_dims)
    others = [axis for axis in range(len(places)) if axis not in indices_batching]
    value = hold(graph, value, (*batching, *indexed))
    indices = hold(graph, indices, (*indices_batching, len(places)))
    rest = [axis for axis in rest if axis in value.held]
    others = [axis for axis in others if axis in indices.held]
    name = graph.node(
        "GatherND",
        place(graph, value, (*batching, *indexed, *rest)),
        graph.cast(place(graph, indices, (*indices_batching, *others, len(places))), np.int64),
        batch_dims=len(batching),
    )
    batch, pixels = ([places[axis] for axis in axes] for axes in (indices_batching, others))
    channels = [window_of[axis] for axis in rest]
    found = value.tensor(name, (*batch, *pixels, *channels), out.shape)
    layout = (*batch, *channels, *pixels)  # As images lie elsewhere; few channels at the end would be slow, too.
    return found.tensor(place(graph, found, layout), layout)


def _rows(
    graph: Graph,
    value: Value,
    rows: np.ndarray,
    axis: int,
    places: Sequence[int],
    window_of: Mapping[int, int],
    out: jax.ShapeDtypeStruct,
) -> Value:
    """Constant rows of an axis; their number is an axis of the result, or, where `places` is empty, one row is none."""
    value = hold(graph, value, [axis])
    layout = (*value.layout,) if axis in value.layout else (*value.layout, axis)
    name = graph.node(
        "Gather", place(graph, value, layout), graph.constant(rows.astype(np.int64)), axis=layout.index(axis)
    )
    new_of = {at: window_of[at] for at in value.held - {axis}} | ({axis: places[0]} if places else {})
    new = tuple(None if at is None else new_of.get(at) for at in layout)
    return value.tensor(name, new, out.shape)


def _scatter(graph: Graph, inputs: Sequence[Value], parameters: Mapping[str, Any], out: jax.ShapeDtypeStruct) -> Value:
    """Rows of an axis replaced by others, at constant places: a choice among the rows of both."""
    value, indices, updates = inputs
    numbers = parameters["dimension_numbers"]
    if indices.data is None or len(numbers.scatter_dims_to_operand_dims) != 1 or numbers.operand_batching_dims:
        raise NotImplementedError("scatter at computed places or along several axes")
    (axis,) = _integers(numbers.scatter_dims_to_operand_dims)
    windows = [at for at in range(len(value.shape)) if at not in numbers.inserted_window_dims]
    renamed = dict(zip(_integers(numbers.update_window_dims), windows, strict=True))
    renamed |= {at: axis for at in range(len(updates.shape)) if at not in renamed}
    count, length = indices.data.size, value.shape[axis]
    shape = tuple(count if at == axis else size for at, size in enumerate(value.shape))
    if len(renamed) > len(value.shape) or parameters["update_jaxpr"] is not None:
        raise NotImplementedError("scatter of more than rows")
    both_shape = tuple(length + count if at == axis else size for at, size in enumerate(value.shape))
    both = concatenated(graph, [value, updates.relabelled(renamed, shape)], axis, both_shape)
    choice = np.arange(length)
    rows = indices.data.reshape(-1)
    for number, row in enumerate(rows):
        if 0 <= row < length:
            choice[row] = length + number
    name = both.name
    assert name is not None
    chosen = graph.node("Gather", name, graph.constant(choice), axis=both.layout.index(axis))
    return both.tensor(chosen, both.layout, out.shape)


def _integers(numbers: Sequence[Any]) -> tuple[int, ...]:
    return tuple(map(int, numbers))


RULES: dict[str, Rule] = {"gather": _gather, "scatter": _scatter}
