"""Objectives: what a run minimises and how it is judged. All that training asks of a model and its task.

`DetectionObjective` is for models that find landmarks, `TranslationObjective` for those that render faces. Objectives
hold what does not change in a run; what does, they are given.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxlm import evaluate, inference, metrics, models, optim, tasks
from jaxlm.config import Config
from jaxlm.landmarks import Scheme, load_scheme
from jaxlm.progress import Measure
from jaxlm.translation_objective import TranslationObjective

if TYPE_CHECKING:
    from data_pipelines.input import Faces

Tree = Any
# (variables, faces) -> figures over all the faces; the objective's measure is one of them.
Validate = Callable[[Tree, "Faces"], dict[str, float]]


class Crops(NamedTuple):
    """Faces as models see them.

    Attributes:
      images: Normalised crops [B, S, S, 3].
      points: [B, N, 2], (x, y) in pixels of the crops; they may lie outside.
      visible: [B, N].
    """

    images: jax.Array
    points: jax.Array
    visible: jax.Array


class Objective(Protocol):
    """What training asks. `loss` and `init` are pure and are traced; variables are `params` and `batch_stats`.

    Attributes:
      measure: The figure that says how good a model is, of `validator` and of the values of `loss`; lower is better.
      model: What is trained.
    """

    measure: ClassVar[Measure]
    model: nn.Module

    @classmethod
    def of(cls, config: Config, steps_per_epoch: int) -> Objective:
        """The objective of an experiment."""

    def init(self, key: jax.Array, crops: Crops | None) -> Tree:
        """Variables to start from; some real faces are needed by models whose layers start from data."""

    def loss(
        self, params: Tree, batch_stats: Tree, crops: Crops, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]:
        """The mean loss of a batch, and (scalars to log, `loss` among them; batch statistics after it)."""

    def validator(self, margin: float, mesh: Mesh) -> Validate:
        """What judges variables by faces in frames of `margin` face boxes, on all devices."""

    @staticmethod
    def report(config: Config, workdir: pathlib.Path) -> None:
        """Judges the best checkpoint of a finished run: prints a table with its protocol, and writes pictures."""


@dataclasses.dataclass(frozen=True)
class DetectionObjective:
    """Landmarks: the task's loss, judged by the NME."""

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
        temperature = optim.temperature(self.config.temperature, step, self.steps_per_epoch)
        outputs, mutated = self.model.apply(
            {"params": params, "batch_stats": batch_stats},
            crops.images,
            train=True,
            temperature=temperature,
            mutable=["batch_stats"],
        )
        loss = jnp.mean(self.task.loss(outputs, crops.points, crops.visible))
        distance = metrics.normaliser_distance(crops.points, self.scheme, metrics.default_normaliser(self.scheme))
        nme = metrics.face_nme(self.task.points(outputs), crops.points, distance)
        values = {"loss": loss, "nme": jnp.mean(nme)}
        degenerate = self.task.degenerate(outputs)
        if degenerate is not None:
            values["degenerate"] = jnp.mean(degenerate, dtype=jnp.float32)
        return loss, (values, mutated.get("batch_stats", {}))

    def validator(self, margin: float, mesh: Mesh) -> Validate:
        """The mean NME over all faces."""
        predictor = inference.Predictor(self.model, self.task, self.config, margin, mesh)

        def validate(variables: Tree, faces: Faces) -> dict[str, float]:
            predicted = predictor(variables, faces).points
            return {"nme": float(np.mean(inference.face_errors(predicted, faces, self.scheme)))}

        return validate

    @staticmethod
    def report(config: Config, workdir: pathlib.Path) -> None:
        """`evaluate.report` of the held-out faces."""
        if config.data.validation_percent:
            evaluate.report(workdir, split=evaluate.VALIDATION)
        else:
            print(f"No faces were held out. Evaluate on a test split: python -m jaxlm.evaluate --workdir {workdir}")


def kind(config: Config) -> type[Objective]:
    """What the model of an experiment is trained for."""
    return TranslationObjective if config.model.name in models.TRANSLATORS else DetectionObjective
