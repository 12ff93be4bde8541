"""Stand-ins for the networks of DPR where their work does not matter: compiling five regressors takes a minute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.typing import DTypeLike

from jaxlm import models
from jaxlm.checkpoints import Trained
from jaxlm.config import Config, DataConfig, ModelConfig, TaskConfig
from jaxlm.landmarks import load_scheme
from jaxlm.models.dpr import networks, stages


class TinyRegressor(nn.Module):
    """One dense layer on an image of 8 x 8 cells."""

    num_points: int
    head_width: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        x = images.reshape(images.shape[0], 8, images.shape[1] // 8, 8, images.shape[2] // 8, 3).mean((2, 4))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        init = nn.initializers.normal(0.01)
        return nn.Dense(2 * self.num_points, kernel_init=init, name="fc")(x.reshape(x.shape[0], -1))


class TinyReinit(nn.Module):
    """One dense layer on the mean colour; the identity at the start, as the network of the first stage is."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, crops: jax.Array) -> jax.Array:
        def identity(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
            return jnp.eye(2, 3, dtype=dtype).reshape(shape)

        dense = nn.Dense(6, kernel_init=nn.initializers.zeros, bias_init=identity, name="fc")
        return dense(crops.mean((1, 2))).reshape(-1, 2, 3)


def use_tiny_regressors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts `TinyRegressor` in place of all regressors of DPR."""
    for module in (networks, stages):
        monkeypatch.setattr(module, "MobileNetV2Small", TinyRegressor)


def use_tiny_reinit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts `TinyReinit` in place of the network of the first stage."""
    monkeypatch.setattr(networks, "GlobalReinit", TinyReinit)


def mean_face_gsr(scheme: str = "ibug68", step: int = 0, dataset: str = "wflw") -> Trained:
    """A GSR whose networks give zero but for the identity map; at step 0 it looks at the photo, as released ones do."""
    options = {"scheme": scheme}
    model = models.build("dpr_gsr", load_scheme(scheme).num_points, options, jnp.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 256, 256, 3)), train=False))
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    variables["params"]["global_reinit"]["head"]["fc2"]["bias"] = np.eye(2, 3, dtype=np.float32).ravel()
    data = DataConfig(dataset=dataset, scheme=scheme, crop=2.0)
    config = Config(model=ModelConfig("dpr_gsr", 256, options), task=TaskConfig("reinitialisation"), data=data)
    return Trained(config, model, variables, step, load_scheme(scheme))


def mean_face_through(box: tuple[float, float, float, float], scheme: str = "ibug68") -> np.ndarray:
    """The points [N, 2] that `mean_face_gsr` finds in a photo: the mean face, as wide and as high as the box."""
    low, high = np.float64(box[:2]), np.float64(box[2:])
    return low + np.asarray(load_scheme(scheme).mean_face) * 128 * (high - low) / 127
