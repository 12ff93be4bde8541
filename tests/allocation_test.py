"""Memory that a process keeps, by the page faults of steps that allocate, free and allocate again."""

import os
import pathlib
import platform
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

STEPS = """
import resource, sys
import jax, jax.numpy as jnp
from jaxlm.runtime import allocation

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

print(allocation.keep_memory() if sys.argv[1] == "keep" else False)
step = jax.jit(lambda x: 2 * x + 1)
x = jnp.ones(12_000_000)  # 48 MB; glibc maps all that is larger than 32 MB anew, whatever was freed before.
for _ in range(30):  # The memory that is kept grows for some steps, until pieces fit.
    step(x).block_until_ready()
before = faults()
for _ in range(30):
    step(x).block_until_ready()
print(faults() - before)
"""


def run(code: str, *arguments: str, platforms: str = "cpu") -> list[str]:
    command, environment = [sys.executable, "-c", code, *arguments], os.environ | {"JAX_PLATFORMS": platforms}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_is_kept_from_step_to_step():
    kept, faults = run(STEPS, "keep")
    _, by_default = run(STEPS, "default")
    assert kept == "True"
    assert int(faults) < int(by_default) / 5


def test_beside_accelerators_the_c_library_is_left_as_it_is():
    assert run("from jaxlm.runtime import allocation; print(allocation.keep_memory())", platforms="cuda,cpu") == [
        "False"
    ]
