"""The networks of DPR (TPAMI 2021) that predict affine maps and the shapes of parts; `jaxlm.models.dpr` joins them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm.landmarks import load_scheme
from jaxlm.models.dpr import coordinates
from jaxlm.models.layers.operators import max_pool_2x2
from jaxlm.models.mobilenetv2_small import MobileNetV2Small, Perceptron, PReLU

Thetas = dict[str, jax.Array]


class GlobalReinit(nn.Module):
    """Theta [B, 2, 3] of normalised crops [B, 128, 128, 3]: six valid convolutions and two dense layers.

    Maps are halved where a pool follows, before the activation. An untrained network predicts the identity, as that of
    the 2017 predecessor did; how the published one started is not known.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, crops: jax.Array) -> jax.Array:
        init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        x = crops.astype(self.dtype)
        layers = (
            *((8, 5, 2, True), (16, 3, 1, False), (16, 3, 1, True)),
            *((32, 3, 1, False), (32, 3, 1, True), (64, 3, 1, False)),
        )
        for index, (features, kernel, stride, pool) in enumerate(layers, start=1):
            conv = partial(nn.Conv, features, (kernel, kernel), stride, padding="VALID", kernel_init=init)
            x = conv(dtype=self.dtype, name=f"conv{index}")(x)
            x = PReLU(name=f"prelu{index}")(max_pool_2x2(x) if pool else x)
        head = partial(Perceptron, (32,), 6, bias_init=_constant(jnp.eye(2, 3)))
        return head(dtype=self.dtype, name="head")(x.reshape(x.shape[0], -1)).reshape(-1, 2, 3)


class LocalReinit(nn.Module):
    """Theta [B, 2, 3] of each part from points [B, N, 2] in pixels of the face frame: three dense layers a part.

    An untrained network predicts the thetas of the mean face.
    """

    scheme: str = "wflw98"

    @nn.compact
    def __call__(self, points: jax.Array) -> Thetas:
        scheme = load_scheme(self.scheme)
        mean = coordinates.FACE_SIZE * jnp.asarray(coordinates.mean_face(scheme))[None]
        starts = coordinates.closed_form_thetas(mean, scheme)
        # Its inputs are pixels, some hundred times as large as those of other layers.
        net = partial(Perceptron, (128, 64), 6, hidden_init=nn.initializers.normal(0.01))
        flat = points.reshape(points.shape[0], -1)
        return {
            part: net(bias_init=_constant(start), name=part)(flat).reshape(-1, 2, 3) for part, start in starts.items()
        }


class PartRegressors(nn.Module):
    """Residuals [B, n, 2] of each part from its normalised crops [B, 128, 128, 3], by one small network a part."""

    scheme: str = "wflw98"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, crops: Mapping[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        sizes = {part: len(indices) for part, indices in coordinates.facial_parts(load_scheme(self.scheme)).items()}
        net = partial(MobileNetV2Small, head_width=64, dtype=self.dtype)
        return {
            part: net(size, name=part)(crops[part], train=train).reshape(-1, size, 2) for part, size in sizes.items()
        }


def _constant(values: jax.Array) -> nn.initializers.Initializer:
    def init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
        del key
        return jnp.asarray(values, dtype).reshape(shape)

    return init
