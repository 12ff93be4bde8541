"""The table of name maps, by what `jaxlm convert --model` calls them."""

from __future__ import annotations

import functools
from collections.abc import Callable

from jaxlm.interop.torch_maps.backbones import resnet18, vgg
from jaxlm.interop.torch_maps.cnn import cnn
from jaxlm.interop.torch_maps.dpr import dpr_glsr, dpr_gsr
from jaxlm.interop.torch_maps.name_map import NameMap, State

MAPS: dict[str, Callable[[State, str], NameMap]] = {
    "cnn": cnn,
    "dpr_glsr": dpr_glsr,
    "dpr_gsr": dpr_gsr,
    "resnet18": resnet18,
    "vgg16": functools.partial(vgg, name="vgg16"),
    "vgg19": functools.partial(vgg, name="vgg19"),
}
