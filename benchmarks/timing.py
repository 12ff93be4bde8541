"""Timing of functions in alternation, so that a machine's other work falls on all of them alike."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Timing:
    """Medians over the runs of a function.

    Attributes:
      wall: Seconds that pass.
      cpu: Seconds that processor cores are busy with this process, all threads together.
    """

    wall: float
    cpu: float


def alternate(functions: Mapping[str, Callable[[], object]], runs: int) -> dict[str, Timing]:
    """Runs each function once to warm up, then all in turn `runs` times; a function returns when its work is done."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(runs):
        for name, function in functions.items():
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            samples[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: Timing(*map(statistics.median, zip(*rows, strict=True))) for name, rows in samples.items()}


def environment(packages: Sequence[str]) -> str:
    """One line that says where and when a table was made."""
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    return f"{_processor()}, {os.cpu_count()} cores; {versions}; {datetime.date.today()}"


def _processor() -> str:
    """The processor's name on Linux, its architecture elsewhere."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
