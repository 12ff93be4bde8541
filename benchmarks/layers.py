"""Times the operators that jaxlm.models.operators rewrites for CPUs, XLA's own form against the rewritten one.

python -m benchmarks.layers [--batch 16] [--runs 7]
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from functools import partial
from unittest import mock

import jax
import numpy as np

from benchmarks import timing
from jaxlm.models.layers import operators


@dataclasses.dataclass(frozen=True)
class Case:
    """An operator at one size: inputs [B, `size`, `size`, `channels`], and its kernel's shape if it has one."""

    name: str
    operator: Callable[..., jax.Array]
    size: int
    channels: int
    kernel: tuple[int, ...] | None = None

    def inputs(self, batch: int) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        shapes = [(batch, self.size, self.size, self.channels)] + ([self.kernel] if self.kernel else [])
        return [rng.standard_normal(shape, np.float32) for shape in shapes]


CASES = (
    Case("convolution 64 -> 24, 192 px", operators.conv_3x3, 192, 64, (3, 3, 64, 24)),
    Case("convolution 256 -> 128, 96 px", operators.conv_3x3, 96, 256, (3, 3, 256, 128)),
    Case("convolution 324 -> 1024, 48 px", operators.conv_3x3, 48, 324, (3, 3, 324, 1024)),
    Case("convolution 3 -> 24, 384 px, stride 2", partial(operators.conv_3x3, stride=2), 384, 3, (3, 3, 3, 24)),
    Case("convolution 512 -> 512, 2 px", operators.conv_3x3, 2, 512, (3, 3, 512, 512)),
    Case("convolution 24 -> 144, 1 x 1, 32 px", operators.conv, 32, 24, (1, 1, 24, 144)),
    Case("depthwise 116, 48 px", operators.depthwise_conv_3x3, 48, 116, (3, 3, 1, 116)),
    Case("depthwise 116, 48 px, stride 2", partial(operators.depthwise_conv_3x3, stride=2), 48, 116, (3, 3, 1, 116)),
    Case("transposed 232 -> 324, 24 px", operators.conv_transpose_4x4, 24, 232, (4, 4, 324, 232)),
    Case("max-pool 24, 192 px", operators.max_pool_3x3, 192, 24),
)


def forward(operator: Callable[..., jax.Array], *inputs: jax.Array) -> jax.Array:
    return operator(*inputs)


def gradient(operator: Callable[..., jax.Array], *inputs: jax.Array) -> tuple[jax.Array, ...]:
    """The result and its gradient by every input."""
    result, pullback = jax.vjp(operator, *inputs)
    return result, *pullback(result)


def compiled(case: Case, function: Callable[..., object], rewritten: bool, batch: int) -> Callable[[], object]:
    """`function` of the operator in one of its forms, ready to run on fixed inputs."""
    inputs = [jax.device_put(x) for x in case.inputs(batch)]
    with mock.patch.object(operators, "rewritten", return_value=rewritten):
        run = jax.jit(lambda *inputs: function(case.operator, *inputs)).lower(*inputs).compile()
    return lambda: jax.block_until_ready(run(*inputs))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16, help="images in a batch")
    parser.add_argument("--runs", type=int, default=7, help="runs of each form, of which the median counts")
    arguments = parser.parse_args()
    print(f"{timing.environment(['jax', 'jaxlib'])}; batch {arguments.batch}")
    print(f"Milliseconds that pass (and of processor time, all cores together), medians of {arguments.runs} runs\n")
    print("| operator | forward, XLA | rewritten | | forward + gradient, XLA | rewritten | |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        cells = []
        for function in (forward, gradient):
            forms = {
                form: compiled(case, function, form == "rewritten", arguments.batch) for form in ("XLA", "rewritten")
            }
            times = timing.alternate(forms, arguments.runs)
            cells += [f"{1e3 * times[form].wall:.1f} ({1e3 * times[form].cpu:.1f})" for form in forms]
            cells.append(f"{times['XLA'].wall / times['rewritten'].wall:.1f} x")
        print("| " + " | ".join([case.name, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
