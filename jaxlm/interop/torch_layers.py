"""Layers of a PyTorch state dict as entries of a name map: one for each array, with the change of its axes.

Layouts: convolution [out, in, h, w] -> [h, w, in, out], where a depthwise kernel [C, 1, h, w] becomes [h, w, 1, C];
transposed convolution [in, out, h, w] -> [h, w, out, in], the same change of axes;
dense [out, in] -> [in, out], its inputs reordered where they are a flattened map, which is (C, H, W) in PyTorch and
(H, W, C) here; the slope of a PReLU [1] -> []. `source` and `target` are the layer's prefixes on either side.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Layout = Callable[..., np.ndarray]
Shapes = dict[str, tuple[int, ...]]


class Entry(NamedTuple):
    """One of our arrays, named by its path, made by `convert` from one or more tensors."""

    target: str
    sources: tuple[str, ...]
    convert: Layout


def kernel(weight: np.ndarray) -> np.ndarray:
    """The kernel of a convolution."""
    return weight.transpose(2, 3, 1, 0)


def centred_kernel(weight: np.ndarray) -> np.ndarray:
    """A first convolution's kernel on pixels (v - 127.5) / 127.5; exact but for the rounding of the product.

    Zeros, which pad the image, stand for the same grey in (v - 127.5) / 128.
    """
    return kernel(weight) * np.float32(128 / 127.5)


def bgr_kernel(weight: np.ndarray) -> np.ndarray:
    """The same of BGR pixels."""
    return centred_kernel(weight)[:, :, ::-1]


def conv(source: str, target: str, bias: bool = False, layout: Layout = kernel) -> list[Entry]:
    """A convolution, its kernel changed by `layout`."""
    entries = [Entry(f"params/{target}/kernel", (f"{source}.weight",), layout)]
    return entries + [Entry(f"params/{target}/bias", (f"{source}.bias",), np.asarray)] * bias


def dense(source: str, target: str, cells: int = 1) -> list[Entry]:
    """A dense layer; its input is a flattened map of `cells` pixels."""
    layout = functools.partial(_dense_kernel, cells=cells)
    return [
        Entry(f"params/{target}/kernel", (f"{source}.weight",), layout),
        Entry(f"params/{target}/bias", (f"{source}.bias",), np.asarray),
    ]


def norm(source: str, target: str) -> list[Entry]:
    """Batch normalisation with its running statistics."""
    places = {"weight": "params/{}/scale", "bias": "params/{}/bias"}
    places |= {"running_mean": "batch_stats/{}/mean", "running_var": "batch_stats/{}/var"}
    return [Entry(place.format(target), (f"{source}.{name}",), np.asarray) for name, place in places.items()]


def prelu(source: str, target: str) -> list[Entry]:
    """A PReLU with one slope."""
    return [Entry(f"params/{target}/negative_slope", (f"{source}.weight",), lambda slope: slope.reshape(()))]


def perceptron(source: str, target: str, layers: int, cells: int = 1) -> list[Entry]:
    """Dense layers at even numbers and PReLUs between them; the input is a flattened map of `cells` pixels."""
    entries: list[Entry] = []
    for i in range(layers):
        entries += dense(f"{source}.{2 * i}", f"{target}/fc{i + 1}", cells=1 if i else cells)
        entries += prelu(f"{source}.{2 * i + 1}", f"{target}/prelu{i + 1}") if i < layers - 1 else []
    return entries


def separable_norm(source: str, target: str, sets: int) -> list[Entry]:
    """The SepBN layer, of which the released code keeps `sets` whole batch normalisations."""

    def entry(collection: str, name: str, tensor: str, convert: Layout) -> Entry:
        return Entry(f"{collection}/{target}/{name}", tuple(f"{source}.bn.{k}.{tensor}" for k in range(sets)), convert)

    return [
        entry("params", "scale", "weight", _stack),
        entry("params", "bias", "bias", _stack),
        entry("batch_stats", "mean", "running_mean", _only),
        entry("batch_stats", "var", "running_var", _only),
        *conv(f"{source}.fc1", f"{target}/fc1", layout=_pointwise),
        *conv(f"{source}.fc2", f"{target}/fc2", layout=_pointwise),
    ]


def conv_shapes(target: str, side: int, inputs: int, outputs: int, bias: bool = False) -> Shapes:
    """Shapes of the arrays of `conv`."""
    shapes = {f"params/{target}/kernel": (side, side, inputs, outputs)}
    return shapes | ({f"params/{target}/bias": (outputs,)} if bias else {})


def _pointwise(weight: np.ndarray) -> np.ndarray:
    """A 1 x 1 convolution as a dense layer."""
    return weight[:, :, 0, 0].T


def _dense_kernel(weight: np.ndarray, cells: int) -> np.ndarray:
    return weight.reshape(len(weight), -1, cells).transpose(2, 1, 0).reshape(-1, len(weight))


def _stack(*tensors: np.ndarray) -> np.ndarray:
    return np.stack(tensors)


def _only(*tensors: np.ndarray) -> np.ndarray:
    """The first of equal tensors."""
    if any(not np.array_equal(tensors[0], tensor) for tensor in tensors[1:]):
        raise ValueError(
            f"the {len(tensors)} normalisations have different statistics, so one of them cannot replace all"
        )
    return tensors[0]
