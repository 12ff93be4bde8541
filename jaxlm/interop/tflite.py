"""A detector as a TensorFlow Lite (LiteRT) file for phones: from JAX by way of TensorFlow's converter, and read back.

This is the one module of jaxlm that uses TensorFlow, in the function that writes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxlm.checkpoints import Trained
from jaxlm.interop.programs import INPUT, OUTPUTS, Detect, ExportError, detect_function
from jaxlm.models.layers import operators

_LONGEST_REASON = 200


def write_tflite(trained: Trained, file: pathlib.Path, precision: str = "float32") -> None:
    """Writes a detector for one crop [1, S, S, 3] uint8 at a time; its outputs have names, and are float32.

    The size is fixed, because the converter takes no programs for any number of crops.

    Args:
      trained: The detector.
      file: The file.
      precision: `float32`; `float16`, as which the weights are stored; or `int8`, as which large weights are stored, a
        scale for each output. A runtime may round what enters such a layer to int8, too, by the range it finds there.

    Raises:
      ExportError: The converter cannot write the model.
      ImportError: TensorFlow or LiteRT is not installed.
    """
    for package in ("tensorflow", "ai_edge_litert"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(f'TFLite needs TensorFlow and LiteRT; there is no {package}: pip install "jaxlm[tflite]"')
    with _quiet():
        file.write_bytes(_converted(trained, precision))


def _converted(trained: Trained, precision: str) -> bytes:
    """What `write_tflite` writes."""
    import tensorflow as tf
    from jax.experimental import jax2tf

    tf.config.set_visible_devices([], "GPU")  # JAX has its memory.
    detect, size = detect_function(trained), trained.config.model.input_size

    def detect_by_name(crops: jax.Array) -> dict[str, Any]:
        with operators.traced_for("accelerator"):
            return dict(zip(OUTPUTS, detect(crops), strict=False))

    holder = tf.Module()
    holder.detect = tf.function(
        jax2tf.convert(detect_by_name, with_gradient=False),
        autograph=False,
        input_signature=[tf.TensorSpec((1, size, size, 3), tf.uint8, INPUT)],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([holder.detect.get_concrete_function()], holder)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        return converter.convert()
    except Exception as error:  # It has no class of its own in public.
        raise ExportError(
            f"the model {trained.config.model.name} cannot be written as TFLite: {_reason(error)};"
            " StableHLO takes every model"
        ) from error


def _reason(error: Exception) -> str:
    """The line of the converter's message that says what it cannot do; the others say where in the code that is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line.partition("error: ")[2] for line in lines if "error: " in line), lines[0])[:_LONGEST_REASON]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps notes of TensorFlow's libraries, which no setting turns off and nobody can act on, from standard error."""
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def read_tflite(file: pathlib.Path) -> Detect:
    """The function of a file of `write_tflite` for any number of crops, one after another, on all cores of a CPU."""
    from ai_edge_litert.interpreter import Interpreter

    with _quiet():
        interpreter = Interpreter(model_content=file.read_bytes(), num_threads=os.cpu_count())
        interpreter.allocate_tensors()
        run = interpreter.get_signature_runner()
    names = [name for name in OUTPUTS if name in run.get_output_details()]

    def detect(crops: np.ndarray) -> tuple[np.ndarray, ...]:
        found = [run(**{INPUT: np.asarray(crop)[None]}) for crop in crops]
        return tuple(np.concatenate([outputs[name] for outputs in found]) for name in names)

    return detect
