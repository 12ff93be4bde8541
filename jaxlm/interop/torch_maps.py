"""Name maps: which tensors of a model's PyTorch state dict become which of our arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxlm import experiment, models
from jaxlm.checkpoints import bundle
from jaxlm.config import Config, DataConfig, ModelConfig, TaskConfig
from jaxlm.interop import torch_layers as layers
from jaxlm.interop.torch_layers import Entry, Shapes
from jaxlm.landmarks import load_scheme
from jaxlm.models.dpr.coordinates import PARTS
from jaxlm.models.efficientnet import STAGES

State = Mapping[str, np.ndarray]

_UNKNOWN = "unknown"
"""The data set of a checkpoint that does not name one."""

# How many convolutions each stage has.
_VGG_STAGES = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


class NameMap(NamedTuple):
    """The map from a state dict to our arrays.

    Attributes:
      entries: One entry for each of our arrays.
      shapes: The shapes of the arrays that our model has, by path.
      ignored: Patterns (fnmatch) of tensors that are left out on purpose.
      metadata: The metadata that are written with the weights.
    """

    entries: list[Entry]
    shapes: Shapes
    ignored: tuple[str, ...]
    metadata: dict[str, Any]


def dpr_gsr(state: State, scheme: str) -> NameMap:
    """The released global networks of DPR, which look at BGR pixels (v - 127.5) / 127.5.

    The first kernels are turned to RGB and multiplied by 128 / 127.5, for this project's pixels (v - 127.5) / 128.
    """
    del state
    return _of_model(_dpr_global(), _dpr_config("dpr_gsr", {"scheme": scheme}))


def dpr_glsr(state: State, scheme: str) -> NameMap:
    """All networks of DPR; without local reinitialisation among the tensors, the closed form takes its place.

    The names of the part regressors are those of the released code; their weights are not to be had.
    """
    network = any(f"{part}_net.0.weight" in state for part in PARTS)
    entries = _dpr_global()
    for part in PARTS:
        if network:
            entries += layers.perceptron(f"{part}_net", f"local_reinit/{part}", layers=3)
        entries += _mobilenet(f"{part}_net", f"{part}_loc", f"part_regressors/{part}", cells=1)
    options = {"scheme": scheme, "local": "network" if network else "closed_form"}
    return _of_model(entries, _dpr_config("dpr_glsr", options))


def cnn(state: State, scheme: str) -> NameMap:
    """The released six-convolution network: plain, with batch normalisation, or with SepBN, as its tensors say.

    The K whole normalisations of the released SepBN have equal statistics; one set of them is kept. Where they differ,
    the conversion reports an error.
    """
    norm = "sepbn" if not state or "bn1.bn.0.weight" in state else "batch" if "bn1.weight" in state else "none"
    sets = max(1, sum(name.startswith("bn1.bn.") and name.endswith(".weight") for name in state))
    entries: list[Entry] = []
    for i in range(1, 7):
        entries += layers.conv(f"conv{i}", f"block{i}/conv", bias=True)
        if norm == "sepbn":
            entries += layers.separable_norm(f"bn{i}", f"block{i}/norm", sets)
        elif norm == "batch":
            entries += layers.norm(f"bn{i}", f"block{i}/norm")
    entries += layers.dense("fc1", "fc1", cells=4) + layers.dense("fc2", "fc2")
    widths = [_outputs(state, f"conv{i}.weight", default=64 * 2 ** (i - 1)) for i in range(1, 7)]
    head_width = _outputs(state, "fc1.weight", default=2048)
    options = {"norm": norm, "widths": widths, "head_width": head_width} | ({"sets": sets} if norm == "sepbn" else {})
    data = DataConfig(dataset=_UNKNOWN, scheme=scheme, crop=1.0)
    return _of_model(entries, Config(model=ModelConfig("cnn", 128, options), data=data))


def efficientnet(state: State, scheme: str, *, size: str) -> NameMap:
    """EfficientNet-Lite of the package efficientnet_lite_pytorch, the encoder of a `models.efficientnet.EfficientNet`.

    Its last convolution and its classifier have no place there.
    """
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
    shapes = _shapes_of("efficientnet", {"size": size}, scheme, input_size=32)
    encoder = {path: shape for path, shape in shapes.items() if path.split("/")[1] == "encoder"}
    ignored = ("_conv_head.*", "_bn1.*", "_fc.*", "*.num_batches_tracked")
    metadata = {"model": "efficientnet", "options": {"size": size}, "pixels": "RGB, (v - 127) / 128"}
    return NameMap(entries, encoder, ignored, metadata)


def resnet18(state: State, scheme: str) -> NameMap:
    """The ResNet-18 of torchvision without its classifier, for a `models.resnet18.ResNet18` whose head is new.

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
    shapes = _shapes_of("resnet18", {}, scheme, input_size=32)
    body = {path: shape for path, shape in shapes.items() if not path.startswith("params/head/")}
    return NameMap(entries, body, ("fc.*", "*.num_batches_tracked"), _imagenet("resnet18"))


def vgg(state: State, scheme: str, *, name: str) -> NameMap:
    """The convolutions of torchvision's VGG-16 or VGG-19, without batch normalisation and without the classifier.

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
    return NameMap(entries, shapes, ("classifier.*",), _imagenet(name))


MAPS: dict[str, Callable[[State, str], NameMap]] = {
    "cnn": cnn,
    "dpr_glsr": dpr_glsr,
    "dpr_gsr": dpr_gsr,
    "efficientnet_lite0": functools.partial(efficientnet, size="lite0"),
    "efficientnet_lite1": functools.partial(efficientnet, size="lite1"),
    "resnet18": resnet18,
    "vgg16": functools.partial(vgg, name="vgg16"),
    "vgg19": functools.partial(vgg, name="vgg19"),
}


def _of_model(entries: list[Entry], config: Config) -> NameMap:
    """The map for a whole model of `jaxlm.models`, whose files are those of jaxlm/checkpoints/bundle.py."""
    scheme, model = config.data.scheme, config.model
    shapes = _shapes_of(model.name, model.options, scheme, model.input_size)
    metadata = bundle.metadata_of(experiment.spell_out(config), load_scheme(scheme).num_points)
    return NameMap(entries, shapes, ("*.num_batches_tracked",), metadata)


def _dpr_config(name: str, options: dict[str, Any]) -> Config:
    data = DataConfig(dataset=_UNKNOWN, scheme=options["scheme"], crop=2.0)
    return Config(model=ModelConfig(name, 256, options), task=TaskConfig("reinitialisation"), data=data)


def _shapes_of(name: str, options: dict[str, Any], scheme: str, input_size: int) -> Shapes:
    """The shapes of a model of `jaxlm.models`, which its initialisation tells."""
    model = models.build(name, load_scheme(scheme).num_points, options, jnp.float32)
    images = jax.ShapeDtypeStruct((1, input_size, input_size, 3), jnp.float32)
    variables = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), images)
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variables, sep="/").items()}


def _outputs(state: State, name: str, default: int) -> int:
    """How many outputs the layer with this weight has; `default` where the weight is missing."""
    return len(state[name]) if name in state else default


def _normed_conv(conv: str, norm: str, target: str) -> list[Entry]:
    """A convolution and its normalisation, which are one layer here."""
    return layers.conv(conv, target) + layers.norm(norm, target)


def _imagenet(name: str) -> dict[str, Any]:
    pixels = "RGB, (v / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]"
    return {"model": name, "options": {}, "pixels": pixels}


def _dpr_global() -> list[Entry]:
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
