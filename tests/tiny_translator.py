"""A small translator of random weights, for tests of what is done with one."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.config import Config, DataConfig, ModelConfig, TaskConfig
from jaxlm.landmarks.schemes import WFLW98
from jaxlm.models.vunet import VUNet
from jaxlm.styles.translation import Translator


def make_translator(pack: pathlib.Path, size: int) -> Translator:
    """For crops of `size` pixels; a fifth of the photos in `pack` count as held out.

    Weights are drawn without running the model: its `init` takes far longer to compile.
    """
    model = VUNet(width=4, encoder_width=4, max_width=8)
    shapes = jax.eval_shape(
        functools.partial(model.init, train=True),
        {name: jax.random.key(0) for name in ("params", "latent", "dropout")},
        jnp.zeros((8, size, size, 3)),
        jnp.zeros((8, size, size, 1)),
    )
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)
    config = Config(
        model=ModelConfig("vunet", size),
        task=TaskConfig("translation", {"structure": "dots"}),
        data=DataConfig(dataset=str(pack), validation_percent=20),
    )
    return Translator(config, model, variables, 7, WFLW98)
