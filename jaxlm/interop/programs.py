"""A detector as a program with its weights, StableHLO or ONNX: written to a file, and read back from it."""

from __future__ import annotations

import functools
import importlib.util
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jaxlm.checkpoints import Trained
from jaxlm.evaluation import inference
from jaxlm.evaluation.inference import Predictions
from jaxlm.interop import onnx_writer
from jaxlm.models.layers import operators

INPUT = "crops"
OUTPUTS = ("points", "confidence")

# Crops uint8 [B, S, S, 3] -> points [B, N, 2] in crop pixels and, if any, confidences [B, N].
Detect = Callable[..., tuple[jax.Array | np.ndarray, ...]]

# Crops -> what is found in them, in their pixels.
Predict = Callable[[jax.Array], Predictions]

Found = TypeVar("Found")

_PLATFORMS = ("cpu", "cuda", "tpu")


class ExportError(ValueError):
    """A model cannot be exported, or the file does not give its points."""


def predict_function(trained: Trained, flip: Sequence[int] | None = None, dtype: DTypeLike = jnp.float32) -> Predict:
    """A detector with its weights, whose network computes in `dtype` whatever the run computed in.

    What is read from its raw outputs is float32: points and confidences. `flip` is as in `inference.predict_step`.
    """
    model, task = trained.model, trained.task
    if trained.config.dtype != jnp.dtype(dtype).name:
        model = model.clone(dtype=dtype)
    variables = jax.device_get(trained.variables)  # Without their places on the devices of this process.
    return functools.partial(inference.predict_crops, variables, model=model, task=task, flip=flip)


def detect_function(trained: Trained) -> Detect:
    """The function that is exported: points and, if any, confidences of a detector with its weights."""
    predict = predict_function(trained)

    def detect(crops: jax.Array) -> tuple[jax.Array, ...]:
        found = predict(crops)
        return (found.points,) if found.confidence is None else (found.points, found.confidence)

    return detect


def write_stablehlo(detect: Detect, size: int, file: pathlib.Path) -> None:
    """Writes a detector of any number of crops of `size` pixels for all platforms, each with its own operators."""

    def traced_for(target: operators.Target) -> Detect:
        def detect_there(crops: jax.Array) -> tuple[jax.Array | np.ndarray, ...]:
            with operators.traced_for(target):
                return detect(crops)

        return detect_there

    @jax.jit
    def detect_anywhere(crops: jax.Array) -> tuple[jax.Array, ...]:
        return lax.platform_dependent(crops, cpu=traced_for("cpu"), default=traced_for("accelerator"))

    crops = jax.ShapeDtypeStruct((jax.export.symbolic_shape("batch")[0], size, size, 3), jnp.uint8)
    program = jax.export.export(detect_anywhere, platforms=_PLATFORMS)(crops)
    file.write_bytes(program.serialize())


def read_stablehlo(file: pathlib.Path) -> Detect:
    """The function of a file of `write_stablehlo`, for this machine."""
    return jax.jit(jax.export.deserialize(bytearray(file.read_bytes())).call)


def onnx_model(
    trained: Trained, predict: Callable[[jax.Array], NamedTuple], int8: bool = False, size: int | None = None
) -> bytes:
    """A detector's function as an ONNX model for any number of crops.

    Its input is `INPUT`, its outputs have the names of the fields of what the function gives.

    Args:
      trained: The detector.
      predict: The function, such as that of `predict_function`.
      int8: Whether the weights are int8.
      size: Side of the crops; by default the model's.

    Raises:
      ExportError: The detector has a primitive that cannot be written.
      ImportError: onnx or onnxruntime is not installed.
    """
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(f'ONNX needs onnx and onnxruntime; there is no {package}: pip install "jaxlm[onnx]"')
    size, name = size or trained.config.model.input_size, trained.config.model.name
    try:
        return onnx_writer.convert(predict, (size, size, 3), np.uint8, INPUT, int8).SerializeToString()
    except onnx_writer.UnknownPrimitiveError as error:
        raise ExportError(
            f"the model {name} cannot be written as ONNX: {error}; StableHLO takes every model"
        ) from error


def write_onnx(trained: Trained, file: pathlib.Path, precision: str = "float32") -> None:
    """Writes a detector's points and confidences as ONNX; see `onnx_model` for what is raised.

    Args:
      trained: The detector.
      file: The file.
      precision: `float32`; `float16`, in which the network computes, while crops are uint8, and points and confidences
        float32, all the same; or `int8`, as which the weights are stored.
    """
    predict = predict_function(trained, dtype=jnp.float16 if precision == "float16" else jnp.float32)
    model = onnx_model(trained, lambda crops: predict(crops)._replace(degenerate=None), precision == "int8")
    file.write_bytes(model)


def run_onnx(model: bytes, kind: Callable[..., Found], threads: int | None = None) -> Callable[[np.ndarray], Found]:
    """The function of an ONNX model, on so many cores of a CPU, or on all. Several threads may call it.

    Its outputs are the fields of `kind`, a NamedTuple; fields that are not among them are None.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 0
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # Weights of int8 are made float32 once.
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    nothing = dict.fromkeys(cast(Any, kind)._fields)

    def predict(crops: np.ndarray) -> Found:
        return kind(**nothing | dict(zip(names, session.run(names, {INPUT: crops}), strict=True)))

    return predict


def read_onnx(file: pathlib.Path) -> Detect:
    """The function of an ONNX file of `write_onnx`."""
    predict = run_onnx(file.read_bytes(), Predictions)
    return lambda crops: tuple(output for output in predict(np.asarray(crops)) if output is not None)
