"""JAX functions as ONNX models, written equation by equation.

In: a function of arrays [B, ...]. Out: an `onnx.ModelProto` for any B, channels first, its normalisations folded.
graph.py is the graph, values.py how arrays lie in it, program.py the way through; the other files hold rules.
"""

from jaxlm.interop.onnx_writer.program import RULES, UnknownPrimitiveError, convert

__all__ = ["RULES", "UnknownPrimitiveError", "convert"]
