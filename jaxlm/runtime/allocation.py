"""Memory that the C library hands to XLA on a CPU, kept from one training step to the next."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import platform

import jax

# Parameters of mallopt(3), by their numbers in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_memory() -> bool:
    """Lets this process keep the memory that arrays leave, if JAX has but CPUs and the C library is glibc.

    glibc maps large arrays one by one and unmaps them when they are freed, so a training step gets gigabytes of pages
    that the system clears anew each time (benchmarks/NOTES.md). From now on the process stays as large as it ever was.
    Call it before JAX starts its threads: those that have begun keep mapping and unmapping.

    Returns:
      Whether the memory is kept.
    """
    if not _has_only_cpus() or platform.libc_ver()[0] != "glibc":
        return False
    settings = (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1)  # -1: never; only the first arena can grow large.
    done = [ctypes.CDLL(None).mallopt(parameter, value) for parameter, value in settings]
    return all(done)


def _has_only_cpus() -> bool:
    """Whether JAX will find nothing but CPUs, told without starting it."""
    platforms = jax.config.jax_platforms  # type: ignore[attr-defined]  # JAX makes its settings when it starts.
    if platforms:
        return platforms == "cpu"
    return not importlib.metadata.entry_points(group="jax_plugins") and importlib.util.find_spec("libtpu") is None
