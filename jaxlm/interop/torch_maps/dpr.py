"""The released networks of DPR, which look at BGR pixels (v - 127.5) / 127.5.

The first kernels are turned to RGB and multiplied by 128 / 127.5, for this project's pixels (v - 127.5) / 128.
"""

from __future__ import annotations

from typing import Any

from jaxlm.checkpoints import LANDMARKS
from jaxlm.config import Config, DataConfig, ModelConfig, TaskConfig
from jaxlm.interop import torch_layers as layers
from jaxlm.interop.torch_layers import Entry
from jaxlm.interop.torch_maps.name_map import UNKNOWN, NameMap, State, of_model
from jaxlm.models.dpr.coordinates import PARTS

# How WFLW's rectangles lie about the bounding boxes of the landmarks: they reach up to the forehead. Medians over 1,966
# lines of its list.
_WFLW_RECTANGLE = (0.981, 1.280, 0.003, -0.145)


def dpr_gsr(state: State, scheme: str) -> NameMap:
    """The released global networks."""
    del state
    return _of_dpr(_global(), "dpr_gsr", {"scheme": scheme})


def dpr_glsr(state: State, scheme: str) -> NameMap:
    """All networks; without local reinitialisation among the tensors, the closed form takes its place.

    The names of the part regressors are those of the released code; their weights are not to be had.
    """
    network = any(f"{part}_net.0.weight" in state for part in PARTS)
    entries = _global()
    for part in PARTS:
        if network:
            entries += layers.perceptron(f"{part}_net", f"local_reinit/{part}", layers=3)
        entries += _mobilenet(f"{part}_net", f"{part}_loc", f"part_regressors/{part}", cells=1)
    options = {"scheme": scheme, "local": "network" if network else "closed_form"}
    return _of_dpr(entries, "dpr_glsr", options)


def _of_dpr(entries: list[Entry], name: str, options: dict[str, Any]) -> NameMap:
    """The map for a released model; those of 98 points learnt WFLW, with its rectangles for boxes."""
    of_wflw = options["scheme"] == "wflw98"
    data = DataConfig(dataset="wflw" if of_wflw else UNKNOWN, scheme=options["scheme"], crop=2.0)
    config = Config(model=ModelConfig(name, 256, options), task=TaskConfig("reinitialisation"), data=data)
    return of_model(entries, config, boxes={LANDMARKS: _WFLW_RECTANGLE} if of_wflw else {})


def _global() -> list[Entry]:
    entries: list[Entry] = []
    for i, (conv, prelu) in enumerate(((0, 2), (3, 4), (5, 7), (8, 9), (10, 12), (13, 14)), start=1):
        layout = layers.bgr_kernel if i == 1 else layers.kernel
        entries += layers.conv(f"localization.{conv}", f"global_reinit/conv{i}", bias=True, layout=layout)
        entries += layers.prelu(f"localization.{prelu}", f"global_reinit/prelu{i}")
    entries += layers.perceptron("fc_loc", "global_reinit/head", layers=2, cells=4)
    return entries + _mobilenet("features", "pts_net", "global_regress", cells=4)


def _mobilenet(features: str, head: str, target: str, cells: int) -> list[Entry]:
    """A `MobileNetV2Small` whose last map has `cells` cells; its first block has no expansion."""
    entries = layers.conv(f"{features}.0.0", f"{target}/stem_conv", layout=layers.bgr_kernel)
    entries += layers.norm(f"{features}.0.1", f"{target}/stem_norm")
    for block in range(1, 18):
        parts = ("depthwise", "project") if block == 1 else ("expand", "depthwise", "project")
        for index, layer in enumerate(parts):
            entries += layers.conv(f"{features}.{block}.conv.{3 * index}", f"{target}/block{block}/{layer}_conv")
            entries += layers.norm(f"{features}.{block}.conv.{3 * index + 1}", f"{target}/block{block}/{layer}_norm")
    entries += layers.conv(f"{features}.18.0", f"{target}/last_conv")
    entries += layers.norm(f"{features}.18.1", f"{target}/last_norm")
    return entries + layers.perceptron(head, f"{target}/head", layers=3, cells=cells)
