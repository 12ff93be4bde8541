"""The objective of translators: faces are rendered again from their own structure and style."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh

from jaxlm import models, tasks
from jaxlm.config import Config
from jaxlm.landmarks import Scheme, load_scheme
from jaxlm.models.vunet import VUNetOutputs
from jaxlm.runtime.progress import Measure
from jaxlm.styles import feature_networks, validation
from jaxlm.tasks import translation_losses
from jaxlm.tasks.translation import TranslationTask
from jaxlm.tasks.translation_losses import FeatureNetwork
from jaxlm.training.objectives.base import Crops, Validate

Tree = Any


@dataclasses.dataclass(frozen=True)
class TranslationObjective:
    """Perceptual loss and KL divergence; validation is by `reconstruction`, the sum of perceptual loss and L1.

    The feature network of the perceptual loss and the scales of its terms are kept in `batch_stats`, see
    `translation_losses.pack_perception`. The scales are taken from the faces that the model starts from, or are those
    of the published loss.
    """

    measure: ClassVar[Measure] = Measure("reconstruction", "reconstruction", 1.0)
    alarms: ClassVar[tuple[tasks.Alarm, ...]] = ()

    model: nn.Module
    task: TranslationTask
    network: FeatureNetwork
    scheme: Scheme
    config: Config
    total_steps: int

    @classmethod
    def of(cls, config: Config, steps_per_epoch: int) -> TranslationObjective:
        """The objective of an experiment whose model is a translator.

        Raises:
          ValueError, FileNotFoundError, CheckpointError: The feature network cannot be loaded.
        """
        scheme = load_scheme(config.data.scheme)
        task = tasks.build_translation(config.task, config.model)
        return cls(
            model=models.build(config.model.name, scheme.num_points, config.model.options, jnp.dtype(config.dtype)),
            task=task,
            network=feature_networks.load_features(task.features, grey_levels=task.loss == "published"),
            scheme=scheme,
            config=config,
            total_steps=steps_per_epoch * config.epochs,
        )

    def init(self, key: jax.Array, crops: Crops | None) -> Tree:
        """Variables drawn by `key`, scaled so that every layer is normalised over `crops`, best 16 faces.

        Raises:
          ValueError: There are no faces, or too few.
        """
        if crops is None:
            raise ValueError("a translator starts from the statistics of real faces, and was given none")
        streams = dict(zip(("params", "latent", "dropout"), jax.random.split(key, 3), strict=True))
        params = self.model.init(streams, crops.images, self._structures(crops.points), train=True)["params"]
        published = self.task.loss == "published"
        scales_of = translation_losses.published_scales if published else translation_losses.layer_scales
        scales = scales_of(self.network, crops.images)
        return {"params": params, "batch_stats": translation_losses.pack_perception(self.network, scales)}

    def loss(
        self, params: Tree, batch_stats: Tree, crops: Crops, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]:
        """The mean of `translation_loss`; values: it, those that it gives, `l1`, `reconstruction` and `beta`."""
        latent, dropout = jax.random.split(key)
        structures, rngs = self._structures(crops.points), {"latent": latent, "dropout": dropout}
        applied = self.model.apply({"params": params}, crops.images, structures, train=True, rngs=rngs)
        outputs = cast(VUNetOutputs, applied)
        beta = self.task.kl_weight(self.total_steps)(step)
        network, scales = translation_losses.unpack_perception(self.network, batch_stats)
        losses, values = translation_losses.translation_loss(
            outputs, crops.images, network, scales, beta, self.task.gram_weight, summed=self.task.loss == "published"
        )
        loss, l1 = jnp.mean(losses), jnp.mean(translation_losses.l1(outputs.images, crops.images))
        values |= {"loss": loss, "l1": l1, "reconstruction": values["perceptual"] + l1, "beta": jnp.asarray(beta)}
        return loss, (values, batch_stats)

    def validator(self, margin: float, mesh: Mesh) -> Validate:
        """See `jaxlm.styles.validation.validator`."""
        return validation.validator(self.model, self.config, self.network, margin, mesh)

    def _structures(self, points: jax.Array) -> jax.Array:
        return self.task.structures(points, self.scheme, self.config.model.input_size)
