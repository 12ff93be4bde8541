"""A trained detector as one file: python -m jaxlm.export --workdir RUN --format bundle|stablehlo|onnx --out FILE

- `bundle`: weights, config and scheme, for jaxlm itself; see jaxlm/bundle.py.
- `stablehlo`: the whole program with its weights, for JAX on a CPU, GPU or TPU. JAX promises to read such a file for
  six months, so keep a bundle, too.
- `onnx`: the same for ONNX runtimes; it needs jax2onnx (pip install -r requirements-export.txt, after
  requirements.txt).

Programs take crops uint8 [B, S, S, 3] and give points [B, N, 2] in crop pixels and, where the model says, confidences
[B, N]; a .json file beside them tells how to cut the crops. Every file is read back and must give our points for 32
faces, of the run's validation split where it can be opened and else rendered; nothing is written where a point is off
by more than 0.01 crop pixels, and the exit status is 1. The model is that of a run or of a bundle (`--weights`).
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxlm import bundle, checkpoint, export_description, export_faces, models
from jaxlm import export_programs as programs
from jaxlm.bundle import Bundle
from jaxlm.commands import told_errors
from jaxlm.export_programs import Detect, ExportError
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
    trained = checkpoint.load_model(workdir, head=head)
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
    faces = export_faces.load(detected.trained.config, dataset)
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


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m jaxlm.export", description=__doc__.splitlines()[0])
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--workdir", help="of a training run")
    model.add_argument("--weights", metavar="FILE", help="a bundle, or what python -m jaxlm.convert wrote")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="FILE")
    parser.add_argument("--head", help="of a run on several data sets: the name of one (default: the first)")
    parser.add_argument("--faces", metavar="SET", help="prepared set or pack to compare points on (default: the run's)")
    parser.add_argument("--card", type=pathlib.Path, metavar="FILE.json", help="free text: data, recipe, licence, ...")
    arguments = parser.parse_args(argv)
    if arguments.weights and arguments.head:
        parser.error("--head is for a run; a file of weights has one head")
    with told_errors():
        card = bundle.read_card(arguments.card) if arguments.card else {}
        if arguments.weights:
            detected = bundle.load(arguments.weights)
            detected = detected._replace(card=detected.card | card)
        else:
            detected = of_run(arguments.workdir, arguments.head, card)
        export(detected, arguments.format, arguments.out, arguments.faces)


if __name__ == "__main__":
    main()
