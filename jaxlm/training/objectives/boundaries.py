"""The objective of LAB (Wu et al., CVPR 2018) with its adversary, a discriminator of effective boundary maps."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxlm.tasks.boundaries import BoundaryTask
from jaxlm.tasks.boundary_losses import adversarial_loss, discriminator_loss, is_effective
from jaxlm.training.objectives.base import Crops
from jaxlm.training.objectives.detection import DetectionObjective

Tree = Any

# A landmark is well predicted where it is this near to the truth, in sides of the crop. INFERRED: the paper's value is
# unknown; this is 1.5 pixels of 256, as in a later build.
_NEAR = 1.5 / 256


@dataclasses.dataclass(frozen=True)
class BoundaryObjective(DetectionObjective):
    """The task's loss, and the game between the estimator of boundary maps and a discriminator.

    The discriminator gives a probability D for each boundary map. D should be 1 for true maps, and `is_effective` for
    estimated ones; see `discriminator_loss`. The estimator gains where D is high: `task.adversarial` times
    `adversarial_loss` is added to the loss of the task. The gradient of the first reaches only the discriminator, that
    of the second only the estimator, so one step trains both. The discriminator's parameters are `discriminator`
    beside the others, for `optim.rates`. The authors train without it first.
    """

    task: BoundaryTask

    def init(self, key: jax.Array, crops: Crops | None) -> Tree:
        """Variables of the model and of the discriminator, drawn by `key`."""
        variables = super().init(key, crops)
        side, boundaries = self.config.model.input_size // 4, len(self.scheme.boundaries)
        maps = jnp.zeros((1, side, side, boundaries))
        added = self.model.init(jax.random.fold_in(key, 1), maps, train=False, method="discriminate")
        return {collection: {**tree, **added[collection]} for collection, tree in variables.items()}

    def loss(
        self, params: Tree, batch_stats: Tree, crops: Crops, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]:
        """The loss of the task, of the estimator's game and of the discriminator; values: it, and each of its terms."""
        del key
        outputs, batch_stats = self._outputs(params, batch_stats, crops, step)
        loss, values = self._loss_and_values(outputs, crops)
        estimated, frozen = outputs.maps[-1], lax.stop_gradient(params)
        effective = is_effective(
            self.task.points(outputs), crops.points, self.scheme, _NEAR * self.config.model.input_size
        )
        real, batch_stats = self._discriminate(params, batch_stats, self.task.maps(crops.points))
        fake, batch_stats = self._discriminate(params, batch_stats, lax.stop_gradient(estimated))
        logits, _ = self._discriminate(frozen, batch_stats, estimated)
        discriminator = discriminator_loss(real, fake, effective)
        adversarial = adversarial_loss(logits)
        loss += self.task.adversarial * adversarial + discriminator
        values |= {
            "loss": loss,
            "discriminator": discriminator,
            "adversarial": adversarial,
            "effective": jnp.mean(effective),
        }
        return loss, (values, batch_stats)

    def _discriminate(self, params: Tree, batch_stats: Tree, maps: jax.Array) -> tuple[jax.Array, Tree]:
        """Logits [B, K] of boundary maps, and the batch statistics after them."""
        variables = {"params": params, "batch_stats": batch_stats}
        logits, mutated = self.model.apply(variables, maps, train=True, method="discriminate", mutable=["batch_stats"])
        return logits, mutated["batch_stats"]
