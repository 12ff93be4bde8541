"""The objective of translators: faces rendered again from their own structure and style, judged on held-out ones."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxlm import models, tasks
from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines.input import Faces
from jaxlm.images import cropping
from jaxlm.landmarks import Scheme, load_scheme
from jaxlm.models.vunet import VUNet
from jaxlm.runtime import distributed
from jaxlm.runtime.progress import Measure
from jaxlm.styles import feature_networks, translation_losses, translator_report
from jaxlm.styles.feature_networks import FeatureNetwork
from jaxlm.styles.translation_losses import LayerTerms
from jaxlm.tasks.translation import TranslationTask

if TYPE_CHECKING:
    from jaxlm.training.objectives.base import Crops

Tree = Any

# Faces at a time in validation; rounded up to a multiple of the devices.
_BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class TranslationObjective:
    """Translators: perceptual loss and KL divergence, judged by `reconstruction`, perceptual + L1.

    What the perceptual loss compares by is kept in `batch_stats`, where no gradient reaches it: the weights of the
    feature network, `features`, and the scales of its terms, `scales`, taken from the faces that the model starts from.
    """

    measure: ClassVar[Measure] = Measure("reconstruction", "reconstruction", 1.0)

    model: VUNet
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
            network=feature_networks.load_features(task.features),
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
        scales = translation_losses.layer_scales(self.network, crops.images)
        features = flax.serialization.to_state_dict(self.network)
        return {"params": params, "batch_stats": {"features": features, "scales": scales._asdict()}}

    def loss(
        self, params: Tree, batch_stats: Tree, crops: Crops, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]:
        """The mean of `translation_losses.translation_loss`; the values are its own, `l1`, `reconstruction`, `beta`."""
        latent, dropout = jax.random.split(key)
        outputs = self.model.apply(
            {"params": params},
            crops.images,
            self._structures(crops.points),
            train=True,
            rngs={"latent": latent, "dropout": dropout},
        )
        beta = self.task.kl_weight(self.total_steps)(step)
        losses, values = translation_losses.translation_loss(
            outputs, crops.images, *self._perception(batch_stats), beta, self.task.gram_weight
        )
        loss, l1 = jnp.mean(losses), jnp.mean(translation_losses.l1(outputs.images, crops.images))
        values |= {"loss": loss, "l1": l1, "reconstruction": values["perceptual"] + l1, "beta": jnp.asarray(beta)}
        return loss, (values, batch_stats)

    def validator(self, margin: float, mesh: Mesh) -> Callable[[Tree, Faces], dict[str, float]]:
        """Reconstruction from mean styles: means over all faces, and the share of active latent dimensions."""
        split, devices = distributed.split_batch(mesh), jax.device_count()
        batch_size = -(-_BATCH_SIZE // devices) * devices
        step = jax.jit(functools.partial(self._sums, margin=margin), out_shardings=distributed.replicated(mesh))

        def validate(variables: Tree, faces: Faces) -> dict[str, float]:
            sums = []
            for batch in input_lib.eval_batches(faces, batch_size, jax.process_index(), jax.process_count()):
                arrays = {name: batch[name] for name in ("image", "points", "mask")}
                sums.append(jax.device_get(step(variables, distributed.to_devices(arrays, split))))
            means = jax.tree.map(lambda *parts: np.sum(parts, axis=0, dtype=np.float64) / len(faces), *sums)
            figures = {name: float(value) for name, value in means["figures"].items()}
            for name, (mean, square) in means["latents"].items():
                figures[f"active_{name}"] = float(np.mean(square - mean**2 > translation_losses.ACTIVE_VARIANCE))
            return figures | {"reconstruction": figures["perceptual"] + figures["l1"]}

        return validate

    @staticmethod
    def report(config: Config, workdir: pathlib.Path) -> None:
        """`translation_report.report` of the held-out faces."""
        if not config.data.validation_percent:
            print(f"No faces were held out to judge by. The checkpoints are in {workdir}")
            return
        objective = TranslationObjective.of(config, steps_per_epoch=1)
        translator_report.report(workdir, objective.validator)

    def _sums(self, variables: Tree, batch: Mapping[str, jax.Array], margin: float) -> Tree:
        """Sums over the real faces of a batch: of each figure, and of latent means and their squares [h, w, C]."""
        size, crop = self.config.model.input_size, self.config.data.crop
        crops, points = cropping.centre_crop(batch["image"], batch["points"], size, margin, crop)
        images = cropping.normalise(crops)
        outputs = self.model.apply({"params": variables["params"]}, images, self._structures(points), train=False)
        network, scales = self._perception(variables["batch_stats"])
        figures = {
            "perceptual": translation_losses.perceptual(outputs.images, images, network, scales, self.task.gram_weight),
            "l1": translation_losses.l1(outputs.images, images),
        }
        divergences = translation_losses.kl_divergences(outputs.posterior, outputs.prior)
        latents = {f"{means.shape[1]}px": means for means in outputs.posterior}
        figures |= {f"kl_{name}": value for name, value in zip(latents, divergences, strict=True)}
        total = functools.partial(jnp.einsum, "b...,b->...", precision="highest")
        weight = batch["mask"].astype(jnp.float32)
        return {
            "figures": {name: total(value, weight) for name, value in figures.items()},
            "latents": {name: (total(means, weight), total(means**2, weight)) for name, means in latents.items()},
        }

    def _structures(self, points: jax.Array) -> jax.Array:
        return self.task.structures(points, self.scheme, self.config.model.input_size)

    def _perception(self, batch_stats: Tree) -> tuple[FeatureNetwork, LayerTerms]:
        """The feature network with its weights of the state, and the scales of its terms."""
        network = flax.serialization.from_state_dict(self.network, batch_stats["features"])
        return network, LayerTerms(**batch_stats["scales"])
