"""What SepBN learnt: its affine sets, and its attention for some faces. drawing/attention_maps.py draws them."""

from __future__ import annotations

import functools
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm.checkpoints import Trained, is_weights, open_model, results_folder
from jaxlm.checkpoints.identity import model_identity
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation.folders import free_folder
from jaxlm.evaluation.judged_faces import open_for
from jaxlm.files import write_json
from jaxlm.images import cropping

_FILE = "attention.json"


class SepBNLayer(NamedTuple):
    """What one SepBN layer learnt and how it treats some faces.

    Attributes:
      scale: The K affine sets' scales [K, C].
      bias: Their shifts [K, C].
      attention: The weight of each set for each face and channel group [B, G, K].
    """

    scale: np.ndarray
    bias: np.ndarray
    attention: np.ndarray


class NoAttentionError(ValueError):
    """A model has no SepBN layer."""


def sepbn_layers(model: nn.Module, variables: Mapping[str, Any], images: jax.Array) -> dict[str, SepBNLayer]:
    """The SepBN layers of `model` by their paths, from the first to the last, for normalised images [B, S, S, 3].

    The layers run in evaluation mode, at temperature 1.

    Raises:
      NoAttentionError: The model has no SepBN layer.
    """

    @jax.jit
    def sown(variables: Mapping[str, Any], images: jax.Array) -> Mapping[str, Any]:
        return model.apply(variables, images, train=False, mutable=["intermediates"])[1]

    intermediates = flax.traverse_util.flatten_dict(sown(variables, images).get("intermediates", {}))
    params = flax.traverse_util.flatten_dict(variables["params"])
    layers = {
        "/".join(path): SepBNLayer(*map(np.asarray, (params[*path, "scale"], params[*path, "bias"], weights[0])))
        for (*path, name), weights in intermediates.items()
        if name == "attention"
    }
    if not layers:
        raise NoAttentionError("the model has no SepBN layer; train one, for example with --experiment sepbn_wflw")
    return {path: layers[path] for path in sorted(layers, key=_natural_order)}


def attention_of_faces(trained: Trained, faces: Faces, count: int) -> tuple[np.ndarray, dict[str, SepBNLayer]]:
    """The crops uint8 [count, S, S, 3] of `count` of the faces, evenly spread, and their `sepbn_layers`.

    Raises:
      NoAttentionError: The model has no SepBN layer.
    """
    chosen = np.unique(np.linspace(0, len(faces) - 1, count).round().astype(int))
    size, crop = trained.config.model.input_size, trained.config.data.crop
    cut = jax.jit(functools.partial(cropping.plain_images, size=size, margin=faces.margin, crop=crop))
    crops = cut(jnp.asarray(faces.images(chosen)))
    layers = sepbn_layers(trained.model, trained.variables, cropping.normalise(crops))
    return np.asarray(crops).round().astype(np.uint8), layers


def draw_and_write(
    path: pathlib.Path,
    count: int,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    step: int | None = None,
    head: str | None = None,
) -> None:
    """Writes sepbn_parameters.png, sepbn_attention.png and attention.json, which says what they are of.

    They go to `attention/` in the workdir, or in runs/NAME for weights NAME.npz. Where pictures of other weights or
    faces lie there, a number follows. For `path`, `step` and `head` see `checkpoints.open_model`, for the faces
    `judged_faces.open_evaluation`.

    Raises:
      NoAttentionError: The model has no SepBN layer.
      FileNotFoundError, CheckpointError: There is no such file or run, or the set is not prepared.
      ValueError: There is no such head or split.
    """
    trained = open_model(path, step=step, head=head)
    faces, _, identity, notes = open_for(trained, dataset, split, data_dir)
    crops, layers = attention_of_faces(trained, faces, count)
    from jaxlm.drawing import attention_maps  # Not at the top: matplotlib is slow to start.

    protocol = {
        "run": str(path) if is_weights(path) else f"{path}, step {trained.step}",
        "data": f"{faces.dataset}, {faces.split}: {len(crops)} of {len(faces)} faces",
        **notes,
    }
    about = {"protocol": protocol, "faces": identity, "model": model_identity(trained)}
    folder = free_folder(results_folder(path), "attention", about, _FILE)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _FILE, about)
    files = [folder / "sepbn_parameters.png", folder / "sepbn_attention.png"]
    attention_maps.affine_sets_plot(files[0], {name: (layer.scale, layer.bias) for name, layer in layers.items()})
    attention_maps.attention_plot(files[1], crops, {name: layer.attention for name, layer in layers.items()})
    for about_what, line in protocol.items():
        print(f"{about_what + ':':12s}{line}")
    print(f"Wrote {files[0]}\n      {files[1]}\n      {folder / _FILE}")


def _natural_order(path: str) -> list[int | str]:
    """A key that puts block2 before block10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)]
