"""What training asks of an objective: `init` and `loss`, both pure, and a validator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import flax.linen as nn
import jax
from jax.sharding import Mesh

from jaxlm.config import Config
from jaxlm.data_pipelines.input import Faces
from jaxlm.landmarks import Scheme
from jaxlm.runtime.progress import Measure
from jaxlm.tasks import Alarm

Tree = Any

# (variables, faces) -> metrics over all the faces; the objective's measure is one of them.
Validate = Callable[[Tree, Faces], dict[str, float]]


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
    """What a run minimises. `loss` and `init` are pure and are traced; variables are `params` and `batch_stats`.

    Attributes:
      measure: The metric that says how good a model is; lower is better. `validator` and `loss` both give it.
    """

    measure: ClassVar[Measure]

    @property
    def model(self) -> nn.Module:
        """The model that is trained."""

    @property
    def scheme(self) -> Scheme:
        """The scheme of the points, those of all heads."""

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Values of `loss` that stop the run where they are not 0."""

    @classmethod
    def of(cls, config: Config, steps_per_epoch: int) -> Objective:
        """The objective of an experiment."""

    def init(self, key: jax.Array, crops: Crops | None) -> Tree:
        """Variables to start from. Models whose layers start from data need some real faces."""

    def loss(
        self, params: Tree, batch_stats: Tree, crops: Crops, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]:
        """The mean loss of a batch, and a pair: values to log, scalars, `loss` among them; the new batch statistics."""

    def validator(self, margin: float, mesh: Mesh) -> Validate:
        """A function that judges variables by faces in frames of `margin` face boxes, on all devices."""
