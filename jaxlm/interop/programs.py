"""A detector as a program with its weights, StableHLO or ONNX: written to a file, and read back from it."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from jaxlm.checkpoints import Trained
from jaxlm.images import cropping
from jaxlm.models.layers import operators

INPUT = "crops"
OUTPUTS = ("points", "confidence")

# Crops uint8 [B, S, S, 3] -> points [B, N, 2] in crop pixels and, if any, confidences [B, N].
Detect = Callable[..., tuple[jax.Array | np.ndarray, ...]]

_PLATFORMS = ("cpu", "cuda", "tpu")
_ERRORS_ALONE = 3  # A severity of onnxruntime: errors are logged, warnings are not.


class ExportError(ValueError):
    """A model cannot be exported, or the file does not give its points."""


def detect_function(trained: Trained) -> Detect:
    """The function that is exported: a detector with its weights, in float32 whatever the run computed in."""
    model, task = trained.model.clone(dtype=jnp.float32), trained.task
    variables = jax.device_get(trained.variables)  # Without their places on the devices of this process.

    def detect(crops: jax.Array) -> tuple[jax.Array, ...]:
        outputs = model.apply(variables, cropping.normalise(crops.astype(jnp.float32)), train=False)
        confidence = task.confidence(outputs)
        return (task.points(outputs),) if confidence is None else (task.points(outputs), confidence)

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

    program = jax.export.export(detect_anywhere, platforms=_PLATFORMS)(_crops(None, size))
    file.write_bytes(program.serialize())


def read_stablehlo(file: pathlib.Path) -> Detect:
    """The function of a file of `write_stablehlo`, for this machine."""
    return jax.jit(jax.export.deserialize(bytearray(file.read_bytes())).call)


def write_onnx(detect: Detect, size: int, file: pathlib.Path) -> int | None:
    """Writes a detector of crops of `size` pixels by jax2onnx.

    Returns:
      How many crops the file takes at a time: any number (None) or, where jax2onnx cannot do that, 1.

    Raises:
      ExportError: jax2onnx cannot convert the model.
      ImportError: jax2onnx or onnxruntime is not installed.
    """
    try:
        import jax2onnx
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            f'ONNX needs jax2onnx and onnxruntime ({error}): pip install "jaxlm[onnx]", best in a venv of its own'
        ) from error
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(_ERRORS_ALONE)
    for batch in (None, 1):
        crops = _crops(batch, size)
        # jax2onnx sees primitives alone: its stand-ins for functions of JAX and Flax know few of their arguments.
        with operators.traced_for("onnx"):
            program = jax.make_jaxpr(detect)(crops)
        names = {"input_names": [INPUT], "output_names": list(OUTPUTS[: len(program.out_avals)])}
        try:
            model = jax2onnx.to_onnx(core.jaxpr_as_fun(program), [crops], model_name="detector", **names)
            file.write_bytes(model.SerializeToString())
            read_onnx(file, batch)(np.zeros((2, size, size, 3), np.uint8))
        except Exception as error:  # Both packages raise many types for what they do not know.
            problem = error
        else:
            return batch
    raise ExportError(f"jax2onnx cannot convert this model: {_first_line(problem)}") from problem


def read_onnx(file: pathlib.Path, batch: int | None) -> Detect:
    """The function of an ONNX file that takes `batch` crops at a time, for any number of crops, on a CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def detect(crops: np.ndarray) -> tuple[np.ndarray, ...]:
        step = batch or len(crops)
        parts = [session.run(None, {INPUT: crops[start : start + step]}) for start in range(0, len(crops), step)]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    return detect


def _crops(batch: int | None, size: int) -> jax.ShapeDtypeStruct:
    """Crops whose number is `batch`, or any."""
    count = batch or jax.export.symbolic_shape("batch")[0]
    return jax.ShapeDtypeStruct((count, size, size, 3), jnp.uint8)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
