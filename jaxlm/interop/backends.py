"""What computes a detector's points: JAX, on any device, or onnxruntime, which is faster than XLA on a CPU."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

import jax
import numpy as np

from jaxlm.checkpoints import Trained
from jaxlm.config import check_known
from jaxlm.evaluation import inference
from jaxlm.evaluation.inference import Predictions
from jaxlm.interop import programs

BACKENDS = ("jax", "onnx")
"""Names of what computes the points. JAX is the reference."""

_MOST_THREADS = 1024

Run = Callable[[np.ndarray], Predictions]


class Predictor:
    """A detector's predictions for crops. Several threads may call it.

    Args:
      trained: The detector.
      flip: The scheme's flip permutation, to average with the mirrored crops; see `inference.predict_step`.
      backend: One of `BACKENDS`; by default `onnx` where JAX would compute on a CPU, onnx and onnxruntime are
        installed and the detector can be written as ONNX, which the first call finds out, and `jax` elsewhere.
      threads: Cores that onnxruntime takes for a call; by default all.

    Raises:
      ValueError: There is no such backend, or it cannot be used here; there are less threads than 1.
    """

    def __init__(
        self,
        trained: Trained,
        flip: Sequence[int] | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> None:
        self._trained, self._flip, self._asked, self._threads = trained, flip, backend, threads
        self._chosen: tuple[str, Run] | None = None
        self._choosing = threading.Lock()
        if threads is not None and not (isinstance(threads, int) and 1 <= threads <= _MOST_THREADS):
            raise ValueError(f"threads are a number from 1 to {_MOST_THREADS}, not {threads!r}")
        if backend is not None:
            check_known(backend, BACKENDS, f"unknown backend {backend!r}")
            self._choose()

    def __call__(self, crops: np.ndarray) -> Predictions:
        """Predictions for uint8 crops [B, S, S, 3], in their pixels, as arrays of NumPy."""
        return self._choose()[1](crops)

    @property
    def backend(self) -> str:
        """The backend that is used."""
        return self._choose()[0]

    def _choose(self) -> tuple[str, Run]:
        """The backend and its function, made by the first thread that asks."""
        with self._choosing:
            if self._chosen is None:
                self._chosen = ("jax", self._in_jax()) if self._asked == "jax" else self._in_onnx()
            return self._chosen

    def _in_jax(self) -> Run:
        trained = self._trained
        step = jax.jit(
            functools.partial(inference.predict_crops, model=trained.model, task=trained.task, flip=self._flip)
        )
        return lambda crops: jax.device_get(step(trained.variables, crops))

    def _in_onnx(self) -> tuple[str, Run]:
        """onnxruntime, or JAX where that cannot be and nobody has asked for it."""
        try:
            if jax.default_backend() != "cpu":
                raise ValueError(f"onnxruntime computes on a CPU, and JAX has a {jax.default_backend().upper()} here")
            model = programs.onnx_model(self._trained, programs.predict_function(self._trained, self._flip))
        except (ValueError, ImportError) as error:
            if self._asked == "onnx":
                raise ValueError(f"there is no backend onnx for this model here: {error}") from error
            return "jax", self._in_jax()
        return "onnx", programs.run_onnx(model, self._threads)
