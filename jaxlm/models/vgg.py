"""The convolutions of VGG-16 and VGG-19 (Simonyan and Zisserman, ICLR 2015), for features of photos."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util
from jax.typing import DTypeLike

from jaxlm.models.layers import Conv3x3
from jaxlm.models.layers.operators import max_pool_2x2
from jaxlm.models.weights import load_weights

# How many convolutions each stage has.
STAGES = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}

_HE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class VGG(nn.Module):
    """Features of ImageNet-normalised photos [B, S, S, 3] after each ReLU, by the paper's names: conv1_1, conv1_2, ...

    Stage k is [B, S / 2^(k - 1), S / 2^(k - 1), C], C being `width`, doubled with each stage up to 8 times as many.
    Parameter paths are those of jaxlm/interop/torch_maps/backbones.py. Kernels are drawn as He et al. (ICCV 2015) do.

    Attributes:
      stages: How many convolutions each stage has; a pool is between two stages.
      width: Channels of the first stage.
      pools: Only the first so many pools are there; a stage without one before it keeps the side of the last.
      dtype: Type of the computation; parameters are float32.
    """

    stages: tuple[int, ...] = STAGES["vgg19"]
    width: int = 64
    pools: int = 4
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        conv = partial(Conv3x3, use_bias=True, dtype=self.dtype, kernel_init=_HE)
        features, x = {}, images
        for stage, count in enumerate(self.stages, start=1):
            x = max_pool_2x2(x) if 1 < stage <= self.pools + 1 else x
            for number in range(1, count + 1):
                name = f"conv{stage}_{number}"
                x = nn.relu(conv(self.width * min(2 ** (stage - 1), 8), name=name)(x))
                features[name] = x
        return features


def load_vgg(file: str | os.PathLike[str]) -> tuple[VGG, dict[str, Any]]:
    """The network and the variables of an .npz file that `python -m jaxlm.convert --model vgg19` (or vgg16) wrote.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The file holds another network, or arrays are missing, too many or of the wrong shape.
    """
    variables, metadata = load_weights(file)
    if metadata.get("model") not in STAGES:
        raise ValueError(f"{file} holds {metadata.get('model')!r}, not one of {', '.join(STAGES)}")
    model = VGG(STAGES[metadata["model"]], **metadata.get("options", {}))
    # Any size that survives the pools tells the shapes.
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    wanted = _shapes(jax.eval_shape(model.init, jax.random.key(0), images))
    found = _shapes(variables)
    wrong = [path for path in wanted | found if wanted.get(path) != found.get(path)]
    if wrong:
        lines = [f"{path}: {found.get(path, 'missing')}, wanted {wanted.get(path, 'nothing')}" for path in wrong[:5]]
        raise ValueError("\n  ".join([f"{file}: {len(wrong)} arrays do not fit {metadata['model']}", *lines]))
    return model, jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), variables)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(tree, sep="/").items()}
