"""The table of name maps, by what `jaxlm convert --model` calls them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from jaxlm.interop.torch_maps.backbones import resnet18, vgg
from jaxlm.interop.torch_maps.cnn import cnn
from jaxlm.interop.torch_maps.dpr import dpr_glsr, dpr_gsr
from jaxlm.interop.torch_maps.efficientnet import efficientnet
from jaxlm.interop.torch_maps.fan import fan
from jaxlm.interop.torch_maps.name_map import NameMap, State
from jaxlm.interop.torch_maps.san import san
from jaxlm.interop.torch_maps.shufflenetv2_heatmap import shufflenetv2_heatmap
from jaxlm.landmarks.schemes import SCHEMES

MAPS: dict[str, Callable[[State, str], NameMap]] = {
    "cnn": cnn,
    "dpr_glsr": dpr_glsr,
    "dpr_gsr": dpr_gsr,
    "efficientnet_lite0": functools.partial(efficientnet, size="lite0"),
    "efficientnet_lite1": functools.partial(efficientnet, size="lite1"),
    "fan": fan,
    "resnet18": resnet18,
    "san": san,
    "shufflenetv2_heatmap": shufflenetv2_heatmap,
    "vgg16": functools.partial(vgg, name="vgg16"),
    "vgg19": functools.partial(vgg, name="vgg19"),
}


class _Head(NamedTuple):
    """A layer's weight with `each` outputs for each point, and one more where there is a `background`."""

    weight: str
    each: int = 1
    background: bool = False


_HEADS = {
    "cnn": _Head("fc2.weight", each=2),
    "dpr_glsr": _Head("pts_net.4.weight", each=2),
    "dpr_gsr": _Head("pts_net.4.weight", each=2),
    "fan": _Head("l0.weight"),
    "san": _Head("stage1.10.weight", background=True),
    "shufflenetv2_heatmap": _Head("conv8.0.weight"),
}


def scheme_of(state: State, model: str) -> str:
    """The built-in scheme that has as many points as a state dict; `wflw98` where that does not tell."""
    head = _HEADS.get(model)
    if head is None or head.weight not in state:
        return "wflw98"
    points = (len(state[head.weight]) - head.background) / head.each
    return next((name for name, scheme in SCHEMES.items() if scheme.num_points == points), "wflw98")
