"""The published heat-map network on ShuffleNetV2 (Light-Weight-Facial-Landmark-Prediction)."""

from __future__ import annotations

from jaxlm.config import Config, DataConfig, ModelConfig, TaskConfig
from jaxlm.interop import torch_layers as layers
from jaxlm.interop.torch_layers import Entry
from jaxlm.interop.torch_maps.name_map import (
    COUNTERS,
    LANDMARK_BOX,
    UNKNOWN,
    NameMap,
    State,
    boxes_of,
    of_model,
    outputs,
)

_IGNORED = {"stage4.*": "of a stage that is built and never called", **COUNTERS}
# The network looks at whole photos of FaceSynthetics. INFERRED, as medians of 40 of them: their side in this project's
# face boxes, and by how much their centre is higher than the box's.
_CROP, _RISE = 2.74, 0.25
# Convolutions and their normalisations by their places in the authors' sequences.
_LEFT = {0: "left_{}1", 2: "left_{}2"}
_RIGHT = {0: "right_{}1", 3: "right_{}2", 5: "right_{}3"}


def shufflenetv2_heatmap(state: State, scheme: str) -> NameMap:
    """The network that sees grey images, and whose maps have x along their rows."""
    entries: list[Entry] = []
    stem = {"conv1": "stem_{}1", "conv11": "stem_{}2"}
    head = {"conv5": "head_{}1", "conv6": "head_{}2", "conv7": "head_{}3"}
    for source, target in (stem | head).items():
        entries += layers.conv(f"{source}.0", target.format("conv")) + layers.norm(f"{source}.1", target.format("norm"))
    entries += layers.conv("conv8.0", "head_conv4")
    for stage, units in ((2, 4), (3, 8)):
        for unit in range(units):
            source, target = f"stage{stage}.{unit}", f"stage{stage}_unit{unit + 1}"
            for branch, places in (("branch2", _RIGHT), ("branch1", {} if unit else _LEFT)):
                for place, layer in places.items():
                    entries += layers.conv(f"{source}.{branch}.{place}", f"{target}/{layer.format('conv')}")
                    entries += layers.norm(f"{source}.{branch}.{place + 1}", f"{target}/{layer.format('norm')}")
    width = outputs(state, "conv1.0.weight", default=64) / 64
    model = ModelConfig("shufflenetv2_heatmap", 384, {"width": width, "pixels": "imagenet_grey"})
    options = {"loss_name": "mse", "target": "published", "sigma": 4.0, "decoder": "argmax", "legacy_axes": True}
    data = DataConfig(dataset=UNKNOWN, scheme=scheme, crop=_CROP)
    card = {
        "box": f"the points' tight box x {LANDMARK_BOX}, moved up by {_RISE} of its height",
        "input": "grey, as the published code trains; it blurs photos at evaluation, and this does not",
    }
    config = Config(model=model, task=TaskConfig("heatmaps", options), data=data)
    return of_model(entries, config, _IGNORED, boxes_of(scheme, _RISE), card)
