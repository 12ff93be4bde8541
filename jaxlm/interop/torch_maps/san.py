"""The detectors of SAN's released code, which look at pixels (v - 127.5) / 127.5.

The first kernels are multiplied by 128 / 127.5, for this project's pixels (v - 127.5) / 128.
"""

from __future__ import annotations

from jaxlm.config import Config, DataConfig, ModelConfig, TaskConfig
from jaxlm.interop import torch_layers as layers
from jaxlm.interop.torch_layers import Entry
from jaxlm.interop.torch_maps.name_map import (
    LANDMARK_BOX,
    UNKNOWN,
    NameMap,
    State,
    boxes_of,
    of_model,
    outputs,
)

# The convolutions of VGG-16 up to conv4_3, by their places in the authors' sequence.
_FEATURES = {0: "1_1", 2: "1_2", 5: "2_1", 7: "2_2", 10: "3_1", 12: "3_2", 14: "3_3", 17: "4_1", 19: "4_2", 21: "4_3"}
# The places of a generator's convolutions, but for those of its residual blocks.
_GENERATOR = {1: "first", 4: "down1", 7: "down2", 16: "up2", 19: "up1", 23: "last"}
# The tight box is widened by 0.2 of its sides on each side.
_CROP = 1.4


def san(state: State, scheme: str) -> NameMap:
    """SAN as its tensors say: with the two generators that make the second photo (itn_cpm), or without (vgg16_base)."""
    generators = "netG_A.model.1.weight" in state
    entries: list[Entry] = []
    for place, name in _FEATURES.items():
        layout = layers.kernel if place else layers.centred_kernel
        entries += layers.conv(f"features.{place}", f"conv{name}", bias=True, layout=layout)
    entries += layers.conv("CPM_feature.0", "feature1", bias=True) + layers.conv("CPM_feature.2", "feature2", bias=True)
    for stage, wide in ((1, 0), (2, 3), (3, 3)):
        parts = [f"wide{i + 1}" for i in range(wide)] + [f"conv{i}" for i in range(1, 5)] + ["hidden", "maps"]
        for place, part in enumerate(parts):
            entries += layers.conv(f"stage{stage}.{2 * place}", f"stage{stage}/{part}", bias=True)
    if generators:
        entries += _generator("netG_A", "generator_a") + _generator("netG_B", "generator_b")
    options = {
        "stride": 8,
        "background": True,
        "width": outputs(state, "features.0.weight", default=64),
        "pixels": "centred",
        "generators": generators,
    }
    # Faces of WFLW have boxes of its own.
    crop = _CROP if scheme == "wflw98" else _CROP / LANDMARK_BOX
    data = DataConfig(dataset=UNKNOWN, scheme=scheme, crop=crop)
    config = Config(model=ModelConfig("san", 128, options), task=TaskConfig("san"), data=data)
    card = {"box": f"the points' tight box x {LANDMARK_BOX}; for wflw98, that of WFLW"}
    return of_model(entries, config, boxes=boxes_of(scheme), card=card)


def _generator(source: str, target: str) -> list[Entry]:
    entries: list[Entry] = []
    for place, name in _GENERATOR.items():
        layout = layers.centred_kernel if name == "first" else layers.kernel
        entries += layers.conv(f"{source}.model.{place}", f"{target}/{name}", bias=True, layout=layout)
    for block in range(1, 7):
        for number, place in ((1, 1), (2, 5)):
            theirs = f"{source}.model.{block + 9}.conv_block.{place}"
            entries += layers.conv(theirs, f"{target}/block{block}_conv{number}", bias=True)
    return entries
