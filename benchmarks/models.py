"""Times our models against plain PyTorch forms of the same networks, in turn, each in a process of its own.

python -m benchmarks.models [--runs 7] [--only SepBN] [--out benchmarks/results]

Ours keeps memory from step to step on a CPU, as `jaxlm.train` does; PyTorch is timed as it comes, and also so. On a GPU
the rows come in float32 and in bfloat16, and PyTorch also compiled. The table is written as Markdown and JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import re
from collections.abc import Callable, Sequence

import jax

from benchmarks import jax_runs, timing
from benchmarks.cases import CASES, Case
from jaxlm import models
from jaxlm.evaluation import cost

# A step computes each product three times: forwards, and for the gradients of inputs and of weights.
_PRODUCTS_PER_STEP = 3

HEADER = (
    "| network | dtype | ours, ms | PyTorch, ms | PyTorch / ours | memory kept, ms | compiled, ms | parameters |"
    " MACs an image | our GFLOP/s | of the product rate |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclasses.dataclass(frozen=True)
class Row:
    """A case as it was timed, medians in milliseconds; None where there is no such form.

    Attributes:
      name, dtype: Of the case.
      ours, torch: Milliseconds that pass.
      torch_kept: PyTorch with memory kept, on a CPU.
      torch_compiled: PyTorch compiled, on a GPU.
      parameters: How many numbers are trained.
      products: Multiply-accumulates of an image.
      flops: Of ours a second: two for each multiply-accumulate, three times as many in a step.
      share: Of the rate of a large matrix product on this machine.
    """

    name: str
    dtype: str
    ours: float
    torch: float | None
    torch_kept: float | None
    torch_compiled: float | None
    parameters: int
    products: int
    flops: float
    share: float

    def __str__(self) -> str:
        times = self.torch, self.torch_kept, self.torch_compiled
        torch, kept, compiled = (f"{value:.1f}" if value else "-" for value in times)
        ratio = f"{self.torch / self.ours:.2f}" if self.torch else "-"
        return (
            f"| {self.name} | {self.dtype} | {self.ours:.1f} | {torch} | {ratio} | {kept} | {compiled} |"
            f" {self.parameters:,} | {self.products:,} | {self.flops / 1e9:.0f} | {self.share:.0%} |"
        )


def builders(case: Case, dtype: str, on_gpu: bool) -> dict[str, Callable[[], Callable[[], object]]]:
    """What gives the functions that are timed of a case, by the field of `Row`."""
    forms = {"ours": functools.partial(jax_runs.build, case, dtype)}
    if importlib.util.find_spec("torch"):
        from benchmarks import torch_runs

        forms["torch"] = functools.partial(torch_runs.build, case, dtype)
        if on_gpu:
            forms["torch_compiled"] = functools.partial(torch_runs.build, case, dtype, compiled=True)
        else:
            forms["torch_kept"] = functools.partial(torch_runs.build, case, dtype, keep_memory=True)
    return forms


def measure(case: Case, dtype: str, on_gpu: bool, ceiling: float, runs: int) -> Row:
    """Times a case; `ceiling` is the rate of a matrix product, in FLOP/s."""
    timings = timing.alternate_processes(builders(case, dtype, on_gpu), runs)
    times = {name: 1e3 * time.wall for name, time in timings.items()}
    network = case.network
    model = models.build(network.model, network.num_points, network.options, dtype)
    counted = cost.summarise(model, network.size)
    work = 2 * case.batch * counted.products * (_PRODUCTS_PER_STEP if case.what == "step" else 1)
    flops = work / (times["ours"] / 1e3)
    return Row(
        name=case.name,
        dtype=dtype,
        ours=times["ours"],
        torch=times.get("torch"),
        torch_kept=times.get("torch_kept"),
        torch_compiled=times.get("torch_compiled"),
        parameters=counted.parameters,
        products=counted.products,
        flops=flops,
        share=flops / ceiling,
    )


def product_rate(dtype: str, runs: int, size: int) -> float:
    """FLOP/s of a matrix product."""
    (time,) = timing.alternate({"product": jax_runs.matrix_product(dtype, size)}, runs).values()
    return 2 * size**3 / time.wall


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each form, of which the median counts")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("benchmarks/results"), help="folder")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # A GPU's memory serves several processes here.
    device = jax.devices()[0]
    on_gpu = device.platform == "gpu"
    packages = ["jax", "jaxlib", "flax"] + (["torch"] if importlib.util.find_spec("torch") else [])
    title = f"{device.device_kind}; {timing.environment(packages)}; medians of {arguments.runs} runs"
    print(f"{title}\n")
    rows, notes = [], []
    for dtype in ("float32", "bfloat16") if on_gpu else ("float32",):
        ceiling = product_rate(dtype, arguments.runs, size=8192 if on_gpu else 2048)
        notes.append(f"A large matrix product reaches {ceiling / 1e9:,.0f} GFLOP/s in {dtype}.")
        print(f"{notes[-1]}\n\n{HEADER}")
        for case in CASES:
            if arguments.only in case.name:
                rows.append(measure(case, dtype, on_gpu, ceiling, arguments.runs))
                print(rows[-1], flush=True)
    name = re.sub(r"\W+", "_", device.device_kind).strip("_").lower()
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = "\n".join([title, "", *notes, "", HEADER, *map(str, rows), ""])
    (arguments.out / f"{name}.md").write_text(table)
    document = {"title": title, "notes": notes, "rows": [dataclasses.asdict(row) for row in rows]}
    (arguments.out / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
