"""The objective of LAB (Wu et al., CVPR 2018) with its adversary, which judges how effective boundary maps are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxlm.landmarks import Scheme
from jaxlm.training.objectives.detection import DetectionObjective

if TYPE_CHECKING:
    from jaxlm.training.objectives.base import Crops

Tree = Any

# INFERRED: the paper's values are unknown; these are of a later build, in pixels of a crop of 256.
_EFFECTIVE_SHARE = 0.8
_NEAR = 1.5 / 256

# Keeps the logarithm of what the estimator minimises finite.
_TINY = 1e-6


@dataclasses.dataclass(frozen=True)
class BoundaryObjective(DetectionObjective):
    """Landmarks, boundary maps, and the game between the estimator of the maps and a discriminator.

    For each boundary map the discriminator says a probability D, which should be 1 of true maps M and `effective` of
    estimated maps G: -mean log D(M) - mean log(1 - |D(G) - effective|). The estimator gains where it is high:
    `task.adversarial` times mean log(1 - D(G)) is added to the loss of the task. A gradient of the one reaches only
    the discriminator, of the other only the estimator, so that one step trains both; the discriminator's parameters are
    `discriminator` beside the others, for `optim.rates`. The authors train without it first.
    """

    def init(self, key: jax.Array, crops: Crops | None) -> Tree:
        """Variables of the model and of the discriminator, drawn by `key`."""
        variables = super().init(key, crops)
        side, boundaries = self.config.model.input_size // 4, len(self.scheme.boundaries)
        maps = jnp.zeros((1, side, side, boundaries))
        judge = self.model.init(jax.random.fold_in(key, 1), maps, train=False, method="judge")
        return {collection: {**tree, **judge[collection]} for collection, tree in variables.items()}

    def loss(
        self, params: Tree, batch_stats: Tree, crops: Crops, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Tree]]:
        """The loss of the task, of the estimator's game and of the discriminator, and values: it and their figures."""
        del key
        outputs, batch_stats = self._outputs(params, batch_stats, crops, step)
        loss, values = self._figures(outputs, crops)
        estimated, frozen = outputs.maps[-1], lax.stop_gradient(params)
        effective = is_effective(
            self.task.points(outputs), crops.points, self.scheme, _NEAR * self.config.model.input_size
        )
        real, batch_stats = self._judge(params, batch_stats, self.task.maps(crops.points))
        fake, batch_stats = self._judge(params, batch_stats, lax.stop_gradient(estimated))
        judged, _ = self._judge(frozen, batch_stats, estimated)
        discriminator = discriminator_loss(real, fake, effective)
        adversarial = adversarial_loss(judged)
        loss += self.task.adversarial * adversarial + discriminator
        values |= {
            "loss": loss,
            "discriminator": discriminator,
            "adversarial": adversarial,
            "effective": jnp.mean(effective),
        }
        return loss, (values, batch_stats)

    def _judge(self, params: Tree, batch_stats: Tree, maps: jax.Array) -> tuple[jax.Array, Tree]:
        """Logits [B, K] of boundary maps, and the batch statistics after them."""
        variables = {"params": params, "batch_stats": batch_stats}
        logits, mutated = self.model.apply(variables, maps, train=True, method="judge", mutable=["batch_stats"])
        return logits, mutated["batch_stats"]


def is_effective(predicted: jax.Array, truth: jax.Array, scheme: Scheme, near: float) -> jax.Array:
    """1 for each boundary [B, K] of which at least 0.8 of the landmarks are well predicted, else 0.

    Args:
      predicted: Predicted points [B, N, 2].
      truth: True points [B, N, 2].
      scheme: Whose boundaries.
      near: How far from the truth a landmark may be, in the unit of the points.
    """
    near = jnp.sum((predicted - truth) ** 2, axis=-1) <= near**2
    share = jnp.stack([near[:, list(curve)].mean(axis=1) for curve in scheme.boundaries.values()], axis=1)
    # A share that is the limit passes, whatever rounding does to it.
    return (share > _EFFECTIVE_SHARE - 1e-4).astype(jnp.float32)


def discriminator_loss(real: jax.Array, fake: jax.Array, effective: jax.Array) -> jax.Array:
    """What the discriminator minimises, from its logits [B, K] of true and of estimated maps; see `BoundaryObjective`.

    As `effective` is 0 or 1, it is the binary cross-entropy of true maps with 1 and of the others with `effective`.
    """
    cross_entropy = optax.losses.sigmoid_binary_cross_entropy
    return jnp.mean(cross_entropy(real, jnp.ones_like(real))) + jnp.mean(cross_entropy(fake, effective))


def adversarial_loss(logits: jax.Array) -> jax.Array:
    """What the estimator minimises, mean log(1 - D), from logits [B, K] of its maps."""
    return jnp.mean(jnp.log(jax.nn.sigmoid(-logits) + _TINY))
