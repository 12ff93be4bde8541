"""Folds chains of scales and shifts, as normalisations are, into the convolutions before or after them.

A normalisation of float16 computes in float32, between two casts. Those belong to its chain, which becomes float16.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np

from jaxlm.interop.onnx_writer.graph import FLOAT16, FLOAT32, Graph, Node

# The nodes that use each tensor.
Users = dict[str, list[Node]]


@dataclasses.dataclass
class Chain:
    """Scales and shifts one after another, none of whose results is used elsewhere.

    Attributes:
      source: The tensor x at its start.
      half: Whether that is float16; so is the end of a chain.
      nodes: The nodes.
      scale: With `shift`, what they do in float64: x * scale + shift.
      shift: See `scale`.
      wide: Whether the last node's result is the float32 between two casts.
    """

    source: str
    half: bool = False
    nodes: list[Node] = dataclasses.field(default_factory=list)
    scale: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(()))
    shift: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(()))
    wide: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The type of its start and its end."""
        return np.dtype(np.float16 if self.half else np.float32)

    def append(self, graph: Graph, node: Node) -> bool:
        """Whether a node is a scale or a shift of the chain's end, or a cast of it, which is then added to it."""
        if node.op == "Cast" and self.half and node.attributes["to"] == (FLOAT16 if self.wide else FLOAT32):
            self.nodes.append(node)
            self.wide = not self.wide
            return True
        end = self.nodes[-1].outputs[0] if self.nodes else self.source
        constants = [graph.constants[name] for name in node.inputs if name in graph.constants]
        if len(node.inputs) != 2 or len(constants) != 1 or constants[0].dtype.kind != "f":
            return False
        number, first = constants[0].astype(np.float64), node.inputs[0] == end
        for known in (self.scale, self.shift):
            if known.size > 1 and number.size > 1 and known.shape != number.shape:
                return False
        match node.op, first:
            case "Add", _:
                self.shift = self.shift + number
            case "Sub", True:
                self.shift = self.shift - number
            case "Sub", False:
                self.scale, self.shift = -self.scale, number - self.shift
            case "Mul", _:
                self.scale, self.shift = self.scale * number, self.shift * number
            case "Div", True:
                self.scale, self.shift = self.scale / number, self.shift / number
            case _:
                return False
        self.nodes.append(node)
        return True


def fold_scales_and_shifts(graph: Graph) -> None:
    """Rewrites every chain: into the convolution before it, the one after it, or two nodes at most."""
    users: Users = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            users[name].append(node)
    half, done = _half_tensors(graph), set[int]()
    for node in list(graph.nodes):
        if id(node) in done or not (chain := _chain_from(graph, node, users, half)).nodes:
            continue
        done.update(map(id, chain.nodes))
        before, after = graph.producer.get(chain.source), users[chain.nodes[-1].outputs[0]]
        if before is not None and len(users[chain.source]) == 1 and _fold_backwards(graph, before, chain):
            _replace(graph, chain, [])
            before.outputs[0] = chain.nodes[-1].outputs[0]
            graph.producer[before.outputs[0]] = before
        elif len(after) == 1 and (rest := _fold_forwards(graph, after[0], chain)) is not None:
            _replace(graph, chain, rest)
            if not rest:
                after[0].inputs[0] = chain.source
        else:
            steps = [("Mul", chain.scale), ("Add", chain.shift)]
            # One of several elements may broadcast the tensor, whatever they are.
            steps = [(op, by) for op, by in steps if by.size > 1 or by != (op == "Mul")]
            if 0 < len(steps) < len(chain.nodes):
                _replace(graph, chain, steps)


def _half_tensors(graph: Graph) -> set[str]:
    """The names of tensors that are float16."""
    half = {name for name, array in graph.constants.items() if array.dtype == np.float16}
    for node in graph.nodes:
        becomes_half = node.attributes["to"] == FLOAT16 if node.op == "Cast" else half.intersection(node.inputs)
        if becomes_half:  # Comparisons, too, whose results no scale is for.
            half.update(node.outputs)
    return half


def _chain_from(graph: Graph, node: Node, users: Users, half: set[str]) -> Chain:
    """The longest chain that begins with a node; without nodes if that is neither a scale nor a shift."""
    source = next((name for name in node.inputs if name not in graph.constants), "")
    chain, longest = Chain(source, source in half), Chain(source)
    while chain.append(graph, node):
        if not chain.wide:
            longest = dataclasses.replace(chain, nodes=[*chain.nodes])
        after = users[node.outputs[0]]
        if len(after) != 1:
            break
        (node,) = after
    return longest


def _fold_backwards(graph: Graph, convolution: Node, chain: Chain) -> bool:
    """Whether a convolution's weights [D, C, ...] and shifts have taken the chain after it."""
    if convolution.op not in ("Conv", "ConvTranspose") or convolution.inputs[1] not in graph.constants:
        return False
    weights = graph.constants[convolution.inputs[1]].astype(np.float64)
    axis = 0 if convolution.op == "Conv" else 1
    scale, shift = (_of_channels(array, weights.ndim, weights.shape[axis]) for array in (chain.scale, chain.shift))
    if scale is None or shift is None:
        return False
    weights = weights * np.expand_dims(scale, [at for at in range(weights.ndim) if at != axis])
    _set_weights(graph, convolution, weights, _bias(graph, convolution, len(scale)) * scale + shift)
    return True


def _fold_forwards(graph: Graph, convolution: Node, chain: Chain) -> list[tuple[str, np.ndarray]] | None:
    """The part of a chain that the convolution after it cannot take; None where it cannot take any.

    Borders are filled with zeros after the chain, so a shift stays before the convolution unless there are none.
    """
    if convolution.op != "Conv" or convolution.attributes["group"] != 1 or convolution.inputs[1] not in graph.constants:
        return None
    weights = graph.constants[convolution.inputs[1]].astype(np.float64)
    scale, shift = (_of_channels(array, weights.ndim, weights.shape[1]) for array in (chain.scale, chain.shift))
    bordered = any(convolution.attributes["pads"])
    if scale is None or shift is None or (scale == 0).any():
        return None
    rest = [("Add", chain.shift / chain.scale)] if bordered and shift.any() else []
    # One of several elements may broadcast the tensor, so it must stay.
    if len(rest) == len(chain.nodes) or (not rest and max(chain.scale.size, chain.shift.size) > 1):
        return None
    bias = _bias(graph, convolution, len(weights))
    if not bordered:
        bias = bias + np.tensordot(weights.sum(axis=tuple(range(2, weights.ndim))), shift, 1)
    weights = weights * np.expand_dims(scale, [0, *range(2, weights.ndim)])
    _set_weights(graph, convolution, weights, bias)
    return rest


def _of_channels(array: np.ndarray, rank: int, channels: int) -> np.ndarray | None:
    """The numbers [C] of an array that ONNX broadcasts to images [B, C, ...]; None where they differ in a channel."""
    shape = (1,) * (rank - array.ndim) + array.shape
    if (
        len(shape) != rank
        or array.size not in (1, channels)
        or any(length != 1 for axis, length in enumerate(shape) if axis != 1)
    ):
        return None
    return np.broadcast_to(array.reshape(-1), channels)


def _bias(graph: Graph, convolution: Node, channels: int) -> np.ndarray:
    inputs = convolution.inputs
    return graph.constants[inputs[2]].astype(np.float64) if len(inputs) > 2 else np.zeros(channels)


def _set_weights(graph: Graph, convolution: Node, weights: np.ndarray, bias: np.ndarray) -> None:
    dtype = graph.constants[convolution.inputs[1]].dtype
    names = [graph.constant(array.astype(dtype)) for array in (weights, bias)]
    convolution.inputs[1:] = names if bias.any() else names[:1]


def _replace(graph: Graph, chain: Chain, steps: list[tuple[str, np.ndarray]]) -> None:
    """Puts other operators into the place of a chain."""
    position = graph.nodes.index(chain.nodes[-1])
    name, written = chain.source, []
    for number, (op, array) in enumerate(steps, 1):
        output = chain.nodes[-1].outputs[0] if number == len(steps) else graph.new_name()
        written.append(Node(op, [name, graph.constant(array.astype(chain.dtype))], [output], {}))
        graph.producer[output], name = written[-1], output
    graph.nodes[position : position + 1] = written
    for node in chain.nodes[:-1]:
        graph.nodes.remove(node)
