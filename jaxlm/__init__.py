"""Facial-landmark detectors in JAX: train, evaluate and run them. Set here is what JAX reads when it starts."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Any

from jaxlm.runtime import starting

if TYPE_CHECKING:
    from jaxlm.prediction import Landmarker as Landmarker

__version__ = "0.1.0"

if starting.is_command():
    starting.set_up()


def _compiled() -> pathlib.Path:
    """Where compiled programs are kept between runs: a folder for each jaxlib and kind of processor.

    Programs of one processor may end in an illegal instruction on another, and home folders are shared in clusters.
    """
    import hashlib  # Not at the top, as they are slower than all else here: until then, Ctrl-C ends in a traceback.
    import importlib.metadata
    import platform

    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])
    machine = f"{platform.machine()} {flags} jaxlib {importlib.metadata.version('jaxlib')}"
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(caches) / "jaxlm" / hashlib.sha256(machine.encode()).hexdigest()[:12]


def _has_virtual_devices() -> bool:
    """Whether the environment asks JAX for several CPU devices in this process."""
    asked = os.environ.get("JAX_NUM_CPU_DEVICES", "1")
    return asked not in ("", "-1", "0", "1") or "device_count" in os.environ.get("XLA_FLAGS", "")


# A wheel has data_pipelines and experiments inside jaxlm, in nobody's way; in a clone they lie beside it. Code imports
# them as jaxlm.data_pipelines and jaxlm.experiments in both.
if not (pathlib.Path(__file__).parent / "data_pipelines").is_dir():
    __path__.append(str(pathlib.Path(__file__).parents[1]))

os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_compiled()))

# jaxlib before 0.12 sizes its CPU thread pool by the cores; with fewer threads than queued collectives, several virtual
# devices on a small machine wait for each other for ever. With one device more threads than cores make all slower.
if _has_virtual_devices():
    os.environ.setdefault("NPROC", "16")


def __getattr__(name: str) -> Any:
    """`jaxlm.Landmarker`, imported when it is asked for, since tables and geometry need numpy alone."""
    if name == "Landmarker":
        from jaxlm.prediction import Landmarker

        return Landmarker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
