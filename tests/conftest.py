"""Test set-up: four virtual CPU devices, implicit rank promotion is an error; fixtures that several files use.

JAXLM_TEST_DATA names a folder of research data (aflw2000/, dpr/, wflw/, ...); tests that want it are skipped without.
XLA_FLAGS of the environment are added to those below, for example --xla_cpu_max_isa=SSE4_2.
"""

import importlib.metadata
import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "4"
os.environ["NPROC"] = "16"  # See jaxlm/__init__.py; set here for tests that import jax first.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# Processes that tests start would each compile all of jaxlm's modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Tests compile far more than they compute. Of two flags of one name the last counts, so the user's come last; workers
# find both in their environment.
_FAST_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if importlib.metadata.version("jaxlib").startswith("0.10."):  # Later ones refuse to start with it.
    # A third of the time. Programs in parts, which are compiled at once, would compute SepBN's gradients wrongly.
    _FAST_TO_COMPILE += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
if _FAST_TO_COMPILE not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{_FAST_TO_COMPILE} {os.environ.get('XLA_FLAGS', '')}".strip()

import atexit
import gc
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

# The same small step is compiled by many tests, by the workers that share them and by the processes they start.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _COMPILED = tempfile.mkdtemp(prefix="jaxlm-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    atexit.register(shutil.rmtree, _COMPILED, ignore_errors=True)

import jax
import pytest

from jaxlm import experiment
from jaxlm.config import Config
from jaxlm.data_pipelines.input import write_pack
from runs import changed
from tiny_faces import synthetic_faces

jax.config.update("jax_numpy_rank_promotion", "raise")

# Tracing makes millions of small objects, which Python by default looks through again and again.
gc.freeze()
gc.set_threshold(100_000, 20, 20)

# Files of a few long tests come first, so that workers that take a file each end together.
_FIRST = (
    "processes_test",
    "train_test",
    "limited_data_test",
    "experiments_test",
    "dpr_training_test",
    "objectives_test",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _FIRST.index(item.path.stem) if item.path.stem in _FIRST else len(_FIRST))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of tests/fuzz_test.py."""
    parser.addoption("--count", type=int, default=200, help="mutated files of each format that the readers get")


@pytest.fixture(scope="module", autouse=True)
def _forget_programs() -> Iterator[None]:
    """Traced and compiled programs of one file are of no use to the next, and would fill the memory."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of research data; tests that want it are skipped without."""
    folder = os.environ.get("JAXLM_TEST_DATA")
    if not folder:
        pytest.skip("JAXLM_TEST_DATA names no folder of research data")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A packed set: 60 faces in `train`, 22 in `test`, frames of 64 px."""
    file = tmp_path_factory.mktemp("pack") / "faces.npz"
    write_pack(file, {"train": synthetic_faces(60, "train"), "test": synthetic_faces(22, "test")})
    return file


@pytest.fixture(scope="session")
def debug(pack: pathlib.Path) -> Config:
    """The debug experiment on `pack`, from device memory, with one block: what compiles faster shows the same."""
    config = experiment.load("debug")
    return changed(
        config,
        data={"dataset": str(pack), "cache": "device"},
        model={"options": config.model.options | {"widths": (4,)}},
    )
