"""Weights as int8, a quarter of the bytes: the graph makes float32 of them, in which all is computed."""

from __future__ import annotations

import numpy as np

from jaxlm.interop.onnx_writer.graph import Graph, Node

_LEAST = 2**10  # Weights of fewer elements stay: they save little.
# A matrix that sums fewer numbers, or is mostly zeros, is none of weights: a grid of pixels, or one that resizes maps.
_LEAST_SUMMED = 32

_LARGEST = 127


def store_weights_in_int8(graph: Graph) -> None:
    """Replaces large weights by int8 with a scale for each output of their node, -127 to 127 and without an offset."""
    count = len(graph.nodes)
    for node in graph.nodes[:count]:
        number = _input_of_weights(graph, node)
        if number is None:
            continue
        weights = graph.constants[node.inputs[number]]
        axis = _output_axis(node, number, weights.ndim)
        others = tuple(at for at in range(weights.ndim) if at != axis)
        scale = np.abs(weights).max(axis=others, keepdims=True) / np.float32(_LARGEST)
        scale[scale == 0] = 1
        integers = np.rint(weights / scale).astype(np.int8)
        # With an axis more onnxruntime does not take a product for one whose other factor may become int8, too.
        held = integers[..., None] if node.op == "MatMul" else integers
        name = graph.node("DequantizeLinear", graph.constant(held), graph.constant(scale.reshape(-1)), axis=axis)
        if node.op == "MatMul":
            name = graph.node("Reshape", name, graph.integers(*weights.shape))
        node.inputs[number] = name
    graph.nodes = graph.nodes[count:] + graph.nodes[:count]  # They need nothing but constants, and others need them.
    used = {name for node in graph.nodes for name in node.inputs}
    graph.constants = {name: array for name, array in graph.constants.items() if name in used}


def _input_of_weights(graph: Graph, node: Node) -> int | None:
    """Which input of a node is large constant weights of float32, if one is."""
    for number in (0, 1) if node.op in ("Conv", "ConvTranspose", "MatMul") else ():
        array = graph.constants.get(node.inputs[number])
        if array is None or array.dtype != np.float32 or array.size < _LEAST:
            continue
        if node.op != "MatMul":
            return number
        summed = array.shape[-2 if number == 1 else -1]
        if summed >= _LEAST_SUMMED and np.count_nonzero(array) > array.size / 2:
            return number
    return None


def _output_axis(node: Node, number: int, rank: int) -> int:
    """The axis of a node's weights along which lie its outputs; they are its input `number`."""
    if node.op == "MatMul":
        return rank - 1 if number == 1 else rank - 2
    return 0 if node.op == "Conv" else 1
