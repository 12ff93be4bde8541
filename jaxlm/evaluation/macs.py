"""The multiply-accumulates of one traced operation, by the convention of published numbers (ptflops)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

_ACTIVATIONS = frozenset(
    {"celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "leaky_relu", "logistic"}
    | {"relu", "relu6", "selu", "sigmoid", "silu", "softplus", "tanh"}
)
_POOLS = {
    "max_pool_2x2": "max_pool",
    "reduce_window_max": "max_pool",
    "reduce_window_sum": "avg_pool",
    "reduce_sum": "global_avg_pool",
}


def scope(number: int) -> AbstractContextManager:
    """Marks the operations traced inside, for `operations` to tell where each belongs."""
    return jax.named_scope(f"call_{number}")


def operations(jaxpr: Jaxpr, outer: tuple[int, ...] = ()) -> Iterator[tuple[JaxprEqn, tuple[int, ...]]]:
    """Every operation and the numbers of its scopes, outermost first; a function that `count` knows stays whole."""
    for equation in jaxpr.eqns:
        stack = str(equation.source_info.name_stack)
        numbers = outer + tuple(int(number) for number in re.findall(r"\bcall_(\d+)\b", stack))
        _, *cost = count(equation)
        inner = [] if any(cost) else list(_inner_jaxprs(equation))
        for part in inner:
            yield from operations(part, numbers)
        if not inner:
            yield equation, numbers


def count(equation: JaxprEqn) -> tuple[str, int, int]:
    """Name, products and element-wise operations of an operation.

    Products are those of convolutions and of dense products. Element-wise operations are one per output element of an
    activation and the input size of a pool, which includes the mean over both axes of a map. All else is free.
    """
    primitive = equation.primitive.name
    name = equation.params["name"] if primitive in ("jit", "pjit") else primitive
    if name == "dot_general":
        return name, _dense_products(equation), 0
    if name == "conv_general_dilated":
        return name, _convolution_products(equation), 0
    if name in _ACTIVATIONS:
        return name, 0, math.prod(shape_of(equation.outvars[0]))
    if name in _POOLS and (name != "reduce_sum" or _covers_a_map(equation)):
        return _POOLS[name], 0, math.prod(shape_of(equation.invars[0]))
    return name, 0, 0


def shape_of(variable: Any) -> tuple[int, ...]:
    """The shape of an operand or a result, which is an array in every operation that is counted."""
    return variable.aval.shape


def _inner_jaxprs(equation: JaxprEqn) -> Iterator[Jaxpr]:
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item


def _covers_a_map(equation: JaxprEqn) -> bool:
    """Whether a reduction runs over height and width of [B, H, W, C]."""
    return len(shape_of(equation.invars[0])) == 4 and tuple(equation.params["axes"]) == (1, 2)


def _dense_products(equation: JaxprEqn) -> int:
    source, result = shape_of(equation.invars[0]), shape_of(equation.outvars[0])
    contracted = equation.params["dimension_numbers"][0][0]
    return math.prod(result) * math.prod(source[axis] for axis in contracted)


def _convolution_products(equation: JaxprEqn) -> int:
    """At the output positions, or at the input positions of a transposed convolution."""
    source, kernel, result = (shape_of(variable) for variable in (*equation.invars, *equation.outvars))
    output_axis, input_axis = equation.params["dimension_numbers"].rhs_spec[:2]
    if math.prod(equation.params["lhs_dilation"]) > 1:
        return math.prod(source) * math.prod(kernel) // kernel[input_axis]
    return math.prod(result) * math.prod(kernel) // kernel[output_axis]
