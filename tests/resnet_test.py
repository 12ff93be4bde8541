"""ResNet-18: published counts, what a block computes, what the network does to its input, a start from weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

from jaxlm import models
from jaxlm.evaluation import cost
from jaxlm.interop import torch_maps
from jaxlm.models.resnet18 import BasicBlock, ResNet18
from jaxlm.training import starting
from tolerances import assert_float32_close

BODY = 11_176_512


@functools.cache
def shapes(num_points: int = 98) -> dict:
    model = ResNet18(num_points)
    return jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize(("num_points", "total"), [(68, 11_246_280), (98, 11_277_060)])
def test_counts_of_parameters(num_points: int, total: int):
    params = shapes(num_points)["params"]
    assert cost.count_parameters(params) == total == BODY + 513 * 2 * num_points
    assert cost.count_parameters({name: tree for name, tree in params.items() if name != "head"}) == BODY


def test_products_are_those_of_torchvisions_network():
    """1,814,073,344 at 224 px with the classifier of 1,000 classes in the head's place."""
    products = cost.summarise(ResNet18(98), 224).products
    assert products - 512 * 2 * 98 + 512 * 1000 == 1_814_073_344


@pytest.mark.parametrize("size", [64, 100, 128])
def test_any_size_of_image_gives_float32_coordinates(size: int):
    model = models.build("resnet18", 68, {}, jnp.bfloat16)
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    outputs, updated = jax.eval_shape(
        functools.partial(model.apply, train=True, mutable=["batch_stats"]), shapes(68), images
    )
    assert (outputs.shape, outputs.dtype) == ((2, 136), jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(updated)} == {jnp.dtype(jnp.float32)}


def normalised(x: np.ndarray, variables: dict, name: str) -> np.ndarray:
    params, stats = variables["params"][name], variables["batch_stats"][name]
    return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]


@pytest.mark.parametrize(("features", "stride"), [(4, 1), (6, 2)])
def test_a_block_adds_its_two_convolutions_to_the_shortcut(features: int, stride: int):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 7, 4)).astype(np.float32)
    norm = functools.partial(nn.BatchNorm, use_running_average=True, momentum=0.9, epsilon=1e-5)
    block = BasicBlock(features, stride, norm, jnp.float32)
    variables = jax.tree.map(
        lambda leaf: rng.uniform(0.2, 1, leaf.shape).astype(np.float32),
        jax.eval_shape(block.init, jax.random.key(0), x),
    )

    def conv(x: np.ndarray, name: str, side: int, stride: int) -> np.ndarray:
        layer = nn.Conv(features, (side, side), strides=stride, padding=side // 2, use_bias=False)
        return np.asarray(layer.apply({"params": variables["params"][name]}, x))

    y = np.maximum(normalised(conv(x, "conv1", 3, stride), variables, "norm1"), 0)
    y = normalised(conv(y, "conv2", 3, 1), variables, "norm2")
    shortcut = x if stride == 1 else normalised(conv(x, "downsample_conv", 1, 2), variables, "downsample_norm")
    assert_float32_close(block.apply(variables, x), np.maximum(y + shortcut, 0), depth=4 * 9 + 6 * 9)


def test_the_first_convolution_sees_imagenets_pixels():
    """Of a photo all in ImageNet's mean colour it sees zeros, at the border too."""
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    photos = np.ones((2, 32, 32, 1), np.float32) * np.stack([mean, mean + np.float32([0, 0.1, 0])])[:, None, None]
    variables = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes())
    kernel = np.random.default_rng(0).normal(size=(7, 7, 3, 64)).astype(np.float32)
    variables["params"]["conv1"]["kernel"] = jnp.asarray(kernel)

    @jax.jit  # So that the rest of the network is not computed.
    def first(images: jax.Array) -> jax.Array:
        _, captured = ResNet18(98).apply(
            variables, images, train=False, capture_intermediates=lambda module, _: module.name == "conv1"
        )
        return captured["intermediates"]["conv1"]["__call__"][0]

    grey, green = first((255 * photos - 127.5) / 128)
    assert grey.shape == (16, 16, 64)
    largest = np.abs(kernel).max() * (mean / std).max()
    assert_float32_close(grey, np.zeros(grey.shape), depth=49 * 3, scale=largest)
    assert_float32_close(green[5, 5], kernel[:, :, 1].sum((0, 1)) * 0.1 / std[1], depth=49 * 3, scale=largest)


def test_converted_weights_fill_all_but_the_head():
    names = torch_maps.MAPS["resnet18"]({}, "ibug68")
    assert {entry.target for entry in names.entries} == set(names.shapes)
    ours = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes(98))
    theirs = {path: np.ones(shape, np.float32) for path, shape in names.shapes.items()}
    found, report = starting.take(ours, traverse_util.unflatten_dict(theirs, sep="/"))
    assert sorted(report.new) == ["params/head/bias", "params/head/kernel"]
    assert (len(report.taken), report.reshaped, report.left_over) == (20 * 5, [], [])
    assert found["batch_stats"]["layer4_0"]["downsample_norm"]["var"].min() == 1
