"""A translator judged by faces that it did not learn from: how well it draws them again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from jaxlm import tasks
from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines.input import Faces
from jaxlm.images import cropping
from jaxlm.landmarks import load_scheme
from jaxlm.models.vunet import VUNetOutputs
from jaxlm.runtime import distributed
from jaxlm.tasks import translation_losses
from jaxlm.tasks.translation_losses import FeatureNetwork

Tree = Any

# Faces at a time; rounded up to a multiple of the devices.
_BATCH_SIZE = 64


def validator(
    model: nn.Module, config: Config, network: FeatureNetwork, margin: float, mesh: Mesh
) -> Callable[[Tree, Faces], dict[str, float]]:
    """A function that judges a translator by faces, each drawn from its own structure and the mean of its style.

    Args:
      model: The translator.
      config: The config of its run.
      network: The feature network of its perceptual loss; its weights are taken from the variables.
      margin: Side of the faces' frames in face boxes.
      mesh: The devices.

    Returns:
      A function of variables and faces. It gives means over all the faces: `perceptual`, `l1`, their sum
      `reconstruction`, and for the latent of k cells a side `kl_kpx` in nats and `active_kpx`, the share of active
      dimensions.
    """
    split, devices = distributed.split_batch(mesh), jax.device_count()
    batch_size = -(-_BATCH_SIZE // devices) * devices
    sums_of = functools.partial(_sums, model=model, config=config, network=network, margin=margin)
    step = jax.jit(sums_of, out_shardings=distributed.replicated(mesh))

    def validate(variables: Tree, faces: Faces) -> dict[str, float]:
        sums = []
        for batch in input_lib.eval_batches(faces, batch_size, jax.process_index(), jax.process_count()):
            arrays = {name: batch[name] for name in ("image", "points", "mask")}
            sums.append(jax.device_get(step(variables, distributed.to_devices(arrays, split))))
        means = jax.tree.map(lambda *parts: np.sum(parts, axis=0, dtype=np.float64) / len(faces), *sums)
        metrics = {name: float(value) for name, value in means["losses"].items()}
        for name, (mean, square) in means["latents"].items():
            metrics[f"active_{name}"] = float(np.mean(square - mean**2 > translation_losses.ACTIVE_VARIANCE))
        return metrics | {"reconstruction": metrics["perceptual"] + metrics["l1"]}

    return validate


def _sums(
    variables: Tree,
    batch: Mapping[str, jax.Array],
    *,
    model: nn.Module,
    config: Config,
    network: FeatureNetwork,
    margin: float,
) -> Tree:
    """Sums over the real faces of a batch: each loss, and the latents' means and their squares [h, w, C]."""
    task, scheme = tasks.build_translation(config.task, config.model), load_scheme(config.data.scheme)
    size, crop = config.model.input_size, config.data.crop
    images, points = cropping.plain_crops(batch["image"], batch["points"], size, margin, crop)
    structures = task.structures(points, scheme, size)
    outputs = cast(VUNetOutputs, model.apply({"params": variables["params"]}, images, structures, train=False))
    network, scales = translation_losses.unpack_perception(network, variables["batch_stats"])
    losses = {
        "perceptual": translation_losses.perceptual(outputs.images, images, network, scales, task.gram_weight),
        "l1": translation_losses.l1(outputs.images, images),
    }
    divergences = translation_losses.kl_divergences(outputs.posterior, outputs.prior)
    latents = {f"{means.shape[1]}px": means for means in outputs.posterior}
    losses |= {f"kl_{name}": value for name, value in zip(latents, divergences, strict=True)}
    total = functools.partial(jnp.einsum, "b...,b->...", precision="highest")
    weight = batch["mask"].astype(jnp.float32)
    return {
        "losses": {name: total(value, weight) for name, value in losses.items()},
        "latents": {name: (total(means, weight), total(means**2, weight)) for name, means in latents.items()},
    }
