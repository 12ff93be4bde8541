"""Optimisers and schedules of optax, made from an experiment's settings; epochs become steps here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

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


def linear_decay(peak: float, warmup_steps: int, total_steps: int) -> optax.Schedule:
    """The schedule of AVS (ICCV 2019): `peak` for a fiftieth of the training, then linear to 0 at `total_steps`.

    The published schedule has a `peak` of 1e-3 for 1,000 of 50,000 steps, and no warm-up. With a warm-up the rate is
    multiplied by min(1, i / `warmup_steps`) in step i.
    """
    constant = total_steps // 50
    decay = optax.linear_schedule(peak, 0.0, total_steps - constant, transition_begin=constant)

    def schedule(step: jax.Array) -> jax.Array:
        return decay(step) * (jnp.minimum(1.0, step / warmup_steps) if warmup_steps else 1.0)

    return schedule


def temperature(start: float, step: jax.Array, steps_per_epoch: int) -> jax.Array:
    """Softmax temperature of attention layers: `start` in the first epoch, one less in each, never below 1."""
    return jnp.maximum(1.0, start - (step // steps_per_epoch).astype(jnp.float32))


def scale_parts(rates: Sequence[tuple[str, float]]) -> optax.GradientTransformation:
    """Multiplies the updates of parts of the parameters by constants.

    Args:
      rates: Pairs (path, factor); `head` and `head/fc1` are paths. Factors of nested paths multiply.

    Raises:
      ValueError: A path leads to no parameter; raised where the state is made.
    """

    def init(params: optax.Params) -> optax.EmptyState:
        names = [_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        for part, _ in rates:
            if not any(_within(name, part) for name in names):
                known = ", ".join(sorted({name.split("/")[0] for name in names}))
                raise ValueError(f"optim.rates names {part!r}, where there are no parameters; there are {known}")
        return optax.EmptyState()

    def update(updates: optax.Updates, state: optax.EmptyState, params: optax.Params | None = None) -> Any:
        del params

        def scale(path: Any, leaf: jax.Array) -> jax.Array:
            return leaf * math.prod(factor for part, factor in rates if _within(_name(path), part))

        return jax.tree_util.tree_map_with_path(scale, updates), state

    return optax.GradientTransformation(init, update)


def without_frozen(params: optax.Params, rates: Sequence[tuple[str, float]]) -> optax.Params:
    """The same parameters; those of a factor of 0 have no gradient, which XLA then does not compute."""
    frozen = [part for part, factor in rates if factor == 0]

    def stop(path: Any, leaf: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(leaf) if any(_within(_name(path), part) for part in frozen) else leaf

    return jax.tree_util.tree_map_with_path(stop, params)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _within(name: str, part: str) -> bool:
    return f"{name}/".startswith(f"{part}/")


def optimiser(
    config: OptimConfig, steps_per_epoch: int, epochs: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The gradient transformation of an experiment, and the learning rate by step that it follows.

    Weight decay acts on all parameters. For SGD it is added to the gradient before the momentum, as PyTorch does; for
    AdamW it is decoupled. Factors of parts apply to the whole update, and frozen parts are left out of the clipping.
    """
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if config.decay:
        decay = [(round(epoch * steps_per_epoch), factor) for epoch, factor in config.decay]
        schedule = step_decay(config.learning_rate, warmup_steps, decay)
    else:
        falling = linear_decay if config.schedule == "linear" else cosine_decay
        schedule = falling(config.learning_rate, warmup_steps, epochs * steps_per_epoch)
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    if config.name == "sgd":
        update = optax.chain(optax.add_decayed_weights(config.weight_decay), optax.sgd(schedule, momentum=0.9))
    else:
        update = optax.adamw(schedule, *config.betas, weight_decay=config.weight_decay)
    if not config.rates:
        return optax.chain(clip, update), schedule
    frozen = scale_parts([rate for rate in config.rates if rate[1] == 0])
    return optax.chain(frozen, clip, update, scale_parts(config.rates)), schedule
