"""A JAX function as an ONNX model: its equations one by one, by the rules for their primitives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from jaxlm.interop.onnx_writer import cleaning, convolutions, elementwise, gathers, quantising, shapes
from jaxlm.interop.onnx_writer.graph import Graph, Node, to_model
from jaxlm.interop.onnx_writer.values import BATCH, Value, constant, hold, place
from jaxlm.models.layers import operators

RULES = elementwise.RULES | shapes.RULES | convolutions.RULES | gathers.RULES
"""The rule for each primitive that can be converted."""

# Primitives that call another program once, and the parameter that has it.
_CALLS = {
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "jit": "jaxpr",
}


class UnknownPrimitiveError(ValueError):
    """A program has a primitive, or a form of it, that no rule is for."""


def convert(
    function: Callable[[jax.Array], Any], shape: tuple[int, ...], dtype: Any, input_name: str, int8: bool = False
) -> Any:
    """A function as an `onnx.ModelProto` that takes any number of inputs at a time.

    Args:
      function: Arrays [B, *shape] -> a NamedTuple of arrays [B, ...] and None. Its fields name the outputs.
      shape: The shape of one input.
      dtype: Its type.
      input_name: Its name in the model.
      int8: Store the weights as int8; see `quantising.store_weights_in_int8`.

    Raises:
      UnknownPrimitiveError: A primitive has no rule.
      ImportError: The package onnx is not installed.
    """
    with operators.traced_for("accelerator"):
        program, found = jax.make_jaxpr(function, return_shape=True)(jax.ShapeDtypeStruct((BATCH, *shape), dtype))
    names = [name for name, output in found._asdict().items() if output is not None]
    graph = Graph(input_name)
    whole = Value((BATCH, *shape), np.dtype(dtype), tuple(range(len(shape) + 1)), input_name)
    constants = [constant(np.asarray(array)) for array in program.consts]
    outputs = dict(zip(names, _run(graph, program.jaxpr, constants, [whole]), strict=True))
    for name, value in outputs.items():
        axes = tuple(range(len(value.shape)))
        graph.nodes.append(Node("Identity", [place(graph, hold(graph, value, axes), axes)], [name], {}))
    cleaning.clean(graph, names)
    if int8:
        quantising.store_weights_in_int8(graph)
    described = {name: (value.shape[1:], value.dtype) for name, value in outputs.items()}
    return to_model(graph, shape, np.dtype(dtype), described)


def _run(graph: Graph, program: core.Jaxpr, constants: Sequence[Value], inputs: Sequence[Value]) -> list[Value]:
    """The outputs of a program, whose equations are added to the graph."""
    known: dict[Any, Value] = dict(zip((*program.constvars, *program.invars), (*constants, *inputs), strict=True))

    def read(variable: Any) -> Value:
        if isinstance(variable, core.Literal):
            kind: Any = variable.aval
            return constant(np.asarray(variable.val, kind.dtype))  # The value may be a number of Python.
        return known[variable]

    for equation in program.eqns:
        outputs = _apply(graph, equation, [read(variable) for variable in equation.invars])
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in program.outvars]


def _apply(graph: Graph, equation: core.JaxprEqn, inputs: list[Value]) -> list[Value]:
    """The outputs of an equation."""
    name, parameters = equation.primitive.name, equation.params
    if name in _CALLS:
        inner = parameters[_CALLS[name]]
        closed = inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ())
        return _run(graph, closed.jaxpr, [constant(np.asarray(array)) for array in closed.consts], inputs)
    of_constants = name in elementwise.RULES or name in shapes.OF_CONSTANTS
    if not of_constants and all(value.data is not None for value in inputs):
        return _evaluate(equation, inputs)
    if name not in RULES:
        raise UnknownPrimitiveError(f"the primitive {name} has no rule in jaxlm/interop/onnx_writer")
    out: Any = equation.outvars[0].aval
    try:
        outputs = RULES[name](graph, inputs, parameters, out)
    except NotImplementedError as error:
        raise UnknownPrimitiveError(f"{error} has no rule in jaxlm/interop/onnx_writer") from error
    return outputs if isinstance(outputs, list) else [outputs]


def _evaluate(equation: core.JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
    """The outputs of an equation of constants, for a batch of one along which they are repeated."""
    arrays = [
        np.broadcast_to(value.data, [1 if length == BATCH else length for length in value.shape])
        for value in inputs
        if value.data is not None
    ]
    with jax.default_device(jax.devices("cpu")[0]):
        parameters = {name: _for_one(parameter) for name, parameter in equation.params.items()}
        found = equation.primitive.bind(*arrays, **parameters)
    outputs = found if equation.primitive.multiple_results else [found]
    kinds: list[Any] = [variable.aval for variable in equation.outvars]
    return [constant(np.asarray(array), kind.shape) for array, kind in zip(outputs, kinds, strict=True)]


def _for_one(parameter: Any) -> Any:
    """An equation's parameter with 1 in the place of the batch."""
    if isinstance(parameter, tuple) and not hasattr(parameter, "_fields"):
        return tuple(_for_one(part) for part in parameter)
    return 1 if isinstance(parameter, int) and parameter == BATCH else parameter
