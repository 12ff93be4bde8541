"""Test set-up: four virtual CPU devices, implicit rank promotion is an error; a small pack of synthetic faces."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "4"
os.environ["NPROC"] = "16"  # See jaxlm/__init__.py; set here for tests that import jax first.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# Tests compile far more than they compute.
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"

import atexit
import dataclasses
import pathlib
import shutil
import tempfile

# The same small step is compiled by many tests, by the workers that share them and by the processes they start.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _COMPILED = tempfile.mkdtemp(prefix="jaxlm-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
    atexit.register(shutil.rmtree, _COMPILED, ignore_errors=True)

import jax
import numpy as np
import pytest

from jaxlm import experiment
from jaxlm.config import Config
from jaxlm.data_pipelines import synthetic
from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.input import write_pack
from jaxlm.data_pipelines.record import encode_image

jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED = pathlib.Path(__file__).parents[2] / "shared" / "data"


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


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Research photographs beside the repository; tests that want them are skipped where they are absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data beside the repository")
    return SHARED


def synthetic_faces(count: int, split: str, size: int = 64) -> Faces:
    """Some rendered faces as `open_faces` gives them; two neighbours are one group."""
    faces = [synthetic.render(0 if split == "train" else 1, index, size) for index in range(count)]
    encoded = [encode_image(face.image) for face in faces]
    return Faces(
        dataset="synthetic",
        split=split,
        scheme="wflw98",
        frame_size=size,
        margin=2.0,
        box="the generator's",
        points=np.stack([face.points for face in faces]),
        visible=np.stack([face.visible for face in faces]),
        attributes=np.stack([face.attributes for face in faces]),
        to_source=np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1)),
        yaw=np.full(count, np.nan, np.float32),
        names=tuple(f"{split}/{index}" for index in range(count)),
        groups=tuple(f"{split}/{index // 2}" for index in range(count)),
        read_encoded=lambda indices: [encoded[index] for index in indices],
    )


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A packed set: 60 faces in `train`, 22 in `test`, frames of 64 px."""
    file = tmp_path_factory.mktemp("pack") / "faces.npz"
    write_pack(file, {"train": synthetic_faces(60, "train"), "test": synthetic_faces(22, "test")})
    return file


@pytest.fixture
def debug(pack: pathlib.Path) -> Config:
    """The debug experiment on `pack`, from device memory."""
    config = experiment.load("debug")
    return dataclasses.replace(config, data=dataclasses.replace(config.data, dataset=str(pack), cache="device"))
