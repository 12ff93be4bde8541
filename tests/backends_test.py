"""What computes the points of a Landmarker: JAX, or onnxruntime, which must give the same."""

import concurrent.futures
import dataclasses
import pathlib
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import Landmarker
from jaxlm.checkpoints import Trained, open_model, shipped
from jaxlm.interop import backends, programs
from jaxlm.interop.backends import Predictor
from tiny_landmarker import brightest
from tiny_regressor import mean_face_gsr, mean_face_through, use_tiny_regressors

ASTRONAUT = pathlib.Path(__file__).parent / "data" / "astronaut.png"
BOX = [178, 92, 267, 180]
# Of rounding in 30 convolutions, and of the weights' folding; a tenth of what is seen in a table of errors.
PIXELS = 1e-3


class Sorted(nn.Module):
    """Heat-maps by a primitive that has no rule."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        return jnp.repeat(jnp.sort(images.mean(axis=-1, keepdims=True), axis=1), 5, axis=-1)


@pytest.fixture
def onnx_is_there():
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def shipped_model() -> Trained:
    return open_model(shipped.NAME)


@pytest.fixture
def unknown() -> Trained:
    return dataclasses.replace(brightest(24).trained, model=Sorted())


@pytest.mark.usefixtures("onnx_is_there")
@pytest.mark.parametrize("flip_test", [False, True])
def test_backends_agree_on_the_astronaut(shipped_model: Trained, flip_test: bool):
    faces = {
        backend: Landmarker(shipped_model, flip_test=flip_test, backend=backend).predict(ASTRONAUT, BOX)[0]
        for backend in backends.BACKENDS
    }
    np.testing.assert_allclose(faces["onnx"].points, faces["jax"].points, rtol=0, atol=PIXELS)
    np.testing.assert_allclose(faces["onnx"].confidence, faces["jax"].confidence, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("onnx_is_there")
def test_onnx_is_taken_on_a_cpu_where_it_can_be(monkeypatch: pytest.MonkeyPatch, unknown: Trained):
    assert Landmarker.load().backend == "onnx"
    assert Landmarker.load(backend="jax").backend == "jax"
    assert Predictor(unknown).backend == "jax"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert brightest(24).backend == "jax"
    with pytest.raises(ValueError, match="onnxruntime computes on a CPU, and JAX has a GPU here"):
        brightest(24, "onnx")


def test_jax_is_taken_without_the_packages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert brightest(24).backend == "jax"
    with pytest.raises(ValueError, match=r"no backend onnx for this .* there is no onnxruntime: pip install"):
        brightest(24, "onnx")


@pytest.mark.usefixtures("onnx_is_there")
def test_what_cannot_be_had_is_told(unknown: Trained):
    with pytest.raises(ValueError, match="the primitive sort has no rule"):
        Predictor(unknown, backend="onnx")
    with pytest.raises(ValueError, match=r"unknown backend 'onxx'.* Did you mean onnx"):
        Landmarker.load(backend="onxx")


@pytest.mark.usefixtures("onnx_is_there")
def test_threads_write_the_graph_once(monkeypatch: pytest.MonkeyPatch):
    written, write = [], programs.onnx_model
    monkeypatch.setattr(programs, "onnx_model", lambda *args: (written.append(1), write(*args))[1])
    predictor = Predictor(brightest(24).trained)
    crops = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3)).astype(np.uint8)
    expected = predictor(crops)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda crop: predictor(crop[None]).points[0], crops))
        fresh = Predictor(brightest(24).trained)
        assert len(set(threads.map(lambda _: fresh.backend, range(8)))) == 1
    np.testing.assert_array_equal(found, expected.points)
    assert len(written) == 2


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", 10**6])
def test_threads_are_a_number_of_some(threads: object):
    with pytest.raises(ValueError, match="threads are a number from 1 to 1024, not "):
        Landmarker.load(threads=threads)


def test_points_do_not_depend_on_the_number_of_threads(onnx_is_there: None):
    one, two = (Landmarker.load(backend="onnx", threads=threads).predict(ASTRONAUT, BOX)[0] for threads in (1, 2))
    np.testing.assert_allclose(one.points, two.points, rtol=0, atol=PIXELS)


@pytest.mark.usefixtures("onnx_is_there")
def test_backends_agree_on_models_that_look_at_photos(monkeypatch: pytest.MonkeyPatch):
    use_tiny_regressors(monkeypatch)
    trained = mean_face_gsr()
    regressor, statistics = (trained.variables[kind]["global_regress"] for kind in ("params", "batch_stats"))
    regressor["fc"]["kernel"] = np.random.default_rng(0).normal(0, 0.02, (192, 136)).astype(np.float32)
    regressor["BatchNorm_0"]["scale"] += 1
    statistics["BatchNorm_0"]["var"] += 1
    found = {}
    for backend in backends.BACKENDS:
        landmarker = Landmarker(trained, backend=backend)
        assert landmarker.backend == backend
        (face,) = landmarker.predict(ASTRONAUT, BOX)
        found[backend] = face.points
    np.testing.assert_allclose(found["onnx"], found["jax"], rtol=0, atol=PIXELS)
    assert np.abs(found["jax"] - mean_face_through(tuple(BOX))).max() > 0.1
    assert Landmarker(trained).backend == "onnx"
