"""One training step, a pure function of an explicit state."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.extend.core import Primitive

from jaxlm.config import Config
from jaxlm.images import augment_faces, normalise, plain_crops
from jaxlm.landmarks import Scheme
from jaxlm.training import objectives, optim
from jaxlm.training.objectives import Crops, Objective

Tree = Any
Batch = Mapping[str, jax.Array]
Metrics = Mapping[str, jax.Array]


@flax.struct.dataclass
class TrainState:
    """All that changes while training. `ema_params` is None unless the experiment averages its weights."""

    step: jax.Array
    params: Tree
    batch_stats: Tree
    opt_state: optax.OptState
    ema_params: Tree | None

    @property
    def eval_params(self) -> Tree:
        return self.params if self.ema_params is None else self.ema_params


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that does not change while training: what `train_step` does to a state and a batch.

    Attributes:
      config: The config of the experiment.
      objective: What is minimised.
      optimiser: From gradients to updates.
      learning_rate: The learning rate by step, which the optimiser follows.
      steps_per_epoch: How many steps make an epoch.
      margin: Side of the frames in face boxes.
    """

    config: Config
    objective: Objective
    optimiser: optax.GradientTransformation
    learning_rate: optax.Schedule
    steps_per_epoch: int
    margin: float

    @property
    def scheme(self) -> Scheme:
        """The scheme of the points."""
        return self.objective.scheme

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.config.epochs

    @property
    def plan(self) -> str:
        """How long it takes, and of what each step is, in words."""
        batch, size = self.config.data.batch_size, self.config.model.input_size
        return f"{self.config.epochs} epochs of {self.steps_per_epoch} steps, batches of {batch}, crops of {size} px"


def make_recipe(config: Config, num_faces: int, margin: float) -> Recipe:
    """The recipe of an experiment for a training set of `num_faces` faces in frames of `margin` face boxes.

    Raises:
      ValueError: There are fewer faces than a batch has, or more steps than can be counted.
    """
    steps_per_epoch = config.steps_per_epoch or num_faces // config.data.batch_size
    if num_faces < config.data.batch_size:
        raise ValueError(
            f"a batch of {config.data.batch_size} faces is more than the {num_faces} there are to train on;"
            " lower --data.batch-size"
        )
    if steps_per_epoch * config.epochs >= 2**31:
        raise ValueError(
            f"epochs = {config.epochs} of {steps_per_epoch} steps are more steps than can be counted, {2**31 - 1}"
        )
    optimiser, learning_rate = optim.optimiser(config.optim, steps_per_epoch, config.epochs)
    return Recipe(
        config=config,
        objective=objectives.kind(config).of(config, steps_per_epoch),
        optimiser=optimiser,
        learning_rate=learning_rate,
        steps_per_epoch=steps_per_epoch,
        margin=margin,
    )


def init_state(recipe: Recipe, faces: Batch | None = None) -> TrainState:
    """The state before the first step, a pure function of the config's seed and of some `faces`.

    Faces are those of a batch of `train_step`. Translators start from their statistics; detectors need none.
    """
    crops = None if faces is None else _plain_crops(faces, recipe)
    variables = recipe.objective.init(jax.random.key(recipe.config.seed), crops)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=recipe.optimiser.init(params),
        ema_params=jax.tree.map(jnp.copy, params) if recipe.config.optim.ema_decay else None,
    )


def train_step(state: TrainState, batch: Batch, recipe: Recipe) -> tuple[TrainState, Metrics]:
    """One step of gradient descent.

    `batch` holds image [B, F, F, 3] uint8 frames, points [B, N, 2] in frame pixels and visible [B, N]. The metrics are
    scalars: loss, the objective's own values (of the augmented faces), gradient norm and learning rate.
    """
    config = recipe.config
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    images, points, visible = augment_faces(
        key,
        batch["image"],
        batch["points"],
        batch["visible"],
        config.augment,
        jnp.asarray(recipe.scheme.flip),
        size=config.model.input_size,
        margin=recipe.margin,
        crop=config.data.crop,
    )
    # Augmentation draws from the first two children of the key.
    key = jax.random.fold_in(key, 2)

    def loss(params: Tree, batch_stats: Tree, crops: Crops, key: jax.Array) -> Any:
        params = optim.without_frozen(params, config.optim.rates)
        return recipe.objective.loss(params, batch_stats, crops, key, step=state.step)

    if config.optim.remat:
        loss = jax.checkpoint(loss, policy=is_product)
    crops = Crops(normalise(images), points, visible)
    grads, values, batch_stats = _accumulated_gradients(loss, state, crops, key, config.optim.accumulate)
    updates, opt_state = recipe.optimiser.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema_params = state.ema_params
    if ema_params is not None and config.optim.ema_decay is not None:
        # A young average forgets faster, so that it does not drag the initial weights along.
        decay = jnp.minimum(config.optim.ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema_params = optax.incremental_update(params, ema_params, 1.0 - decay)
    values |= {"gradient_norm": optax.global_norm(grads), "learning_rate": recipe.learning_rate(state.step)}
    return TrainState(state.step + 1, params, batch_stats, opt_state, ema_params), values


def is_product(operation: Primitive, *_: Any, **__: Any) -> bool:
    """Whether the gradient keeps an operation's result: products are slow to compute again, all else is fast."""
    return operation.name in ("conv_general_dilated", "dot_general", "custom_vjp_call")


def _plain_crops(faces: Batch, recipe: Recipe) -> Crops:
    """Faces without augmentation, as models see them."""
    size, crop = recipe.config.model.input_size, recipe.config.data.crop
    crops, points = plain_crops(faces["image"], faces["points"], size, recipe.margin, crop)
    return Crops(crops, points, faces["visible"])


def _accumulated_gradients(
    loss: Callable[..., Any], state: TrainState, crops: Crops, key: jax.Array, parts: int
) -> tuple[Tree, dict[str, jax.Array], Tree]:
    """Gradients and values of the loss, means over `parts` parts of a batch in turn, and the last batch statistics."""
    grad = jax.grad(loss, has_aux=True)
    if parts == 1:
        grads, (values, batch_stats) = grad(state.params, state.batch_stats, crops, key)
        return grads, values, batch_stats

    def add_part(carry: tuple[Tree, Tree], part: tuple[Crops, jax.Array]) -> tuple[tuple[Tree, Tree], Metrics]:
        sums, batch_stats = carry
        grads, (values, batch_stats) = grad(state.params, batch_stats, *part)
        return (jax.tree.map(jnp.add, sums, grads), batch_stats), values

    # Parts take every `parts`-th face, so that each is spread over the devices as the batch is.
    split = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 1, 0), crops)
    zeros = jax.tree.map(jnp.zeros_like, state.params)
    carry, rows = (zeros, state.batch_stats), (split, jax.random.split(key, parts))
    # Unrolled on a CPU, where XLA runs convolutions inside loops on one thread.
    (sums, batch_stats), values = lax.scan(add_part, carry, rows, unroll=jax.default_backend() == "cpu")
    return jax.tree.map(lambda total: total / parts, sums), jax.tree.map(jnp.mean, values), batch_stats


def to_items(state: TrainState) -> tuple[Tree, Tree]:
    """A state as two trees: what evaluation needs, and the rest, which only resuming needs; they share no array."""
    model = {"params": state.eval_params, "batch_stats": state.batch_stats}
    rest = {"step": state.step, "opt_state": state.opt_state}
    if state.ema_params is not None:
        rest["params"] = state.params
    return model, rest


def from_items(model: Tree, rest: Tree) -> TrainState:
    """The state that `to_items` took apart."""
    averaged = "params" in rest
    return TrainState(
        step=rest["step"],
        params=rest["params"] if averaged else model["params"],
        batch_stats=model["batch_stats"],
        opt_state=rest["opt_state"],
        ema_params=model["params"] if averaged else None,
    )
