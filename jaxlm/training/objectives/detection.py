"""The objective of detectors: landmarks, judged by their NME on held-out faces."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxlm import models, tasks
from jaxlm.config import Config
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import inference, judging
from jaxlm.landmarks import Head, Scheme, heads_of, load_scheme
from jaxlm.runtime.progress import Measure
from jaxlm.tasks import metrics
from jaxlm.training import optim

if TYPE_CHECKING:
    from jaxlm.training.objectives.base import Crops

Tree = Any


@dataclasses.dataclass(frozen=True)
class DetectionObjective:
    """Landmarks: the task's loss, judged by the NME of the first head."""

    measure: ClassVar[Measure] = Measure("nme", "NME (%)", 100.0)

    model: nn.Module
    task: tasks.Task
    scheme: Scheme
    config: Config
    steps_per_epoch: int

    @classmethod
    def of(cls, config: Config, steps_per_epoch: int) -> DetectionObjective:
        """The objective of an experiment whose model is a detector."""
        scheme = load_scheme(config.data.scheme)
        model = models.build(config.model.name, scheme.num_points, config.model.options, jnp.dtype(config.dtype))
        return cls(model, tasks.build(config.task, config.model), scheme, config, steps_per_epoch)

    @property
    def heads(self) -> tuple[Head, ...]:
        """Of the data sets that the model learns, whose points are side by side."""
        return heads_of(self.config.data.dataset, self.config.data.scheme)

    def init(self, key: jax.Array, crops: Crops | None) -> Tree:
        """Variables drawn by `key`; detectors need no faces."""
        del crops
        size = self.config.model.input_size
        return self.model.init(key, jnp.zeros((1, size, size, 3)), train=False)

    def loss(
        self, params: Tree, batch_stats: Tree, crops: Crops, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]:
        """The task's loss, and values: it, the NME (a fraction), the share of degenerate maps where there are any."""
        del key
        outputs, batch_stats = self._outputs(params, batch_stats, crops, step)
        loss, values = self._figures(outputs, crops)
        return loss, (values, batch_stats)

    def _outputs(self, params: Tree, batch_stats: Tree, crops: Crops, step: jax.Array) -> tuple[Any, Tree]:
        """Raw outputs, and the batch statistics after them."""
        temperature = optim.temperature(self.config.temperature, step, self.steps_per_epoch)
        outputs, mutated = self.model.apply(
            {"params": params, "batch_stats": batch_stats},
            crops.images,
            train=True,
            temperature=temperature,
            mutable=["batch_stats"],
        )
        return outputs, mutated.get("batch_stats", {})

    def _figures(self, outputs: Any, crops: Crops) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss of raw outputs, and the values to log."""
        loss = jnp.mean(self.task.loss(outputs, crops.points, crops.visible))
        values = {"loss": loss, "nme": jnp.mean(self._face_nme(self.task.points(outputs), crops.points))}
        degenerate = self.task.degenerate(outputs)
        if degenerate is not None:
            values["degenerate"] = jnp.mean(degenerate, dtype=jnp.float32)
        return loss, values

    def validator(self, margin: float, mesh: Mesh) -> Callable[[Tree, Faces], dict[str, float]]:
        """The mean NME over all faces, which are those of the first head."""
        head = self.heads[0]
        reader, scheme = tasks.OneHead(self.task, head), load_scheme(head.scheme)
        predictor = inference.Predictor(self.model, reader, self.config, margin, mesh)

        def validate(variables: Tree, faces: Faces) -> dict[str, float]:
            predicted = predictor(variables, faces).points
            return {"nme": float(np.mean(inference.face_errors(predicted, faces, scheme)))}

        return validate

    def _face_nme(self, predicted: jax.Array, truth: jax.Array) -> jax.Array:
        """NME [B] of points [B, N, 2], of each face in its own head and by that head's normaliser."""
        nme = jnp.full(len(truth), jnp.nan)
        for head in self.heads:
            ours, scheme = truth[:, head.points], load_scheme(head.scheme)
            distance = metrics.normaliser_distance(ours, scheme, metrics.default_normaliser(scheme))
            of_head = metrics.face_nme(predicted[:, head.points], ours, distance)
            nme = jnp.where(jnp.isfinite(ours).any(axis=(1, 2)), of_head, nme)
        return nme

    @staticmethod
    def report(config: Config, workdir: pathlib.Path) -> None:
        """`judging.evaluate_and_write` of the held-out faces."""
        if config.data.validation_percent:
            judging.evaluate_and_write(workdir, split=judging.VALIDATION)
        else:
            print(f"No faces were held out. Evaluate on a test split: python -m jaxlm.evaluate --workdir {workdir}")
