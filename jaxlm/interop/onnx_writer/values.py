"""Arrays of a JAX program as tensors of a graph: with their axes in an order of their own, repeats left out.

So a transposition, an added axis and a broadcast cost nothing until an operator needs another form.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import DTypeLike

from jaxlm.interop.onnx_writer.graph import Graph

BATCH = 9973
"""The batch in the traced program, a prime that no other length has as a factor; in the graph it is any number."""

Layout = tuple[int | None, ...]
"""The axis of the program's array that each axis of a tensor is; None for an axis of length 1 that is none."""


TO_THE_END = np.iinfo(np.int64).max
"""The end of a Slice that leaves out nothing behind it."""


@dataclasses.dataclass(frozen=True)
class Value:
    """An array of the program.

    Attributes:
      shape: In the program.
      dtype: Its type.
      layout: Of the tensor. Along axes of `shape` that are in no layout the tensor is repeated.
      name: The tensor's name; None for a constant.
      data: The constant, in the order of `shape`, with length 1 where it is repeated; None for a tensor.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    layout: Layout = ()
    name: str | None = None
    data: np.ndarray | None = None

    @property
    def held(self) -> set[int]:
        """The axes longer than 1 along which it is not repeated."""
        if self.data is not None:
            return {axis for axis, length in enumerate(self.data.shape) if length != 1}
        return {axis for axis in self.layout if axis is not None and self.shape[axis] != 1}

    @property
    def size(self) -> int:
        """How many elements the tensor has."""
        return int(np.prod([self.shape[axis] for axis in self.held], dtype=object))

    def tensor(
        self, name: str, layout: Layout, shape: tuple[int, ...] | None = None, dtype: DTypeLike | None = None
    ) -> Value:
        """Another tensor, by default of this shape and type."""
        return Value(
            self.shape if shape is None else shape, self.dtype if dtype is None else np.dtype(dtype), layout, name
        )

    def relabelled(self, axes: dict[int, int], shape: tuple[int, ...]) -> Value:
        """The same elements as an array of `shape`, whose axis axes[a] is this one's a; other axes have length 1."""
        if self.data is not None:
            kept = sorted(self.held, key=lambda axis: axes[axis])
            data = self.data.transpose(*kept, *sorted(set(range(self.data.ndim)) - set(kept)))
            lengths = {axes[axis]: self.data.shape[axis] for axis in kept}
            return dataclasses.replace(
                self, shape=shape, data=data.reshape([lengths.get(axis, 1) for axis in range(len(shape))])
            )
        held = self.held
        layout = tuple(axes[axis] if axis in held else None for axis in self.layout)
        return dataclasses.replace(self, shape=shape, layout=layout)


Rule = Callable[[Graph, Sequence[Value], Mapping[str, Any], jax.ShapeDtypeStruct], Value | list[Value]]
"""What an equation becomes: (graph, inputs, parameters, the first output's shape and type) -> the outputs."""


def constant(data: np.ndarray, shape: tuple[int, ...] | None = None) -> Value:
    """A constant, repeated to `shape` along axes of length 1."""
    return Value(data.shape if shape is None else tuple(shape), data.dtype, data=data)


def place(graph: Graph, value: Value, layout: Layout) -> str:
    """The name of the value as a tensor with this layout, which has all its held axes. Others get length 1."""
    if value.data is not None:
        named = [axis for axis in layout if axis is not None]
        rest = [axis for axis in range(value.data.ndim) if axis not in named]
        lengths = [1 if axis is None else value.data.shape[axis] for axis in layout]
        return graph.constant(value.data.transpose(*named, *rest).reshape(lengths))
    assert value.name is not None
    held, name, now = value.held, value.name, list(value.layout)
    assert held <= set(layout)
    wanted = [axis if axis in held else None for axis in layout]
    now = [axis if axis in held else None for axis in now]
    order = [axis for axis in wanted if axis is not None]
    if [axis for axis in now if axis is not None] != order:
        spare = [position for position, axis in enumerate(now) if axis is None]
        form = wanted if len(wanted) == len(now) else [*order, *[None] * len(spare)]
        permutation = [spare.pop(0) if axis is None else now.index(axis) for axis in form]
        name, now = transpose(graph, name, permutation), form
    return name if now == wanted else graph.node("Reshape", name, lengths_of(graph, value.shape, wanted))


def transpose(graph: Graph, name: str, permutation: Sequence[int]) -> str:
    """A tensor with its axes permuted; before the element-wise operators that gave it, where those are cheap to redo.

    So a photo is transposed as bytes, not as float32.
    """
    node = graph.producer.get(name)
    if node is not None and node.op in ("Cast", "Add", "Sub", "Mul", "Div"):
        first, *others = node.inputs
        if all(other in graph.constants and graph.constants[other].size == 1 for other in others):
            return graph.node(node.op, transpose(graph, first, permutation), *others, **node.attributes)
    return graph.node("Transpose", name, perm=list(permutation))


def align(graph: Graph, values: Sequence[Value]) -> tuple[list[str], Layout]:
    """Names of values of one shape (or of none) that ONNX broadcasts to each other, and the layout of the result."""
    largest = max((value for value in values if value.data is None), key=lambda value: value.size)
    held = set().union(*(value.held for value in values))
    target: list[int | None] = [axis if axis in largest.held else None for axis in largest.layout]
    for axis in sorted(held - set(target)):
        if None in target:
            target[target.index(None)] = axis
        else:
            insert(target, axis, largest.shape)
    names = []
    for value in values:
        if value.data is not None:
            names.append(place(graph, value, _without_leading_ones(value, target)))
        elif _fits(value, target):
            assert value.name is not None
            names.append(value.name)
        else:
            names.append(place(graph, value, tuple(target)))
    return names, tuple(target)


def insert(layout: list[int | None], axis: int, shape: Sequence[int]) -> None:
    """Adds an axis of `shape` to a layout: behind the one that it follows there, and not before the batch."""
    before = max((at for at in layout if at is not None and at < axis), default=None)
    first = layout[0] if layout and layout[0] is not None and shape[layout[0]] == BATCH else None
    before = first if before is None else before
    layout.insert(0 if before is None else layout.index(before) + 1, axis)


def hold(graph: Graph, value: Value, axes: Sequence[int]) -> Value:
    """The value with its repeats along some axes written out."""
    missing = [axis for axis in axes if axis not in value.held and value.shape[axis] != 1]
    if not missing:
        return value
    if value.data is not None and BATCH not in (value.shape[axis] for axis in missing):
        lengths = [value.shape[axis] if axis in axes else length for axis, length in enumerate(value.data.shape)]
        return dataclasses.replace(value, data=np.broadcast_to(value.data, lengths))
    layout: list[int | None] = [*sorted(value.held)]
    if value.data is None:
        layout = [axis for axis in value.layout if axis in value.held]
    for axis in sorted(missing):
        insert(layout, axis, value.shape)
    name = graph.node(
        "Expand", place(graph, value, tuple(layout)), lengths_of(graph, value.shape, layout, copied=False)
    )
    return value.tensor(name, tuple(layout))


def lengths_of(graph: Graph, shape: tuple[int, ...], layout: Sequence[int | None], copied: bool = True) -> str:
    """The name of the shape that a layout has. The batch is -1, as Reshape takes it, or (not `copied`) the input's."""
    lengths = [1 if axis is None else shape[axis] for axis in layout]
    if copied or not any(length % BATCH == 0 for length in lengths):
        return graph.integers(*(-1 if length % BATCH == 0 else length for length in lengths))
    batch = graph.node("Shape", graph.input_name, start=0, end=1)
    parts = [batch if length == BATCH else graph.integers(length) for length in lengths]
    return graph.node("Concat", *parts, axis=0) if len(parts) > 1 else batch


def _fits(value: Value, target: Sequence[int | None]) -> bool:
    """Whether ONNX, which aligns the last axes, broadcasts the tensor to the target as it is."""
    held = value.held
    now = [axis if axis in held else None for axis in value.layout]
    if len(now) > len(target):
        return False
    now = [*[None] * (len(target) - len(now)), *now]
    return all(axis is None or axis == wanted for axis, wanted in zip(now, target, strict=True))


def _without_leading_ones(value: Value, target: Sequence[int | None]) -> Layout:
    """The target from the first axis on that a constant has."""
    first = next((position for position, axis in enumerate(target) if axis in value.held), len(target))
    return tuple(target[first:])
