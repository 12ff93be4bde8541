"""A model's points for prepared faces, on every device, and their errors."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxlm import augment, distributed, geometry, metrics, tasks
from jaxlm.config import Config
from jaxlm.landmarks import Scheme

if TYPE_CHECKING:
    from data_pipelines.input import Faces


def predict_step(
    variables: Any, frames: jax.Array, *, model: nn.Module, task: tasks.Task, config: Config, margin: float
) -> jax.Array:
    """Points [B, N, 2] in frame pixels for uint8 frames [B, F, F, 3], from the undistorted crop around the box."""
    size = config.model.input_size
    to_crop = augment.crop_affine(frames.shape[1], size, margin, config.data.crop)
    crops, _ = augment.centre_crop(frames, jnp.zeros((frames.shape[0], 1, 2)), size, margin, config.data.crop)
    points = task.points(model.apply(variables, augment.normalise(crops), train=False))
    to_frame = geometry.invert(np.asarray(to_crop)).astype(np.float32)
    return jnp.einsum("bni,ji->bnj", points, to_frame[:, :2]) + to_frame[None, None, :, 2]


class Predictor:
    """Runs a model over all faces of a split, on every device.

    Args:
      model: Maps normalised crops to raw outputs.
      task: Reads points from them.
      config: Of the experiment.
      margin: Side of the frames in face boxes.
      mesh: The devices.
      batch_size: Faces at a time; rounded up to a multiple of the devices.
    """

    def __init__(
        self,
        model: nn.Module,
        task: tasks.Task,
        config: Config,
        margin: float,
        mesh: Mesh,
        batch_size: int = 64,
    ) -> None:
        self._split = distributed.split_batch(mesh)
        whole = distributed.replicated(mesh)
        devices = jax.device_count()
        self._batch_size = -(-batch_size // devices) * devices
        step = functools.partial(predict_step, model=model, task=task, config=config, margin=margin)
        self._step = jax.jit(
            lambda variables, batch: (step(variables, batch["image"]), batch["index"]), out_shardings=(whole, whole)
        )

    def __call__(self, variables: Any, faces: Faces) -> np.ndarray:
        """Points [len(faces), N, 2] in frame pixels, float32."""
        from data_pipelines import input as input_lib

        predicted = np.full(faces.points.shape, np.nan, np.float32)
        for batch in input_lib.eval_batches(faces, self._batch_size, jax.process_index(), jax.process_count()):
            arrays = distributed.to_devices({name: batch[name] for name in ("image", "index")}, self._split)
            points, index = jax.device_get(self._step(variables, arrays))
            real = index >= 0
            predicted[index[real]] = points[real]
        return predicted


def face_errors(predicted: np.ndarray, faces: Faces, scheme: Scheme, normaliser: str | None = None) -> np.ndarray:
    """NME [len(faces)] of predicted points [n, N, 2] in frame pixels, as fractions."""
    normaliser = normaliser or metrics.default_normaliser(scheme)

    @jax.jit
    def nme(predicted: jax.Array, truth: jax.Array) -> jax.Array:
        # The image normaliser is the side of the face box's central square, the crop that models see.
        distance = metrics.normaliser_distance(truth, scheme, normaliser, image_size=faces.frame_size / faces.margin)
        return metrics.face_nme(predicted, truth, distance)

    return np.asarray(nme(predicted, faces.points))
