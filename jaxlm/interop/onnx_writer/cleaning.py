"""Makes a graph smaller: scales and shifts go into convolutions, limits become one node, what nobody needs goes."""

from __future__ import annotations

from collections import Counter

from jaxlm.interop.onnx_writer import folding
from jaxlm.interop.onnx_writer.graph import Graph


def clean(graph: Graph, outputs: list[str]) -> None:
    """Rewrites a graph to a smaller one with the same outputs."""
    _remove_unused(graph, outputs)
    _name_outputs(graph)
    _join_limits(graph)
    _find_leaky_relus(graph)
    _remove_unused(graph, outputs)
    folding.fold_scales_and_shifts(graph)
    _remove_unused(graph, outputs)


def _remove_unused(graph: Graph, outputs: list[str]) -> None:
    used, kept = set(outputs), []
    for node in reversed(graph.nodes):
        if used.intersection(node.outputs):
            used.update(node.inputs)
            kept.append(node)
    graph.nodes = kept[::-1]
    graph.constants = {name: array for name, array in graph.constants.items() if name in used}


def _name_outputs(graph: Graph) -> None:
    """Nodes whose result is an output, and nothing else, give it themselves."""
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    for node in [node for node in graph.nodes if node.op == "Identity"]:
        producer = graph.producer.get(node.inputs[0])
        if producer is not None and uses[node.inputs[0]] == 1:
            producer.outputs[producer.outputs.index(node.inputs[0])] = node.outputs[0]
            graph.nodes.remove(node)
    graph.producer = {name: node for node in graph.nodes for name in node.outputs}


def _join_limits(graph: Graph) -> None:
    """A lower limit and then an upper one are one node; a lower limit of 0 alone is a Relu."""
    for node in graph.nodes:
        if node.op != "Clip":
            continue
        before = graph.producer.get(node.inputs[0])
        if before is not None and before.op == "Clip" and len(before.inputs) == 2 and node.inputs[1] == "":
            node.inputs[:2] = before.inputs
    for node in graph.nodes:
        if node.op == "Clip" and len(node.inputs) == 2:
            limit = graph.constants[node.inputs[1]]
            if limit == 0 and limit.dtype.kind == "f":
                node.op, node.inputs = "Relu", node.inputs[:1]


def _find_leaky_relus(graph: Graph) -> None:
    """X where x >= 0, and a x elsewhere."""
    for node in graph.nodes:
        if node.op != "Where":
            continue
        condition, product = (graph.producer.get(name) for name in (node.inputs[0], node.inputs[2]))
        x = node.inputs[1]
        if (
            condition is not None
            and product is not None
            and condition.op == "GreaterOrEqual"
            and product.op == "Mul"
            and condition.inputs[0] == product.inputs[0] == x
            and _number(graph, condition.inputs[1]) == 0
            and (slope := _number(graph, product.inputs[1])) is not None
        ):
            node.op, node.inputs, node.attributes = "LeakyRelu", [x], {"alpha": slope}


def _number(graph: Graph, name: str) -> float | None:
    """A constant of one element, if it is one."""
    array = graph.constants.get(name)
    return float(array.item()) if array is not None and array.size == 1 else None
