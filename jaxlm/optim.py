"""From an experiment's settings to an optax optimiser and its schedules; epochs become steps here."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from jaxlm.config import OptimConfig

# Where warm-up starts and the cosine ends, as in the published SepBN recipe.
FLOOR = 1e-10


def cosine_decay(peak: float, warmup_steps: int, total_steps: int) -> optax.Schedule:
    """Linear warm-up from `FLOOR` to `peak`, then a half cosine back to `FLOOR` at `total_steps`.

    With i the step, W the warm-up and T the total: `FLOOR + (peak - FLOOR) i / W` up to W, then
    `FLOOR + (peak - FLOOR) (1 + cos(pi (i - W) / (T - W))) / 2`.
    """

    def schedule(step: jax.Array) -> jax.Array:
        rising = step / max(warmup_steps, 1)
        # (1 + cos(pi x)) / 2 as a squared sine of the steps left, which stays exact near the end.
        left = (total_steps - step) / max(total_steps - warmup_steps, 1)
        falling = jnp.sin(0.5 * jnp.pi * left) ** 2
        return FLOOR + (peak - FLOOR) * jnp.where(step < warmup_steps, rising, falling)

    return schedule


def step_decay(peak: float, warmup_steps: int, decay: Sequence[tuple[int, float]]) -> optax.Schedule:
    """Linear warm-up from 0 to `peak`; from each step in `decay` on, the rate is multiplied by that step's factor."""

    def schedule(step: jax.Array) -> jax.Array:
        rate = peak * (jnp.minimum(1.0, step / warmup_steps) if warmup_steps else jnp.ones(()))
        for boundary, factor in decay:
            rate = rate * jnp.where(step >= boundary, factor, 1.0)
        return rate

    return schedule


def temperature(start: float, step: jax.Array, steps_per_epoch: int) -> jax.Array:
    """Softmax temperature of attention layers: `start` in the first epoch, one less in each, never below 1."""
    return jnp.maximum(1.0, start - (step // steps_per_epoch).astype(jnp.float32))


def optimiser(
    config: OptimConfig, steps_per_epoch: int, epochs: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The gradient transformation of an experiment, and the learning rate by step that it follows.

    Weight decay acts on all parameters. For SGD it is added to the gradient before the momentum, as PyTorch does; for
    AdamW it is decoupled.
    """
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if config.decay:
        decay = [(round(epoch * steps_per_epoch), factor) for epoch, factor in config.decay]
        schedule = step_decay(config.learning_rate, warmup_steps, decay)
    else:
        schedule = cosine_decay(config.learning_rate, warmup_steps, epochs * steps_per_epoch)
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    if config.name == "sgd":
        update = optax.chain(optax.add_decayed_weights(config.weight_decay), optax.sgd(schedule, momentum=0.9))
    else:
        update = optax.adamw(schedule, weight_decay=config.weight_decay)
    return optax.chain(clip, update), schedule
