"""What computes a detector's points: JAX, on any device, or onnxruntime, which is faster than XLA on a CPU."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import jax
import numpy as np

from jaxlm.checkpoints import Trained
from jaxlm.config import check_known
from jaxlm.evaluation import inference
from jaxlm.evaluation.inference import Predictions
from jaxlm.interop import programs
from jaxlm.models.dpr import Networks, coordinates, networks_of
from jaxlm.models.dpr.in_photos import InFace, Reinitialised

BACKENDS = ("jax", "onnx")
"""Names of what computes the points. JAX is the reference."""

_MOST_THREADS = 1024

Made = TypeVar("Made")


class Backend(Generic[Made]):
    """A function, or several, made by one of the backends when they are first needed. Several threads may ask.

    Args:
      asked: One of `BACKENDS`; by default `onnx` where JAX would compute on a CPU, onnx and onnxruntime are installed
        and the network can be written as ONNX, which the first call finds out, and `jax` elsewhere.
      threads: Cores that onnxruntime takes for a call; by default all.
      in_jax: Makes them in JAX.
      in_onnx: Makes them in onnxruntime, for a number of threads; see `programs.onnx_model` for what it raises.

    Raises:
      ValueError: There is no such backend, or it cannot be used here; there are less threads than 1.
    """

    def __init__(
        self,
        asked: str | None,
        threads: int | None,
        in_jax: Callable[[], Made],
        in_onnx: Callable[[int | None], Made],
    ) -> None:
        self._asked, self._threads, self._in_jax, self._in_onnx = asked, threads, in_jax, in_onnx
        self._chosen: tuple[str, Made] | None = None
        self._choosing = threading.Lock()
        if threads is not None and not (isinstance(threads, int) and 1 <= threads <= _MOST_THREADS):
            raise ValueError(f"threads are a number from 1 to {_MOST_THREADS}, not {threads!r}")
        if asked is not None:
            check_known(asked, BACKENDS, f"unknown backend {asked!r}")
            self._choose()

    @property
    def made(self) -> Made:
        """What was made."""
        return self._choose()[1]

    @property
    def name(self) -> str:
        """The backend that is used."""
        return self._choose()[0]

    def _choose(self) -> tuple[str, Made]:
        """The backend and what it has made, by the first thread that asks."""
        with self._choosing:
            if self._chosen is None:
                self._chosen = ("jax", self._in_jax()) if self._asked == "jax" else self._onnx_or_jax()
            return self._chosen

    def _onnx_or_jax(self) -> tuple[str, Made]:
        """onnxruntime, or JAX where that cannot be and nobody has asked for it."""
        try:
            if jax.default_backend() != "cpu":
                raise ValueError(f"onnxruntime computes on a CPU, and JAX has a {jax.default_backend().upper()} here")
            return "onnx", self._in_onnx(self._threads)
        except (ValueError, ImportError) as error:
            if self._asked == "onnx":
                raise ValueError(f"there is no backend onnx for this model here: {error}") from error
            return "jax", self._in_jax()


class Predictor:
    """A detector's predictions for crops. Several threads may call it.

    Args:
      trained: The detector.
      flip: The scheme's flip permutation, to average with the mirrored crops; see `inference.predict_step`.
      backend: See `Backend`, also for `threads` and what is raised.
      threads: Cores that onnxruntime takes for a call.
    """

    def __init__(
        self,
        trained: Trained,
        flip: Sequence[int] | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> None:
        def in_jax() -> Callable[[np.ndarray], Predictions]:
            step = jax.jit(
                functools.partial(inference.predict_crops, model=trained.model, task=trained.task, flip=flip)
            )
            return lambda crops: jax.device_get(step(trained.variables, crops))

        def in_onnx(threads: int | None) -> Callable[[np.ndarray], Predictions]:
            model = programs.onnx_model(trained, programs.predict_function(trained, flip))
            return programs.run_onnx(model, Predictions, threads)

        self._backend = Backend(backend, threads, in_jax, in_onnx)

    def __call__(self, crops: np.ndarray) -> Predictions:
        """Predictions for uint8 crops [B, S, S, 3], in their pixels, as arrays of NumPy."""
        return self._backend.made(crops)

    @property
    def backend(self) -> str:
        """The backend that is used."""
        return self._backend.name


def photo_networks(trained: Trained, backend: str | None = None, threads: int | None = None) -> Backend[Networks]:
    """The networks of a detector that looks at the photo itself; see `Backend` for all else."""

    def in_jax() -> Networks:
        return Networks(*map(jax.jit, networks_of(trained.model, trained.variables)))

    def in_onnx(threads: int | None) -> Networks:
        first, second = networks_of(trained.model, jax.device_get(trained.variables))
        models = (
            programs.onnx_model(trained, network, size=size)
            for network, size in ((first, coordinates.CROP_SIZE), (second, coordinates.FACE_SIZE))
        )
        kinds: Sequence[Any] = (Reinitialised, InFace)
        return Networks(*(programs.run_onnx(model, kind, threads) for model, kind in zip(models, kinds, strict=True)))

    return Backend(backend, threads, in_jax, in_onnx)
