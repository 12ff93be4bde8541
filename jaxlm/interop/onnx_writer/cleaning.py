"""Makes a graph smaller."""

from __future__ import annotations

from jaxlm.interop.onnx_writer.graph import Graph


def clean(graph: Graph, outputs: list[str]) -> None:
    """Removes what no output needs."""
    _remove_unused(graph, outputs)


def _remove_unused(graph: Graph, wanted: list[str]) -> None:
    used, kept = set(wanted), []
    for node in reversed(graph.nodes):
        if used.intersection(node.outputs):
            used.update(node.inputs)
            kept.append(node)
    graph.nodes = kept[::-1]
    graph.constants = {name: array for name, array in graph.constants.items() if name in used}
