"""The cost of a model: its layers, parameters and multiply-accumulates, counted without computing anything."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.extend.core import Jaxpr

from jaxlm import landmarks, models, tasks
from jaxlm.config import Config
from jaxlm.evaluation import macs
from jaxlm.models.layers import BatchNorm, SeparableBatchNorm
from jaxlm.models.vunet.layers import MIN_INIT_IMAGES

Shape = tuple[int, ...]


_NORMALISATIONS = (BatchNorm, nn.BatchNorm, nn.GroupNorm, nn.InstanceNorm, nn.LayerNorm, nn.RMSNorm)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One row of the table: a module that owns parameters, or an activation, pool or product outside of such modules.

    Attributes:
      path: Names of the modules that lead to it, joined with /.
      kind: The module's class or the operation's name.
      shape: The output's shape at batch 1.
      parameters: The number of trained numbers.
      products: The multiply-accumulates of its convolutions and dense products.
      elementwise: The operations that the published convention counts besides; see `summarise`.
    """

    path: str
    kind: str
    shape: Shape
    parameters: int
    products: int
    elementwise: int

    @property
    def macs(self) -> int:
        return self.products + self.elementwise


@dataclasses.dataclass(frozen=True)
class Summary:
    """The layers of a model in the order they run, and their totals.

    Attributes:
      layers: The layers.
      parameters: The number of trained numbers.
      sets: K of the SepBN layers.
    """

    layers: tuple[Layer, ...]
    parameters: int
    sets: int = 1

    @property
    def products(self) -> int:
        return sum(layer.products for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def published_macs(self) -> int:
        """As SepBN's authors count them, whose layers are K whole normalisations; here K sets share one."""
        elements = sum(math.prod(layer.shape) for layer in self.layers if layer.kind == SeparableBatchNorm.__name__)
        return self.macs + 2 * (self.sets - 1) * elements

    @property
    def megabytes(self) -> float:
        """Size of the float32 parameters, in 10^6 bytes."""
        return 4 * self.parameters / 1e6


@dataclasses.dataclass(frozen=True)
class _Call:
    """A call of a module, seen while tracing.

    `layer` is its row, None for a module that only calls others; `complete` says that the row's counts are final and
    answer for the modules inside it, too.
    """

    path: str
    layer: Layer | None
    complete: bool


def summarise(model: nn.Module, input_size: int, structure_channels: int = 0) -> Summary:
    """Counts the parameters and operations of `model` on one image of `input_size` pixels; it computes nothing.

    A translator is given a structure map of `structure_channels` channels beside the image; detectors take none.

    The convention is that of the published figures (ptflops): the products of convolutions and dense layers, a
    transposed convolution's at its input positions; one per output element for a convolution's bias and for an
    activation; two per output element for a normalisation; the input size for a pool. A dense layer's bias is free.

    A module that should be counted otherwise than it computes (say, a depthwise convolution made of shifts) defines
    `count_macs(self, input_shape, output_shape) -> (products, elementwise)`, which answers for all inside it.
    """
    variables = abstract_variables(model, input_size, structure_channels)
    params = variables.get("params", {})
    inputs = _inputs(1, input_size, structure_channels)
    calls: dict[int, _Call] = {}
    with nn.intercept_methods(_recorder(params, calls)):
        jaxpr = jax.make_jaxpr(lambda variables: model.apply(variables, *inputs, train=False))(variables)
    return Summary(_layers(jaxpr.jaxpr, calls), count_parameters(params), getattr(model, "sets", 1))


def count_parameters(params: Mapping[str, Any]) -> int:
    """How many numbers a tree of arrays, or of their shapes, holds."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def abstract_variables(model: nn.Module, input_size: int, structure_channels: int) -> Mapping[str, Any]:
    """Shapes of a model's variables."""
    # Layers of a translator start from data, and want several images.
    inputs = _inputs(MIN_INIT_IMAGES if structure_channels else 1, input_size, structure_channels)
    return jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs, train=False))


def _inputs(count: int, size: int, structure_channels: int) -> list[jax.Array]:
    return [jnp.zeros((count, size, size, channels)) for channels in (3, structure_channels) if channels]


def _recorder(params: Mapping[str, Any], calls: dict[int, _Call]) -> Callable[..., Any]:
    """An interceptor that notes every module called and gives its operations the scope of its number."""
    numbers = itertools.count()

    def record(method: Callable[..., Any], args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        if context.method_name != "__call__":
            return method(*args, **kwargs)
        number = next(numbers)
        with macs.scope(number):
            output = method(*args, **kwargs)
        calls[number] = _as_call(context.module, params, args, output)
        return output

    return record


def _as_call(module: nn.Module, params: Mapping[str, Any], inputs: tuple, output: Any) -> _Call:
    path = "/".join(module.path)
    for name in module.path:
        params = params.get(name, {})
    own: Mapping[str, Any] = {name: value for name, value in params.items() if not isinstance(value, Mapping)}
    products, elementwise, complete = 0, 0, False
    if hasattr(module, "count_macs"):
        products, elementwise = module.count_macs(inputs[0].shape, output.shape)
        own, complete = params, True
    elif isinstance(module, _NORMALISATIONS):
        elementwise, complete = 2 * output.size, True
    elif not own:
        return _Call(path, None, False)
    elif isinstance(module, nn.Conv | nn.ConvTranspose) and module.use_bias:
        elementwise = output.size
    layer = Layer(path, type(module).__name__, output.shape, count_parameters(own), products, elementwise)
    return _Call(path, layer, complete)


def _layers(jaxpr: Jaxpr, calls: Mapping[int, _Call]) -> tuple[Layer, ...]:
    """One row for each call of a layer, and for each counted operation outside of layers, in the order they run."""
    rows: dict[Any, Layer] = {}
    for equation, scope in macs.operations(jaxpr):
        name, products, elementwise = macs.count(equation)
        number = next((number for number in scope if calls[number].complete), scope[-1])
        layer, path = calls[number].layer, calls[number].path
        if layer:
            row = rows.setdefault(number, layer)
            if not calls[number].complete:
                total = row.products + products, row.elementwise + elementwise
                rows[number] = dataclasses.replace(row, products=total[0], elementwise=total[1])
        elif products or elementwise:
            shape = macs.shape_of(equation.outvars[0])
            rows[f"operation {len(rows)}"] = Layer(path, name, shape, 0, products, elementwise)
    return _without_shared_parameters(rows.values())


def _without_shared_parameters(rows: Iterable[Layer]) -> tuple[Layer, ...]:
    """Parameters appear in the first row of a layer that is called several times, and nowhere else."""
    seen, unique = set(), []
    for row in rows:
        unique.append(dataclasses.replace(row, parameters=0) if row.parameters and row.path in seen else row)
        seen.add(row.path)
    return tuple(unique)


def as_table(summary: Summary) -> str:
    """The layers and totals as text, one layer a line."""
    header = ("layer", "type", "output", "parameters", "MACs")
    rows = [
        (row.path, row.kind, " x ".join(map(str, row.shape[1:])), f"{row.parameters:,}", f"{row.macs:,}")
        for row in summary.layers
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if index < 3 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
    totals = [
        f"parameters {summary.parameters:,} ({summary.megabytes:.2f} MB in float32)",
        f"MACs {summary.macs:,}, of which products {summary.products:,} (one image)",
    ]
    if summary.published_macs != summary.macs:
        totals.append(
            f"MACs {summary.published_macs:,} as SepBN's authors count: {summary.sets} whole normalisations a layer,"
            " where here the sets share one"
        )
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], "", *totals])


def summarise_experiment(config: Config) -> Summary:
    """The summary of the model of an experiment; see `summarise`."""
    return summarise(*model_of(config))


def model_of(config: Config) -> tuple[nn.Module, int, int]:
    """The model of an experiment, its input size, and the channels of its structure maps."""
    scheme = landmarks.load_scheme(config.data.scheme)
    model = models.build(config.model.name, scheme.num_points, config.model.options, config.dtype)
    return model, config.model.input_size, tasks.structure_channels(config.task, config.model, scheme)


def check_size(config: Config) -> None:
    """Raises ValueError where an experiment's model takes more than the `max_megabytes` that it allows itself."""
    if config.max_megabytes is None:
        return
    variables = abstract_variables(*model_of(config))
    megabytes = 4 * count_parameters(variables["params"]) / 1e6
    if megabytes > config.max_megabytes:
        raise ValueError(
            f"the model's float32 parameters take {megabytes:.2f} MB, more than max_megabytes = "
            f"{config.max_megabytes:g}; make it narrower, or allow more with --max-megabytes"
        )
