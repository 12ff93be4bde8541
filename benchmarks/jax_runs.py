"""Our side of `benchmarks.models`: functions that run a case once and return when it is done."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from benchmarks import cases
from benchmarks.cases import Case
from jaxlm import models
from jaxlm.models import dpr
from jaxlm.runtime import allocation

Run = Callable[[], object]


def build(case: Case, dtype: str) -> Run:
    """A compiled case on fixed inputs, memory kept as in training; a step goes on from the last one's weights."""
    allocation.keep_memory()
    if case.network.model == "dpr_gsr":
        return _photo_to_points(case, dtype)
    return _step(case, dtype) if case.what == "step" else _forward(case, dtype)


def matrix_product(dtype: str, size: int) -> Run:
    """A product of two matrices of `size` rows and columns, for the rate that a device can reach."""
    x = jnp.ones((size, size), dtype)
    product = jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(product(x, x))


def _forward(case: Case, dtype: str) -> Run:
    model, variables, images = _prepare(case, dtype)
    apply = jax.jit(functools.partial(model.apply, train=False))
    return lambda: jax.block_until_ready(apply(variables, images))


def _step(case: Case, dtype: str) -> Run:
    """Mean squared outputs, their gradient, and SGD with momentum."""
    model, variables, images = _prepare(case, dtype)
    optimiser = optax.sgd(1e-4, momentum=0.9)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: tuple[dict, optax.OptState], images: jax.Array) -> tuple[dict, optax.OptState]:
        variables, opt_state = state

        def loss(params: dict) -> tuple[jax.Array, dict]:
            outputs, mutated = model.apply(variables | {"params": params}, images, train=True, mutable=["batch_stats"])
            return jnp.square(outputs).mean(), mutated

        gradient, mutated = jax.grad(loss, has_aux=True)(variables["params"])
        updates, opt_state = optimiser.update(gradient, opt_state)
        return {"params": optax.apply_updates(variables["params"], updates), **mutated}, opt_state

    state = variables, optimiser.init(variables["params"])

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(step(state, images))

    return run


def _photo_to_points(case: Case, dtype: str) -> Run:
    model, variables, _ = _prepare(case, dtype)
    photos, boxes = map(jax.device_put, cases.photos_and_boxes(case))
    return lambda: jax.block_until_ready(dpr.locate_in_photos(model, variables, photos, boxes))


def _prepare(case: Case, dtype: str) -> tuple[object, dict, jax.Array]:
    network = case.network
    model = models.build(network.model, network.num_points, network.options, dtype)
    images = jax.device_put(cases.images(case))
    variables = jax.jit(lambda key: model.init(key, images[:1], train=False))(jax.random.key(0))
    return model, variables, images
