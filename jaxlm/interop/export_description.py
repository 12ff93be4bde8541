"""The files beside an exported program: its inputs and outputs, and how to cut crops, as .json and as a page."""

from __future__ import annotations

import contextlib
import importlib.metadata
import pathlib
from typing import Any

from jaxlm.checkpoints import Trained, bundle
from jaxlm.checkpoints.confidence import ConfidenceMap
from jaxlm.files import read_json, write_json, write_whole
from jaxlm.interop import export_readme
from jaxlm.interop.parity import Parity
from jaxlm.interop.programs import INPUT, OUTPUTS
from jaxlm.landmarks import scheme as scheme_lib

_USE = {
    "stablehlo": "jax.export.deserialize(bytearray(open(FILE, 'rb').read())).call(crops), with jax {jax} or newer",
    "tflite": f"ai_edge_litert.interpreter.Interpreter(FILE).get_signature_runner()({INPUT}=crops)",
    "onnx": f"onnxruntime.InferenceSession(FILE).run(None, {{'{INPUT}': crops}})",
}


def places(out: pathlib.Path, kind: str) -> list[pathlib.Path]:
    """The files beside a program: NAME.json or, where that is something else, NAME.ENDING.json; a page .md likewise.

    Raises:
      FileExistsError: Both names are something else's.
    """
    return [_place(out, ending) for ending in (".json", ".md")[: 1 + (kind in export_readme.KINDS)]]


def _place(out: pathlib.Path, ending: str) -> pathlib.Path:
    for beside in (out.with_suffix(ending), out.with_name(f"{out.name}{ending}")):
        if beside != out and (not beside.exists() or _describes(beside, out)):
            return beside
    raise FileExistsError(f"{beside} is there already and does not describe {out}; name another --out")


def _describes(beside: pathlib.Path, out: pathlib.Path) -> bool:
    """Whether a file is one that was written for a program of this name."""
    if not beside.is_file():
        return False
    with contextlib.suppress(ValueError):  # No JSON, or no text.
        if beside.suffix == ".json":
            return read_json(beside, dict).get("file") == out.name
        with beside.open(encoding="utf-8") as file:
            return file.readline().rstrip() == export_readme.first_line(out.name)
    return False


def describe(
    detector: Trained, out: pathlib.Path, kind: str, outputs: int, precision: str, parity: Parity
) -> list[pathlib.Path]:
    """Writes the files beside a program, and gives their names; see `describe_program` for the arguments.

    Raises:
      FileExistsError: See `places`.
    """
    description = describe_program(detector, out, kind, outputs, precision, parity)
    json_file, *pages = places(out, kind)
    write_json(json_file, description)
    for file in pages:
        write_whole(file, export_readme.page(description, kind, detector.config.data.crop, json_file.name))
    return [json_file, *pages]


def describe_program(
    detector: Trained, file: pathlib.Path, kind: str, outputs: int, precision: str, parity: Parity
) -> dict[str, Any]:
    """The description of an exported program, which JSON can hold.

    Args:
      detector: The detector.
      file: The program's file.
      kind: `stablehlo`, `onnx` or `tflite`.
      outputs: The number of its outputs: points, or points and confidences.
      precision: What its network computes in, or holds its weights in.
      parity: Its points beside ours.
    """
    config, count = detector.config, detector.scheme.num_points
    size, faces = config.model.input_size, 1 if kind == "tflite" else "any"
    shapes = ([faces, count, 2], [faces, count])
    meanings = (
        "(x, y) in pixels of the crop; the first pixel's centre is (0, 0)",
        detector.confidence.meaning
        if detector.confidence
        else "how sure the model is of each point, a raw score, 0 to 1",
    )
    return {
        "file": file.name,
        "sha256": bundle.sha256(file),
        "model": config.model.name,
        "step": detector.step,
        "precision": precision,
        "use": _USE[kind].replace("{jax}", importlib.metadata.version("jax")),
        "input": {
            "name": INPUT,
            "type": "uint8",
            "shape": [faces, size, size, 3],
            "meaning": "crops of faces, RGB; the file normalises them itself",
        },
        "outputs": [
            {"name": name, "type": "float32", "shape": shape, "meaning": meaning}
            for name, shape, meaning in zip(OUTPUTS[:outputs], shapes, meanings, strict=False)
        ],
        "crop": crop_steps(size, config.data.crop),
        "boxes": {name: list(numbers) for name, numbers in detector.boxes.items()},
        "least_confidence": detector.least_confidence,
        "expected_error": _expected_error(detector.confidence),
        "scheme": scheme_lib.to_table(detector.scheme),
        "card": dict(detector.card),
        "parity": parity.to_table(precision),
    }


def _expected_error(meaning: ConfidenceMap | None) -> dict[str, Any] | None:
    """How to find the errors to expect from confidences; None where confidences are raw scores."""
    if meaning is None:
        return None
    by = (
        "between the outer eye corners"
        if meaning.normaliser == "inter_ocular"
        else "sqrt(width x height) of the points"
    )
    return {
        "meaning": "exp(slope * logit(confidence) + offset) of each point's line, times the distance"
        f" {by}; logit(c) = log(c / (1 - c)), c within 0.0001 and 0.9999",
        "normaliser": meaning.normaliser,
        "lines": [list(line) for line in meaning.error],
    }


def crop_steps(size: int, crop: float) -> list[str]:
    """How to cut the crop of `size` pixels, `crop` sides of the box made square, and to bring points back.

    It is what `photos.cut_crop` does.
    """
    return [
        "Pixels are counted from 0, and x, y are at their centres. The face box x1, y1, x2, y2 is its first and last"
        " pixel, rounded to whole pixels; width = x2 - x1 + 1 and height = y2 - y1 + 1. `boxes` has, by the name of a"
        " face detector, scale_x, scale_y, shift_x, shift_y: scale its box about its centre and move it by the shifts,"
        " in units of its width and height, first.",
        "Make it square: side = max(width, height), left = x1 - floor((side - width) / 2),"
        " top = y1 - floor((side - height) / 2); then add 1 to side if it is odd.",
        f"Take {crop:g} times the side: region = round({crop:g} * side), and move left and top by"
        " -floor((region - side) / 2).",
        f"Cut the region of region x region pixels whose first pixel is (left, top), black outside of the photo, and"
        f" resize it to {size} x {size}: averaging areas where it shrinks (OpenCV: INTER_AREA), bilinearly where it"
        " grows (INTER_LINEAR). Channels are red, green, blue.",
        f"A point (x, y) of the crop is at ((x + 0.5) * region / {size} - 0.5 + left,"
        f" (y + 0.5) * region / {size} - 0.5 + top) in the photo.",
    ]
