"""The page beside an exported ONNX or TFLite file: what it takes and gives, and how to call it in Python and Kotlin."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

KINDS = ("onnx", "tflite")
"""The formats that get a page."""

_PAGE = Template("""$first

It finds $count landmarks (scheme $scheme) of a face in a crop of $size x $size px, $weights. The model is `$model`.
$json has all of this for programs, and what the points are called.

| | name | type | shape | |
|---|---|---|---|---|
$rows

## The crop

$steps$boxes

## Python

```bash
pip install $packages opencv-python-headless
```

```python
$python
```

## Kotlin

With `$gradle`. The crop is a bitmap of $size x $size px, cut as above.

```kotlin
$kotlin
```
""")

_PYTHON = Template("""import cv2
$imports

x1, y1, x2, y2 = 60, 50, 179, 189  # A face box: its first and last pixel.
photo = cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)
width, height = x2 - x1 + 1, y2 - y1 + 1
side = max(width, height)
left, top = x1 - (side - width) // 2, y1 - (side - height) // 2
side += side % 2
region = round($crop * side)
left, top = left - (region - side) // 2, top - (region - side) // 2
around = cv2.copyMakeBorder(photo, region, region, region, region, cv2.BORDER_CONSTANT)  # Black outside of the photo.
face = around[top + region : top + 2 * region, left + region : left + 2 * region]
face = cv2.resize(face, ($size, $size), interpolation=cv2.INTER_AREA if region > $size else cv2.INTER_LINEAR)
$call
points = (points + 0.5) * region / $size - 0.5 + [left, top]  # In the photo.
print(points)""")

_CALLS = {
    "onnx": Template("""options = onnxruntime.SessionOptions()$entry
session = onnxruntime.InferenceSession($path, options)
points = session.run(["points"], {"$input": face[None]})[0][0]"""),
    "tflite": Template("""run = Interpreter($path).get_signature_runner()
points = run($input=face[None])["points"][0]"""),
}
_ENTRY = '\noptions.add_session_config_entry("session.disable_quant_qdq", "1")  # Unpacks the weights once.'
_IMPORTS = {"onnx": "import onnxruntime", "tflite": "from ai_edge_litert.interpreter import Interpreter"}
_PACKAGES = {"onnx": "onnxruntime", "tflite": "ai-edge-litert"}
_GRADLE = {"onnx": "com.microsoft.onnxruntime:onnxruntime-android", "tflite": "com.google.ai.edge.litert:litert:1.4.0"}

_KOTLIN = {
    "onnx": Template("""import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import android.graphics.Bitmap
import java.nio.ByteBuffer

/** The points (x, y) in pixels of the crop; the session is OrtEnvironment.getEnvironment().createSession(bytes). */
@Suppress("UNCHECKED_CAST")
fun points(session: OrtSession, crop: Bitmap): Array<FloatArray> {
    val shape = longArrayOf(1, $size, $size, 3)
    val environment = OrtEnvironment.getEnvironment()
    return OnnxTensor.createTensor(environment, bytes(crop), shape, OnnxJavaType.UINT8).use { crops ->
        session.run(mapOf("$input" to crops)).use { found ->
            (found.get("points").get().value as Array<Array<FloatArray>>)[0]
        }
    }
}
"""),
    "tflite": Template("""import android.graphics.Bitmap
import java.nio.ByteBuffer
import org.tensorflow.lite.Interpreter

/** The points (x, y) in pixels of the crop; the interpreter is Interpreter(file). */
fun points(interpreter: Interpreter, crop: Bitmap): Array<FloatArray> {
    val points = Array(1) { Array($count) { FloatArray(2) } }
    val outputs = mutableMapOf<String, Any>("points" to points)$confidence
    interpreter.runSignature(mapOf<String, Any>("$input" to bytes(crop)), outputs)
    return points[0]
}
"""),
}
_CONFIDENCE = Template("""
    outputs["confidence"] = Array(1) { FloatArray($count) }""")
_BYTES = Template("""
/** Red, green and blue of each pixel, row by row. */
fun bytes(crop: Bitmap): ByteBuffer {
    val pixels = IntArray($size * $size)
    crop.getPixels(pixels, 0, $size, 0, 0, $size, $size)
    val bytes = ByteBuffer.allocateDirect(3 * pixels.size)
    for (pixel in pixels) for (shift in intArrayOf(16, 8, 0)) bytes.put((pixel shr shift).toByte())
    bytes.rewind()
    return bytes
}""")
_WEIGHTS = {
    "float32": "in float32",
    "float16": "in float16",
    "int8": "with its weights in int8",
}


def first_line(file: str) -> str:
    """The line that the page beside a file begins with."""
    return f"# {file}"


def page(description: Mapping[str, Any], kind: str, crop: float, json_file: str) -> str:
    """The page, in Markdown.

    Args:
      description: The program's, of `export_description.describe_program`.
      kind: One of `KINDS`.
      crop: The side of the crop in sides of the face box made square.
      json_file: The name of the file that holds the description.
    """
    taken, given = description["input"], description["outputs"]
    fields = {
        "file": description["file"],
        "path": json.dumps(description["file"], ensure_ascii=False),
        "model": description["model"],
        "size": str(taken["shape"][1]),
        "count": str(description["scheme"]["count"]),
        "input": taken["name"],
        "crop": f"{crop:g}",
    }
    call = _CALLS[kind].substitute(fields, entry=_ENTRY if description["precision"] == "int8" else "")
    confidence = _CONFIDENCE.substitute(fields) if len(given) > 1 else ""
    tensors = [("input", taken), *(("output", output) for output in given)]
    return _PAGE.substitute(
        fields,
        first=first_line(description["file"]),
        scheme=description["scheme"]["name"],
        weights=_WEIGHTS[description["precision"]],
        json=f"`{json_file}`",
        rows="\n".join(
            f"| {role} | `{tensor['name']}` | {tensor['type']} |"
            f" {', '.join(map(str, tensor['shape']))} | {tensor['meaning']} |"
            for role, tensor in tensors
        ),
        steps="\n".join(f"{number}. {step}" for number, step in enumerate(description["crop"], start=1)),
        boxes=_boxes(description["boxes"]),
        packages=_PACKAGES[kind],
        python=_PYTHON.substitute(fields, imports=_IMPORTS[kind], call=call),
        gradle=_GRADLE[kind],
        kotlin=_KOTLIN[kind].substitute(fields, confidence=confidence) + _BYTES.substitute(fields),
    )


def _boxes(boxes: Mapping[str, Sequence[float]]) -> str:
    """A paragraph with the numbers of `boxes` in the first step, if the model has any."""
    if not boxes:
        return ""
    rows = "\n".join(f"| {name} | {' | '.join(f'{number:.4g}' for number in boxes[name])} |" for name in boxes)
    return f"\n\n| `boxes` of | scale_x | scale_y | shift_x | shift_y |\n|---|---|---|---|---|\n{rows}"
