"""Makes the face detector's file from the package that Google publishes: TensorFlow Lite in, ONNX out.

    npm pack @mediapipe/face_detection@0.4.1657300184
    pip install onnx tflite
    python tools/convert_blazeface.py mediapipe-face_detection-0.4.1657300184.tgz --out blazeface_short_range.onnx

OpenCV and ONNX Runtime read the file. OpenCV's own reader of TensorFlow Lite leaves out one of the two outputs. Weights
of 16 bits become 32 bits, and NHWC becomes NCHW; nothing else changes.
"""

from __future__ import annotations

import argparse
import pathlib
import tarfile

import numpy as np
import onnx
import tflite
from onnx import helper, numpy_helper

_MEMBER = "package/face_detection_short_range.tflite"
# Blocks, counted from 0, that halve the sides; how many blocks lie before the fine anchors; and how many there are.
_REDUCING, _FINE, _BLOCKS = (2, 5, 11), 11, 16
_FLOAT16 = tflite.TensorType.FLOAT16


def read_weights(content: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel float32 [out, h, w, in], of depthwise layers [1, h, w, out], and bias [out] of each convolution."""
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    parts: dict[str, dict[str, np.ndarray]] = {}
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        layer, _, part = tensor.Name().decode().partition("/")
        if tensor.Type() == _FLOAT16 and part in ("Kernel", "Bias"):
            values = model.Buffers(tensor.Buffer()).DataAsNumpy().view("<f2").astype(np.float32)
            parts.setdefault(layer, {})[part] = values.reshape(tensor.ShapeAsNumpy())
    return {layer: (found["Kernel"], found["Bias"]) for layer, found in parts.items()}


class Graph:
    """An ONNX graph in the making. Methods take and return names of values."""

    def __init__(self, weights: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolution(self, x: str, name: str, stride: int = 1, depthwise: bool = False) -> str:
        kernel, bias = self.weights[name]
        kernel = kernel.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        size = kernel.shape[2]
        # TensorFlow's SAME: of an odd number of lines to add, the larger half comes last.
        before, after = (size - stride) // 2, size - stride - (size - stride) // 2
        return self.node(
            "Conv",
            [x, self.constant(f"{name}/kernel", kernel), self.constant(f"{name}/bias", bias)],
            name,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=len(kernel) if depthwise else 1,
        )

    def block(self, x: str, index: int) -> str:
        """A BlazeBlock: depthwise and pointwise convolution beside the identity, which gets channels of zeros."""
        suffix = f"_{index}" if index else ""
        reducing = index in _REDUCING
        y = self.convolution(x, f"depthwise_conv2d{suffix}", 2 if reducing else 1, depthwise=True)
        y = self.convolution(y, f"conv2d_{index + 1}")
        kernel = self.weights[f"conv2d_{index + 1}"][0]
        if reducing:
            x = self.node("MaxPool", [x], f"pool{suffix}", kernel_shape=[2, 2], strides=[2, 2])
        if more := kernel.shape[0] - kernel.shape[3]:
            pads = self.constant(f"pads{suffix}", np.array([0, 0, 0, 0, 0, more, 0, 0], np.int64))
            x = self.node("Pad", [x, pads], f"padded{suffix}")
        return self.node("Relu", [self.node("Add", [x, y], f"sum{suffix}")], f"block{suffix}")

    def head(self, fine: str, coarse: str, kind: str, width: int) -> str:
        """The values of all anchors [B, 896, width], the fine ones first."""
        parts = []
        for x, cell in ((fine, 8), (coarse, 16)):
            y = self.convolution(x, f"{kind}_{cell}")
            y = self.node("Transpose", [y], f"{y}/rows", perm=[0, 2, 3, 1])
            shape = self.constant(f"{y}/shape", np.array([0, -1, width], np.int64))
            parts.append(self.node("Reshape", [y, shape], f"{y}/anchors"))
        return self.node("Concat", parts, f"{kind}s", axis=1)


def convert(content: bytes) -> bytes:
    """The content of the ONNX file from that of the TensorFlow Lite file.

    Its input is `input` [B, 3, 128, 128], RGB in -1..1; its outputs are `classificators` [B, 896, 1], the logits, and
    `regressors` [B, 896, 16], in pixels of the input, relative to the anchors' centres.
    """
    graph = Graph(read_weights(content))
    maps = [graph.node("Relu", [graph.convolution("input", "conv2d", stride=2)], "stem")]
    for index in range(_BLOCKS):
        maps.append(graph.block(maps[-1], index))
    fine, coarse = maps[_FINE], maps[-1]
    outputs = [
        (graph.head(fine, coarse, kind, width), width) for kind, width in (("classificator", 1), ("regressor", 16))
    ]
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        graph.nodes,
        "blazeface_short_range",
        [value("input", onnx.TensorProto.FLOAT, ["batch", 3, 128, 128])],
        [value(name, onnx.TensorProto.FLOAT, ["batch", 896, width]) for name, width in outputs],
        graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model.producer_name = "jaxlm"
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def main() -> None:
    """The command line of the conversion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=pathlib.Path, metavar="PACKAGE.tgz")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE.onnx")
    arguments = parser.parse_args()
    with tarfile.open(arguments.package) as package:
        member = package.extractfile(_MEMBER)
        if member is None:
            raise SystemExit(f"error: {arguments.package} has no file {_MEMBER}")
        arguments.out.write_bytes(convert(member.read()))
    print(f"Wrote {arguments.out}")


if __name__ == "__main__":
    main()
