"""Writes a detector to one file, and reads the file back to compare its points with ours.

Nothing is written where a point is off by more than 0.01 crop pixels.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxlm import checkpoints, models
from jaxlm.checkpoints import Bundle, bundle
from jaxlm.interop import export_description, parity_faces, programs
from jaxlm.interop.programs import Detect, ExportError
from jaxlm.landmarks import load_scheme

FORMATS = ("bundle", "stablehlo", "onnx")


TOLERANCE = 1e-2
"""The largest distance in crop pixels between a point of a file and ours."""


_REPEATS = 15


def of_run(workdir: str, head: str | None = None, card: Mapping[str, Any] | None = None) -> Bundle:
    """The best checkpoint of a run, with one of its heads; see `checkpoint.load_model`.

    Raises:
      ExportError: The run is that of a translator.
      CheckpointError, ValueError: See `checkpoint.load_model`.
    """
    trained = checkpoints.load_model(workdir, head=head)
    name = trained.config.model.name
    if name not in models.DETECTORS:
        known = ", ".join(models.DETECTORS)
        raise ExportError(f"{workdir} holds the translator {name}, which finds no landmarks; exported are {known}")
    return Bundle(trained, load_scheme(trained.config.data.scheme), dict(card or {}), {})


def export(detected: Bundle, kind: str, out: pathlib.Path, dataset: str | None = None) -> None:
    """Writes a detector to a file, and says how far its points are off; for ONNX also how long it takes.

    Args:
      detected: The detector.
      kind: One of `FORMATS`.
      out: The file.
      dataset: A prepared set or pack whose faces are compared; None for the run's own, or rendered ones.

    Raises:
      ExportError: A point is off, or the model cannot be exported; nothing is written.
      ValueError, FileNotFoundError: `dataset` cannot be used.
      ImportError: A package for ONNX is not installed.
    """
    faces = parity_faces.load(detected.trained.config, dataset)
    ours = jax.jit(programs.detector(detected.trained))
    outputs = ours(faces.crops)
    partial = out.with_name(f"{out.name}.partial")
    try:
        detect, batch = write(detected, kind, partial)
        difference = largest_difference(detect, np.asarray(outputs[0]), faces.crops)
        print(f"points differ by up to {difference:.2g} crop pixels on {faces.description}")
        if not difference <= TOLERANCE:  # NaN does not pass.
            raise ExportError(f"that is more than {TOLERANCE:g} pixels, so {out} is not written")
        if kind == "onnx":
            print_times(ours, detect, faces.crops)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    print(f"Wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
    if kind != "bundle":
        parity = {"faces": faces.description, "largest_difference_in_crop_pixels": difference}
        description = export_description.describe(detected, out, kind, batch, len(outputs), parity)
        beside = out.with_suffix(".json")
        beside.write_text(json.dumps(description, indent=2) + "\n")
        print(f"      {beside}: how to cut crops, and what the file takes and gives")


def write(detected: Bundle, kind: str, file: pathlib.Path) -> tuple[Detect, int | None]:
    """Writes a detector to a file and reads it back.

    Returns:
      What the file computes, and how many crops it takes at a time; None for any number.

    Raises:
      ExportError, ImportError: See `export_programs.write_onnx`.
    """
    trained, size = detected.trained, detected.trained.config.model.input_size
    if kind == "bundle":
        bundle.save(file, trained, detected.card, detected.boxes, detected.least_confidence)
        return jax.jit(programs.detector(bundle.load(file).trained)), None
    if kind == "stablehlo":
        programs.write_stablehlo(programs.detector(trained), size, file)
        return programs.read_stablehlo(file), None
    batch = programs.write_onnx(programs.detector(trained), size, file)
    return programs.read_onnx(file, batch), batch


def largest_difference(detect: Detect, ours: np.ndarray, crops: np.ndarray) -> float:
    """The largest distance in pixels between points [n, N, 2] and those of `detect`, called with one crop and the rest.

    Args:
      detect: Crops -> points, and perhaps more.
      ours: Points of the crops.
      crops: uint8 [n, S, S, 3].
    """
    theirs = np.concatenate([np.asarray(detect(part)[0]) for part in (crops[:1], crops[1:])])
    return float(np.linalg.norm(theirs - ours, axis=-1).max())


def print_times(ours: Detect, theirs: Detect, crops: np.ndarray) -> None:
    """Prints what a face takes in JAX and in onnxruntime, alone and together with all others."""
    for count in (1, len(crops)):
        in_jax, in_onnxruntime = (milliseconds(detect, crops[:count]) for detect in (ours, theirs))
        device = jax.default_backend().upper()
        print(f"batch {count}: {in_jax:.2f} ms a face in JAX ({device}), {in_onnxruntime:.2f} in onnxruntime (CPU)")


def milliseconds(detect: Detect, crops: np.ndarray) -> float:
    """Median time of a call divided by its number of faces, from crops on the host to points on the host."""
    jax.device_get(detect(crops))  # Compiles.
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.device_get(detect(crops))
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times) / len(crops)
