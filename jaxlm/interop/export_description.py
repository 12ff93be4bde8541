"""The .json file beside an exported program: its inputs and outputs, and how to cut crops, in plain words."""

from __future__ import annotations

import importlib.metadata
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxlm.checkpoints import Trained, bundle
from jaxlm.interop.programs import INPUT, OUTPUTS
from jaxlm.landmarks import scheme as scheme_lib

_USE = {
    "stablehlo": "jax.export.deserialize(bytearray(open(FILE, 'rb').read())).call(crops), with jax {jax} or newer",
    "onnx": f"onnxruntime.InferenceSession(FILE).run(None, {{'{INPUT}': crops}})",
}


def describe_program(
    detector: Trained, file: pathlib.Path, kind: str, outputs: int, parity: Mapping[str, Any]
) -> dict[str, Any]:
    """The description of an exported program, which JSON can hold.

    Args:
      detector: The detector.
      file: The program's file.
      kind: `stablehlo` or `onnx`.
      outputs: The number of its outputs: points, or points and confidences.
      parity: The faces on which it was compared with our points, and the largest difference.
    """
    config, count = detector.config, detector.scheme.num_points
    size = config.model.input_size
    shapes = (["any", count, 2], ["any", count])
    meanings = (
        "(x, y) in pixels of the crop; the first pixel's centre is (0, 0)",
        "how sure the model is of each point, 0 to 1",
    )
    return {
        "file": file.name,
        "sha256": bundle.sha256(file),
        "model": config.model.name,
        "step": detector.step,
        "use": _USE[kind].replace("{jax}", importlib.metadata.version("jax")),
        "input": {
            "name": INPUT,
            "type": "uint8",
            "shape": ["any", size, size, 3],
            "meaning": "crops of faces, RGB; the file normalises them itself",
        },
        "outputs": [
            {"name": name, "type": "float32", "shape": shape, "meaning": meaning}
            for name, shape, meaning in zip(OUTPUTS[:outputs], shapes, meanings, strict=False)
        ],
        "crop": crop_steps(size, config.data.crop),
        "boxes": {name: list(numbers) for name, numbers in detector.boxes.items()},
        "least_confidence": detector.least_confidence,
        "scheme": scheme_lib.to_table(detector.scheme),
        "card": dict(detector.card),
        "parity": dict(parity),
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
