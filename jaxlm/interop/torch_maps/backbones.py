"""Networks of torchvision, trained on ImageNet, as starts for training; their classifiers are left out."""

from __future__ import annotations

from typing import Any

from jaxlm.interop import torch_layers as layers
from jaxlm.interop.torch_layers import Entry, Shapes
from jaxlm.interop.torch_maps import name_map
from jaxlm.interop.torch_maps.name_map import COUNTERS, NameMap, State

_CLASSIFIER = "the classifier"
# How many convolutions each stage has.
_VGG_STAGES = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def resnet18(state: State, scheme: str) -> NameMap:
    """ResNet-18, for a `models.resnet18.ResNet18` whose head is new.

    Paths: conv1, norm1, layer1_0/conv1, layer1_0/norm1, ..., layer2_0/downsample_conv, layer2_0/downsample_norm, ...
    """
    del state
    entries = layers.conv("conv1", "conv1") + layers.norm("bn1", "norm1")
    for stage in range(1, 5):
        for block in range(2):
            source, target = f"layer{stage}.{block}", f"layer{stage}_{block}"
            for i in (1, 2):
                entries += layers.conv(f"{source}.conv{i}", f"{target}/conv{i}")
                entries += layers.norm(f"{source}.bn{i}", f"{target}/norm{i}")
            if stage > 1 and block == 0:
                entries += layers.conv(f"{source}.downsample.0", f"{target}/downsample_conv")
                entries += layers.norm(f"{source}.downsample.1", f"{target}/downsample_norm")

    def trace() -> Shapes:
        shapes = name_map.shapes_of("resnet18", {}, scheme, input_size=32)
        return {path: shape for path, shape in shapes.items() if not path.startswith("params/head/")}

    return NameMap(entries, trace, {"fc.*": _CLASSIFIER, **COUNTERS}, _imagenet("resnet18"))


def vgg(state: State, scheme: str, *, name: str) -> NameMap:
    """The convolutions of VGG-16 or VGG-19, without batch normalisation.

    Paths are the paper's names: conv1_1, conv1_2, conv2_1, ...
    """
    del state, scheme
    entries: list[Entry] = []
    shapes: Shapes = {}
    index, inputs = 0, 3
    for stage, count in enumerate(_VGG_STAGES[name], start=1):
        width = min(64 * 2 ** (stage - 1), 512)
        for number in range(1, count + 1):
            entries += layers.conv(f"features.{index}", f"conv{stage}_{number}", bias=True)
            shapes |= layers.conv_shapes(f"conv{stage}_{number}", 3, inputs, width, bias=True)
            index, inputs = index + 2, width  # A ReLU follows each convolution, ...
        index += 1  # ... and a pool each stage.
    return NameMap(entries, lambda: shapes, {"classifier.*": _CLASSIFIER}, _imagenet(name))


def _imagenet(name: str) -> dict[str, Any]:
    pixels = "RGB, (v / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]"
    return {"model": name, "options": {}, "pixels": pixels}
