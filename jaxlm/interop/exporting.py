"""Writes a detector to one file, and reads the file back to compare its points with ours.

Nothing is written where a point of a float32 file is off by more than 0.01 crop pixels, or where the NME of a smaller
one is more than 0.02 points above ours.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import jax

from jaxlm import models
from jaxlm.checkpoints import Trained, check_bundle_output, load_bundle, open_model, read_card, save_bundle
from jaxlm.checkpoints.bundle import sha256
from jaxlm.files import check_output, read_json, unfinished_beside
from jaxlm.interop import export_description, parity, parity_faces, programs, tflite
from jaxlm.interop.parity import Parity
from jaxlm.interop.programs import Detect, ExportError

FORMATS = ("bundle", "stablehlo", "onnx", "tflite")
"""The kinds of files; jaxlm/export.py says what each is for."""

PRECISIONS = {"float32": FORMATS, "float16": ("onnx", "tflite"), "int8": ("onnx", "tflite")}
"""What a file's network computes in, and the formats that can have it."""

_RUNTIMES = {"onnx": "onnxruntime", "tflite": "LiteRT, one at a time"}


def open_and_export(
    path: pathlib.Path,
    kind: str,
    out: pathlib.Path,
    dataset: str | None = None,
    card: pathlib.Path | None = None,
    step: int | None = None,
    head: str | None = None,
    precision: str = "float32",
    accept: bool = False,
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
      precision: See `export`.
      accept: See `export`.

    Raises:
      ExportError: The run is that of a translator, a point is off, or the model cannot be exported.
      OSError: `out`, or the description beside it, is another kind of file, or one that is read.
      FileNotFoundError, CheckpointError, ValueError, ImportError: See `checkpoints.open_model` and `export`.
    """
    check_precision(kind, precision, accept)
    _check_files(out, kind, [path, *([card] if card else [])])
    export(open_detector(path, card, step, head), kind, out, dataset, precision, accept)


def open_detector(
    path: pathlib.Path, card: pathlib.Path | None = None, step: int | None = None, head: str | None = None
) -> Trained:
    """The detector of a run or a file, as it is exported; see `open_and_export` for all else."""
    fields = read_card(card) if card else {}
    detector = open_model(path, step=step, head=head)
    name = detector.config.model.name
    if name not in models.DETECTORS:
        known = ", ".join(models.DETECTORS)
        raise ExportError(f"{path} holds the translator {name}, which finds no landmarks; exported are {known}")
    return dataclasses.replace(detector, card={**detector.card, **fields})


def check_precision(kind: str, precision: str, accept: bool) -> None:
    """Raises ExportError where a format cannot have a precision, or nothing can be accepted."""
    if kind not in PRECISIONS[precision]:
        able = ", ".join(PRECISIONS[precision])
        raise ExportError(f"--precision {precision} is for {able}; a file of --format {kind} is float32")
    if accept and precision == "float32":
        raise ExportError("--accept is for another --precision than float32, which must give our points")


def export(
    detector: Trained,
    kind: str,
    out: pathlib.Path,
    dataset: str | None = None,
    precision: str = "float32",
    accept: bool = False,
) -> None:
    """Writes a detector to a file and a program's description beside it; see `write_checked` for all else."""
    outputs, found = write_checked(detector, kind, out, dataset, precision, accept)
    print(f"Wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
    if kind != "bundle":
        beside = export_description.describe(detector, out, kind, outputs, precision, found)
        print(f"      {', '.join(map(str, beside))}: how to cut crops, and what the file takes and gives")


def write_checked(
    detector: Trained,
    kind: str,
    out: pathlib.Path,
    dataset: str | None = None,
    precision: str = "float32",
    accept: bool = False,
    name: str | None = None,
) -> tuple[int, Parity]:
    """Writes a detector to a file, and says how far its points are off; for other runtimes also how long it takes.

    Args:
      detector: The detector.
      kind: One of `FORMATS`.
      out: The file.
      dataset: A prepared set or pack whose faces are compared; None for the run's own, or rendered ones.
      precision: One of `PRECISIONS` that the format can have.
      accept: Write the file whatever its precision costs.
      name: What errors call the file; by default `out`.

    Returns:
      The number of outputs, points or points and confidences; and the file's points beside ours.

    Raises:
      ExportError: A point is off or NME rises, or the model cannot be exported; nothing is written.
      ValueError, FileNotFoundError: `dataset` cannot be used, or there is no folder for `out`.
      ImportError: A package for the format is not installed.
    """
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent} to write {out.name} to; make it first")
    if detector.looks_at_photos and kind != "bundle":
        print(
            "this model looks at the photo itself; the file takes a square crop of it, and finds slightly other points"
        )
    most = parity_faces.COUNT if precision == "float32" else parity_faces.COUNT_FOR_NME
    faces = parity_faces.load(detector.config, dataset, most)
    ours = jax.jit(programs.detect_function(detector))
    target = pathlib.Path(os.path.realpath(out))
    with unfinished_beside(target) as partial:
        detect = write_and_read(detector, kind, partial, precision)
        points, theirs = (parity.points_of(function, faces.crops) for function in (ours, detect))
        found = parity.compare(points, theirs, faces, detector.scheme)
        print(f"points differ by up to {found.largest:.2g} crop pixels on {faces.description}")
        if precision != "float32":
            print(found)
        parity.check(found, precision, accept, name or str(out))
        if kind in _RUNTIMES:
            parity.print_times(ours, detect, _RUNTIMES[kind], faces.crops[: parity_faces.COUNT])
        partial.replace(target)
    return len(jax.eval_shape(ours, faces.crops[:1])), found


def _check_files(out: pathlib.Path, kind: str, inputs: Sequence[pathlib.Path]) -> None:
    """Raises OSError where the files to write must not be written; see `check_output`."""
    if out.exists() and not out.is_file():
        raise FileExistsError(f"--out {out} is no file; the file is read back, so name one")
    if kind == "bundle":
        check_bundle_output(out, inputs)
    else:
        beside = export_description.places(out, kind)[0]
        described = read_json(beside, dict).get("sha256") if beside.exists() else None
        check_output(out, f"the program that {beside.name} describes", lambda file: sha256(file) == described, inputs)


def write_and_read(detector: Trained, kind: str, file: pathlib.Path, precision: str) -> Detect:
    """Writes a detector to a file and reads it back: what the file computes.

    Raises:
      ExportError, ImportError: See `programs.onnx_model` and `tflite.write_tflite`.
    """
    if kind == "bundle":
        save_bundle(file, detector)
        return jax.jit(programs.detect_function(load_bundle(file)))
    if kind == "stablehlo":
        programs.write_stablehlo(programs.detect_function(detector), detector.config.model.input_size, file)
        return programs.read_stablehlo(file)
    if kind == "tflite":
        tflite.write_tflite(detector, file, precision)
        return tflite.read_tflite(file)
    programs.write_onnx(detector, file, precision)
    return programs.read_onnx(file)
