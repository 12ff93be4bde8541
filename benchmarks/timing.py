"""Timing of functions in alternation, so that a machine's other work falls on all of them alike."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection


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
    for function in functions.values():
        function()
    return _in_turn({name: lambda function=function: _time(function) for name, function in functions.items()}, runs)


def alternate_processes(builders: Mapping[str, Callable[[], Callable[[], object]]], runs: int) -> dict[str, Timing]:
    """As `alternate`, each function built and run in a process of its own, for libraries that are not used together.

    Args:
      builders: Give the functions; picklable.
      runs: Timed runs of each.

    Raises:
      EOFError: A process ended; what went wrong it has written itself.
    """
    context = multiprocessing.get_context("spawn")
    ends: dict[str, Connection] = {}
    processes = []
    for name, builder in builders.items():
        ends[name], theirs = context.Pipe()
        processes.append(context.Process(target=_serve, args=(builder, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
        ends[name].recv()  # It is ready; one after another, so that none is built while another warms up.
    timings = _in_turn({name: lambda end=end: end.send(True) or end.recv() for name, end in ends.items()}, runs)
    for end, process in zip(ends.values(), processes, strict=True):
        end.send(False)
        process.join()
    return timings


def _serve(builder: Callable[[], Callable[[], object]], end: Connection) -> None:
    function = builder()
    function()
    end.send(None)
    while end.recv():
        end.send(_time(function))


def _time(function: Callable[[], object]) -> Timing:
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return Timing(time.perf_counter() - wall, time.process_time() - cpu)


def _in_turn(timers: Mapping[str, Callable[[], Timing]], runs: int) -> dict[str, Timing]:
    samples: dict[str, list[Timing]] = {name: [] for name in timers}
    for _ in range(runs):
        for name, timer in timers.items():
            samples[name].append(timer())
    return {
        name: Timing(statistics.median(t.wall for t in times), statistics.median(t.cpu for t in times))
        for name, times in samples.items()
    }


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
