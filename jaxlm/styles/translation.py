"""A trained translator at work: prepared faces -> normalised crops and structure maps -> styles -> rendered photos.

Photos are [B, S, S, 3], normalised, S being the experiment's input size; points (x, y) in pixels of these crops;
structures [B, S, S, C] in 0..1.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlm import checkpoints, models
from jaxlm.checkpoints import Trained
from jaxlm.data_pipelines.input import Faces
from jaxlm.images import cropping
from jaxlm.landmarks import Scheme
from jaxlm.models.vunet import Latents, VUNet
from jaxlm.tasks.translation import TranslationTask

_BATCH = 64


Translator = Trained
"""A trained model that is a translator: `model.apply(variables, images, structures, train=False)` reconstructs.

Its variables are its parameters alone, on this process's first device; see `as_translator`.
"""


def load_translator(workdir: str | os.PathLike[str], step: int | None = None) -> Translator:
    """The translator of a run, from its best step by validation, or from `step`.

    Raises:
      CheckpointError: There is no run, no such step, or no step that can be read.
      ValueError: The run trained something else.
    """
    trained = checkpoints.open_model(workdir, step=step)
    if trained.config.model.name not in models.TRANSLATORS:
        known = ", ".join(models.TRANSLATORS)
        raise ValueError(f"{workdir} holds a {trained.config.model.name}, which is no translator ({known})")
    return as_translator(trained)


def as_translator(trained: Trained) -> Translator:
    """A translator with its parameters alone, on this process's first device."""
    params = jax.tree.map(jnp.asarray, jax.device_get(trained.variables["params"]))
    return dataclasses.replace(trained, variables={"params": params})


def crops_of(faces: Faces, indices: ArrayLike, translator: Translator) -> tuple[jax.Array, jax.Array]:
    """Normalised photos [B, S, S, 3] of the faces at `indices` [B], and their points [B, N, 2].

    The crop is the plain one around the face box, of the run's `data.crop`.

    Raises:
      ValueError: The faces cannot be read in the translator's scheme.
    """
    faces, indices = faces.in_scheme(translator.scheme), np.asarray(indices)
    config = translator.config
    return _plain_crops(
        faces.images(indices), faces.points[indices], config.model.input_size, faces.margin, config.data.crop
    )


def structures_of(points: ArrayLike, translator: Translator) -> jax.Array:
    """Structure maps [B, S, S, C] of points [B, N, 2], drawn as for the translator's training."""
    config = translator.config
    task = TranslationTask(**config.task.options)
    return _structures(jnp.asarray(points), task, translator.scheme, config.model.input_size)


def to_uint8(images: ArrayLike) -> np.ndarray:
    """Normalised photos as uint8 [B, S, S, 3]; what leaves the range is cut off."""
    return np.clip(np.round(np.asarray(images, np.float32) * 128 + 127.5), 0, 255).astype(np.uint8)


def encode(translator: Translator, images: jax.Array, key: jax.Array | None = None) -> Latents:
    """The style of photos: means of both latents, [B, 4, 4, C] and [B, 8, 8, C].

    With a `key` the first latent is drawn where the second depends on it, as published; see `VUNet.encode`.
    """
    if key is None:
        return _apply(translator.model, translator.variables, images, method="encode")
    return _apply(translator.model, translator.variables, images, method=_encode_drawn, rngs={"latent": key})


def decode(translator: Translator, latents: Latents, structures: jax.Array) -> jax.Array:
    """Photos of structures [B, S, S, C], each in its style."""
    return _apply(translator.model, translator.variables, latents, structures, method="decode")


def sample(translator: Translator, structures: jax.Array, key: jax.Array) -> jax.Array:
    """Photos of structures [B, S, S, C] in styles drawn from the prior by `key`."""
    return _apply(translator.model, translator.variables, structures, method="sample", rngs={"latent": key})


def in_batches(function: Callable[..., Any], *arrays: Any) -> Any:
    """Calls `function` with 64 rows at a time of trees of arrays [n, ...], and joins what it gives.

    The last batch is filled up, and the results for these rows are left out. The result is a tree of numpy arrays.
    """
    count = len(jax.tree.leaves(arrays)[0])
    parts = []
    for start in range(0, count, _BATCH):
        rows = np.minimum(np.arange(start, start + _BATCH), count - 1)
        result = function(*jax.tree.map(lambda array, rows=rows: array[rows], arrays))
        parts.append(jax.tree.map(lambda leaf, start=start: np.asarray(leaf)[: count - start], result))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _encode_drawn(model: VUNet, images: jax.Array) -> Latents:
    return model.encode(images, draw=True)


@functools.partial(jax.jit, static_argnames=("model", "method"))
def _apply(
    model: VUNet, variables: dict[str, Any], *inputs: Any, method: str | Callable[..., Any], rngs: Any = None
) -> Any:
    return model.apply(variables, *inputs, method=method, rngs=rngs)


_plain_crops = jax.jit(cropping.plain_crops, static_argnames=("size", "margin", "crop"))


@functools.partial(jax.jit, static_argnames=("task", "scheme", "size"))
def _structures(points: jax.Array, task: TranslationTask, scheme: Scheme, size: int) -> jax.Array:
    return task.structures(points, scheme, size)
