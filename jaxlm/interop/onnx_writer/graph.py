"""A graph of ONNX as it is written: nodes in order, and constants. Equal nodes and equal constants are kept once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

OPSET = 18
FLOAT32, FLOAT16 = 1, 10
"""ONNX's numbers for types, as the attribute `to` of a Cast has them."""

_IR_VERSION = 8  # Of ONNX 1.13, the first with this opset: runtimes since 2023 read it.


@dataclasses.dataclass
class Node:
    """An operator with the names of its inputs ("" where one is left out) and outputs."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


class Graph:
    """Nodes and constants.

    Args:
      input_name: The name of the one input, whose first axis is the batch.

    Attributes:
      nodes: In an order in which they can be computed.
      producer: The node that gives each tensor, by the tensor's name.
      constants: By name.
    """

    def __init__(self, input_name: str) -> None:
        self.input_name = input_name
        self.nodes: list[Node] = []
        self.producer: dict[str, Node] = {}
        self.constants: dict[str, np.ndarray] = {}
        self._known: dict[Any, Any] = {}
        self._names = 0

    def constant(self, array: np.ndarray) -> str:
        """The name of a constant."""
        array = np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray makes vectors of numbers.
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self.new_name()
            self.constants[self._known[key]] = array
        return self._known[key]

    def integers(self, *numbers: int) -> str:
        """The name of a constant vector int64, as shapes and axes are."""
        return self.constant(np.array(numbers, np.int64))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operator of one output, and gives its name."""
        return self.nodes_of_many(op, inputs, 1, attributes)[0]

    def cast(self, name: str, dtype: Any) -> str:
        """Adds a conversion to another type, and gives its name."""
        from onnx import helper

        return self.node("Cast", name, to=int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype))))

    def nodes_of_many(self, op: str, inputs: tuple[str, ...], count: int, attributes: dict[str, Any]) -> list[str]:
        """Adds an operator of `count` outputs, and gives their names."""
        key = (op, inputs, repr(sorted(attributes.items())))
        if key not in self._known:
            self._known[key] = [self.new_name() for _ in range(count)]
            self.nodes.append(Node(op, list(inputs), self._known[key], attributes))
            self.producer.update(dict.fromkeys(self._known[key], self.nodes[-1]))
        return self._known[key]

    def new_name(self) -> str:
        """A name that no tensor has."""
        self._names += 1
        return f"t{self._names}"


def to_model(
    graph: Graph,
    input_shape: tuple[int, ...],
    input_dtype: np.dtype,
    outputs: Mapping[str, tuple[tuple[int, ...], np.dtype]],
) -> Any:
    """The `onnx.ModelProto` of a graph.

    Args:
      graph: The graph.
      input_shape: The shape of the input without the batch.
      input_dtype: Its type.
      outputs: By their names the shapes of the outputs without the batch, and their types.
    """
    from onnx import helper, numpy_helper

    def described(name: str, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), ["batch", *shape])

    proto = helper.make_graph(
        [helper.make_node(node.op, node.inputs, node.outputs, **node.attributes) for node in graph.nodes],
        "detector",
        [described(graph.input_name, input_shape, input_dtype)],
        [described(name, shape, dtype) for name, (shape, dtype) in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(proto, producer_name="jaxlm", opset_imports=opsets, ir_version=_IR_VERSION)
