"""Feature networks: what a perceptual loss compares instead of pixels.

Each maps normalised photos [B, S, S, 3] to named feature maps [B, h, w, C]. Each is a pytree with its weights as
leaves, so it goes into a jitted function as an argument and its weights do not become constants there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from jaxlm import checkpoints
from jaxlm.models import DETECTORS
from jaxlm.models.layers import rescale
from jaxlm.models.vgg import VGG, load_vgg
from jaxlm.tasks.translation_losses import FeatureNetwork, Features

# The layers of AVS, beside the photo itself.
_VGG_LAYERS = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")

# What Keras takes from pixels 0..255, RGB.
_KERAS_MEAN = np.array([123.68, 116.779, 103.939], np.float32)

# Orthonormal axes, as columns: brightness, red to green, yellow to blue.
_OPPONENTS = np.array([(1, 1, 1), (1, -1, 1), (1, 0, -2)], np.float32) / np.sqrt(np.array([3, 2, 6], np.float32))

# Side in cells of the coarsest maps of the pyramid.
_COARSEST = 4


@flax.struct.dataclass
class LaplacianFeatures:
    """A Laplacian pyramid (Burt and Adelson, 1983) and the spread of colours: no weights, always at hand.

    `band_64px` [B, 64, 64, 3] and so on, down to 8 px, are what the mean over 2 x 2 pixels loses; `base` [B, 4, 4, 3]
    is the photo's mean colour in 4 x 4 cells, and `spread` [B, 4, 4, 3] the standard deviation there.
    """

    def __call__(self, images: jax.Array) -> Features:
        """Features of photos [B, S, S, 3] whose side is 4 times a power of two."""
        side = images.shape[1]
        features = {"spread": _spread(images, side // _COARSEST)}
        while side > _COARSEST:
            smaller = _block_mean(images, 2)
            features[f"band_{side}px"] = images - jax.image.resize(smaller, images.shape, "bilinear")
            images, side = smaller, side // 2
        return features | {"base": images}


@flax.struct.dataclass
class ColouredPyramid:
    """`LaplacianFeatures`, and colours apart from brightness, beside which they would count for little.

    `chroma` [B, 4, 4, 2] and `chroma_spread` [B, 4, 4, 2] are means and standard deviations in 4 x 4 cells of how red
    rather than green, and how yellow rather than blue, the photo is; `palette` [B, 1, 1, 6] those of the whole photo,
    its brightness among them.
    """

    def __call__(self, images: jax.Array) -> Features:
        """Features of photos [B, S, S, 3] whose side is 4 times a power of two."""
        side = images.shape[1]
        opponents = jnp.einsum("bhwc,cd->bhwd", images, jnp.asarray(_OPPONENTS), precision="highest")
        chroma = opponents[..., 1:]
        palette = [_block_mean(opponents, side), _spread(opponents, side)]
        return LaplacianFeatures()(images) | {
            "chroma": _block_mean(chroma, side // _COARSEST),
            "chroma_spread": _spread(chroma, side // _COARSEST),
            "palette": jnp.concatenate(palette, axis=-1),
        }


@flax.struct.dataclass
class VGGFeatures:
    """The photo and a layer of each stage of VGG-19, those of AVS; made by `load_features`.

    Attributes:
      variables: The parameters of VGG.
      model: The network.
      grey_levels: The photo, `input`, is one of grey levels less their ImageNet mean, as AVS's code has it, and not a
        normalised one. The order of its channels does not matter to the loss.
    """

    variables: dict[str, Any]
    model: VGG = flax.struct.field(pytree_node=False)
    grey_levels: bool = flax.struct.field(pytree_node=False, default=False)

    def __call__(self, images: jax.Array) -> Features:
        features = cast(Features, self.model.apply(self.variables, rescale(images, "imagenet")))
        photo = images * 128 + 127.5 - jnp.asarray(_KERAS_MEAN)[None, None, None] if self.grey_levels else images
        return {"input": photo} | {layer: features[layer] for layer in _VGG_LAYERS}


@flax.struct.dataclass
class DetectorFeatures:
    """The photo and what some layers of a trained detector make of it.

    Attributes:
      variables: The detector's parameters and batch statistics.
      model: The detector's network.
      input_size: Side in pixels of the crops that it was trained on, to which photos are resized.
      layers: Modules whose outputs are compared, their paths joined with dots: ("block1", "stage2.block0").
    """

    variables: dict[str, Any]
    model: nn.Module = flax.struct.field(pytree_node=False)
    input_size: int = flax.struct.field(pytree_node=False)
    layers: tuple[str, ...] = flax.struct.field(pytree_node=False)

    def __call__(self, images: jax.Array) -> Features:
        """Raises ValueError where the detector has no layer of a name, or one that gives no map."""
        crops = jax.image.resize(images, (len(images), self.input_size, self.input_size, 3), "bilinear")
        found = _layer_outputs(self.model, self.variables, crops)
        maps = {name: output for name, output in found.items() if getattr(output, "ndim", 0) == 4}
        unknown = [layer for layer in self.layers if layer not in maps]
        if unknown:
            raise ValueError(f"the detector has no layers {unknown} that give maps; it has {', '.join(maps)}")
        return {"input": images} | {layer: maps[layer] for layer in self.layers}


def load_features(source: str, grey_levels: bool = False) -> FeatureNetwork:
    """The network `laplacian`, that of an .npz file of VGG's weights, or that of a detector's workdir.

    Args:
      source: Which network.
      grey_levels: See `VGGFeatures`; the other networks have no such photo.

    Raises:
      ValueError, FileNotFoundError: See `load_vgg`.
      CheckpointError: There is no run in the workdir, or it cannot be read.
    """
    if source == "laplacian":
        return ColouredPyramid()
    if checkpoints.is_weights(source):
        if not os.path.exists(source):
            raise FileNotFoundError(
                f"{source} is missing: `jaxlm convert vgg19.pth --model vgg19 --out {source}` makes it of torchvision's"
                " weights; --task.options.features laplacian needs none"
            )
        model, variables = load_vgg(source)
        return VGGFeatures(variables, model, grey_levels)
    return load_detector_features(source)


def load_detector_features(workdir: str | os.PathLike[str]) -> DetectorFeatures:
    """The feature network of a trained detector: of each side from 4 px on, the last map of its outermost modules.

    Those are the modules of the least depth at which any gives a map.

    Raises:
      CheckpointError: There is no run, or it cannot be read.
      ValueError: The run trained something else.
    """
    trained = checkpoints.open_model(workdir)
    size = trained.config.model.input_size
    if trained.config.model.name not in DETECTORS:
        raise ValueError(f"{workdir} holds a {trained.config.model.name}, which is no detector")
    maps: list[tuple[tuple[str, ...], int]] = []

    def note(method: Callable[..., Any], args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        output, path = method(*args, **kwargs), context.module.path
        if path and context.method_name == "__call__" and getattr(output, "ndim", 0) == 4:
            maps.append((path, output.shape[1]))
        return output

    with nn.intercept_methods(note):
        images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        jax.eval_shape(partial(trained.model.apply, train=False), trained.variables, images)
    depth = min(len(path) for path, _ in maps)
    layers = {side: ".".join(path) for path, side in maps if len(path) == depth and side >= _COARSEST}
    # Weights without a place, so that they go where the training state does.
    variables = jax.device_get(trained.variables)
    return DetectorFeatures(variables, trained.model, size, tuple(layers.values()))


def _layer_outputs(model: nn.Module, variables: Any, images: jax.Array) -> dict[str, Any]:
    """The outputs of all submodules for normalised photos, by their paths."""
    _, state = model.apply(variables, images, train=False, capture_intermediates=True, mutable=["intermediates"])
    flat = traverse_util.flatten_dict(state["intermediates"], sep=".")
    return {path.removesuffix(".__call__"): outputs[0] for path, outputs in flat.items()}


def _block_mean(images: jax.Array, side: int) -> jax.Array:
    """Means of blocks of side x side pixels: [B, H, W, C] -> [B, H / side, W / side, C]."""
    batch, height, width, channels = images.shape
    return images.reshape(batch, height // side, side, width // side, side, channels).mean(axis=(2, 4))


def _spread(images: jax.Array, side: int) -> jax.Array:
    """Standard deviation of each channel in blocks of side x side pixels."""
    variance = _block_mean(images**2, side) - _block_mean(images, side) ** 2
    # The square root has no slope at 0.
    return jnp.sqrt(jnp.maximum(variance, 0.0) + 1e-4)
