"""The networks of the package face-alignment: 2DFAN-4 and 3DFAN-4, and such of other numbers of stacks."""

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

_DEPTH = 4
# The authors' crop is 200 pixels for a tight box whose width and height have a sum of 195, and its centre is higher
# than the box's by 0.12 of the height. INFERRED: boxes are as wide as high.
_CROP = 2 * 200 / 195
_RISE = 0.12


def fan(state: State, scheme: str) -> NameMap:
    """A FAN of published units, with as many stacks as the tensors have."""
    stacks = sum(f"l{stack}.weight" in state for stack in range(100)) or 4
    entries = layers.conv("conv1", "published/stem_conv", bias=True) + layers.norm("bn1", "published/stem_norm/norm")
    for number in (1, 2, 3):
        entries += _unit(f"conv{number + 1}", f"published/stem_unit{number}", projected=number != 2)
    for stack in range(stacks):
        entries += _stack(stack, last=stack == stacks - 1)
    width = 4 * outputs(state, "conv1.weight", default=64)
    width = width if width % 8 == 0 else 256  # It is no FAN, and the report tells what it is not.
    model = ModelConfig("fan", 256, {"stacks": stacks, "width": width, "units": "published"})
    # As drawn by the training code: an image of a Gaussian whose deviation is a quarter of its 7 cells.
    task = TaskConfig("heatmaps", {"loss_name": "mse", "sigma": 1.75, "decoder": "quarter"})
    data = DataConfig(dataset=UNKNOWN, scheme=scheme, crop=_CROP / LANDMARK_BOX)
    card = {"box": f"the points' tight box x {LANDMARK_BOX}, moved up by {_RISE} of the tight box's height"}
    boxes = boxes_of(scheme, rise=_RISE / LANDMARK_BOX)
    return of_model(entries, Config(model=model, task=task, data=data), boxes=boxes, card=card)


def _stack(number: int, last: bool) -> list[Entry]:
    target = f"published/stack{number}"
    entries = _unit(f"m{number}.b2_plus_1", f"{target}_bottom")
    for level in range(_DEPTH):  # Theirs are counted from the bottom.
        for theirs, ours in (("b1", "beside"), ("b2", "down"), ("b3", "up")):
            entries += _unit(f"m{number}.{theirs}_{_DEPTH - level}", f"{target}_{ours}{level}")
    entries += _unit(f"top_m_{number}", f"{target}_unit")
    entries += layers.conv(f"conv_last{number}", f"{target}_conv", bias=True)
    entries += layers.norm(f"bn_end{number}", f"{target}_norm/norm")
    entries += layers.conv(f"l{number}", f"{target}_maps", bias=True)
    if last:
        return entries
    entries += layers.conv(f"bl{number}", f"{target}_next_features", bias=True)
    return entries + layers.conv(f"al{number}", f"{target}_next_maps", bias=True)


def _unit(source: str, target: str, projected: bool = False) -> list[Entry]:
    entries: list[Entry] = []
    for number in (1, 2, 3):
        entries += layers.norm(f"{source}.bn{number}", f"{target}/norm{number}/norm")
        entries += layers.conv(f"{source}.conv{number}", f"{target}/conv{number}")
    if projected:
        entries += layers.norm(f"{source}.downsample.0", f"{target}/shortcut_norm/norm")
        entries += layers.conv(f"{source}.downsample.2", f"{target}/shortcut")
    return entries
