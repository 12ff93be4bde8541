"""Writes a detector to one file, and reads the file back to compare its points with ours.

Nothing is written where a point is off by more than 0.01 crop pixels.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Sequence

import jax
import numpy as np

from jaxlm import models
from jaxlm.checkpoints import Trained, check_bundle_output, load_bundle, open_model, read_card, save_bundle
from jaxlm.checkpoints.bundle import sha256
from jaxlm.files import check_output, read_json, write_json
from jaxlm.interop import export_description, parity_faces, programs
from jaxlm.interop.programs import Detect, ExportError

FORMATS = ("bundle", "stablehlo", "onnx")
"""The kinds of files; jaxlm/export.py says what each is for."""

TOLERANCE = 1e-2
"""The largest distance in crop pixels between a point of a file and ours."""

_REPEATS = 15


def open_and_export(
    path: pathlib.Path,
    kind: str,
    out: pathlib.Path,
    dataset: str | None = None,
    card: pathlib.Path | None = None,
    step: int | None = None,
    head: str | None = None,
) -> None:
    """Writes the detector of a run or a file to another file; see `export`.

    Args:
      path: The workdir or the file; see `checkpoints.open_model` for it, `step` and `head`.
      kind: One of `FORMATS`.
      out: The file to write.
      dataset: See `export`.
      card: A JSON file whose fields are added to the model's card, or take the place of its own.
      step: The run's checkpoint.
      head: The data set whose points are read.

    Raises:
      ExportError: The run is that of a translator, a point is off, or the model cannot be exported.
      OSError: `out`, or the description beside it, is another kind of file, or one that is read.
      FileNotFoundError, CheckpointError, ValueError, ImportError: See `checkpoints.open_model` and `export`.
    """
    _check_files(out, kind, [path, *([card] if card else [])])
    export(open_detector(path, card, step, head), kind, out, dataset)


def open_detector(
    path: pathlib.Path, card: pathlib.Path | None = None, step: int | None = None, head: str | None = None
) -> Trained:
    """The detector of a run or a file, as it is exported; see `open_and_export` for the arguments and what is raised."""
    fields = read_card(card) if card else {}
    detector = open_model(path, step=step, head=head)
    name = detector.config.model.name
    if name not in models.DETECTORS:
        known = ", ".join(models.DETECTORS)
        raise ExportError(f"{path} holds the translator {name}, which finds no landmarks; exported are {known}")
    return dataclasses.replace(detector, card={**detector.card, **fields})


def export(detector: Trained, kind: str, out: pathlib.Path, dataset: str | None = None) -> None:
    """Writes a detector to a file, and says how far its points are off; for ONNX also how long it takes.

    Args:
      detector: The detector.
      kind: One of `FORMATS`.
      out: The file.
      dataset: A prepared set or pack whose faces are compared; None for the run's own, or rendered ones.

    Raises:
      ExportError: A point is off, or the model cannot be exported; nothing is written.
      ValueError, FileNotFoundError: `dataset` cannot be used.
      ImportError: A package for ONNX is not installed.
    """
    faces = parity_faces.load(detector.config, dataset)
    ours = jax.jit(programs.detect_function(detector))
    outputs = ours(faces.crops)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".") as folder:
        partial = pathlib.Path(folder, "file")
        detect = write_and_read(detector, kind, partial)
        difference = largest_difference(detect, np.asarray(outputs[0]), faces.crops)
        print(f"points differ by up to {difference:.2g} crop pixels on {faces.description}")
        if not difference <= TOLERANCE:  # NaN does not pass.
            raise ExportError(f"that is more than {TOLERANCE:g} pixels, so {out} is not written")
        if kind == "onnx":
            print_times(ours, detect, faces.crops)
        partial.replace(os.path.realpath(out))
    print(f"Wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
    if kind != "bundle":
        parity = {"faces": faces.description, "largest_difference_in_crop_pixels": difference}
        description = export_description.describe_program(detector, out, kind, len(outputs), parity)
        beside = _description_of(out)
        write_json(beside, description)
        print(f"      {beside}: how to cut crops, and what the file takes and gives")


def _check_files(out: pathlib.Path, kind: str, inputs: Sequence[pathlib.Path]) -> None:
    """Raises OSError where the files to write must not be written; see `check_output`."""
    if out.exists() and not out.is_file():
        raise FileExistsError(f"--out {out} is no file; the file is read back, so name one")
    if kind == "bundle":
        check_bundle_output(out, inputs)
    else:
        beside = _description_of(out)
        described = read_json(beside, dict).get("sha256") if beside.exists() else None
        check_output(out, f"the program that {beside.name} describes", lambda file: sha256(file) == described, inputs)


def _description_of(out: pathlib.Path) -> pathlib.Path:
    """The .json file beside a program: NAME.json or, where that is something else, NAME.ENDING.json.

    Raises:
      FileExistsError: Both are something else.
    """
    for beside in (out.with_suffix(".json"), out.with_name(f"{out.name}.json")):
        if beside != out:
            with contextlib.suppress(ValueError):
                if not beside.exists() or read_json(beside, dict).get("file") == out.name:
                    return beside
    raise FileExistsError(f"{beside} is there already and does not describe {out}; name another --out")


def write_and_read(detector: Trained, kind: str, file: pathlib.Path) -> Detect:
    """Writes a detector to a file and reads it back: what the file computes.

    Raises:
      ExportError, ImportError: See `programs.onnx_model`.
    """
    if kind == "bundle":
        save_bundle(file, detector)
        return jax.jit(programs.detect_function(load_bundle(file)))
    if kind == "stablehlo":
        programs.write_stablehlo(programs.detect_function(detector), detector.config.model.input_size, file)
        return programs.read_stablehlo(file)
    programs.write_onnx(detector, file)
    return programs.read_onnx(file)


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
