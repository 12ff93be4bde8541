"""The objective of detectors: the task's loss, validated by the NME of held-out faces."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxlm import models, tasks
from jaxlm.config import Config
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import inference
from jaxlm.landmarks import Head, Scheme, heads_of, load_scheme
from jaxlm.runtime.progress import Measure
from jaxlm.tasks import metrics
from jaxlm.training import optim
from jaxlm.training.objectives.base import Crops, Validate

Tree = Any


@dataclasses.dataclass(frozen=True)
class DetectionObjective:
    """The task's loss; validation is the NME of the first head.

    Attributes:
      model: The detector.
      task: What its raw outputs mean.
      scheme: The scheme of its points, those of all heads.
      heads: One for each data set that the model learns; their points are side by side.
      config: The config of the experiment.
      steps_per_epoch: How many steps make an epoch.
    """

    measure: ClassVar[Measure] = Measure("nme", "NME (%)", 100.0)

    model: nn.Module
    task: tasks.Task
    scheme: Scheme
    heads: tuple[Head, ...]
    config: Config
    steps_per_epoch: int

    @classmethod
    def of(cls, config: Config, steps_per_epoch: int) -> DetectionObjective:
        """The objective of an experiment whose model is a detector."""
        scheme = load_scheme(config.data.scheme)
        model = models.build(config.model.name, scheme.num_points, config.model.options, jnp.dtype(config.dtype))
        heads = heads_of(config.data.dataset, config.data.scheme)
        return cls(model, tasks.build(config.task, config.model), scheme, heads, config, steps_per_epoch)

    @property
    def alarms(self) -> tuple[tasks.Alarm, ...]:
        """See `Objective`: those of the task."""
        return self.task.alarms

    def init(self, key: jax.Array, crops: Crops | None) -> Tree:
        """Variables drawn by `key`; detectors need no faces."""
        del crops
        size = self.config.model.input_size
        return self.model.init(key, jnp.zeros((1, size, size, 3)), train=False)

    def loss(
        self, params: Tree, batch_stats: Tree, crops: Crops, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]:
        """The mean of the task's loss; values: it, the NME (a fraction), and `degenerate` where the task has it."""
        del key
        outputs, batch_stats = self._outputs(params, batch_stats, crops, step)
        loss, values = self._loss_and_values(outputs, crops)
        return loss, (values, batch_stats)

    def _outputs(self, params: Tree, batch_stats: Tree, crops: Crops, step: jax.Array) -> tuple[Any, Tree]:
        """Raw outputs in training, and the batch statistics after them."""
        variables: Tree = {"params": params, "batch_stats": batch_stats}
        options: dict[str, Any] = {}
        if models.takes_temperature(self.model):
            options["temperature"] = optim.temperature(self.config.temperature, step, self.steps_per_epoch)
        outputs, mutated = self.model.apply(variables, crops.images, train=True, mutable=["batch_stats"], **options)
        return outputs, mutated.get("batch_stats", {})

    def _loss_and_values(self, outputs: Any, crops: Crops) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss of raw outputs, and the values to log."""
        loss = jnp.mean(self.task.loss(outputs, crops.points, crops.visible))
        values = {"loss": loss, "nme": jnp.nanmean(self._face_nme(self.task.points(outputs), crops.points))}
        degenerate = self.task.degenerate(outputs)
        if degenerate is not None:
            values["degenerate"] = jnp.mean(degenerate, dtype=jnp.float32)
        return loss, values

    def validator(self, margin: float, mesh: Mesh) -> Validate:
        """The mean NME over all faces. They are of the first head's data set."""
        head = self.heads[0]
        reader, scheme = tasks.OneHead(self.task, head), head.scheme
        predictor = inference.Predictor(self.model, reader, self.config, margin, mesh)

        def validate(variables: Tree, faces: Faces) -> dict[str, float]:
            predicted = predictor(variables, faces).points
            return {"nme": float(np.nanmean(inference.face_errors(predicted, faces, scheme)))}

        return validate

    def _face_nme(self, predicted: jax.Array, truth: jax.Array) -> jax.Array:
        """NME [B] of points [B, N, 2], of each face in its own head and by that head's normaliser.

        It is NaN where the normaliser is 0 or its points have no place.
        """
        nme = jnp.full(len(truth), jnp.nan)
        for head in self.heads:
            ours, scheme = truth[:, head.points], head.scheme
            distance = metrics.normaliser_distance(ours, scheme, metrics.default_normaliser(scheme))
            distance = jnp.where(distance > 0, distance, jnp.nan)
            placed = jnp.isfinite(ours).all(axis=-1)
            of_head = metrics.face_nme(predicted[:, head.points], ours, distance, placed)
            nme = jnp.where(placed.any(axis=1), of_head, nme)
        return nme
