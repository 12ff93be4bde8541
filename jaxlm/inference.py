"""A model's points for prepared faces, on every device, and their errors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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


class Predictions(NamedTuple):
    """What a model says of some faces.

    Attributes:
      points: [n, N, 2] in frame pixels.
      confidence: Of each point [n, N], 0 to 1; None where the model's outputs carry none.
    """

    points: Any
    confidence: Any | None


def predict_step(
    variables: Any,
    frames: jax.Array,
    *,
    model: nn.Module,
    task: tasks.Task,
    config: Config,
    margin: float,
    flip: Sequence[int] | None = None,
) -> Predictions:
    """Predictions for uint8 frames [B, F, F, 3], from the undistorted crop around the box.

    With `flip`, the scheme's flip permutation [N], points and confidences are averaged with those of the mirrored crop.
    """
    size = config.model.input_size
    to_crop = augment.crop_affine(frames.shape[1], size, margin, config.data.crop)
    crops, _ = augment.centre_crop(frames, jnp.zeros((frames.shape[0], 1, 2)), size, margin, config.data.crop)
    crops = augment.normalise(crops)
    points, confidence = _predict_crops(variables, crops, model, task)
    if flip is not None:
        mirrored, mirrored_confidence = _predict_crops(variables, crops[:, :, ::-1], model, task)
        order = np.asarray(flip)
        mirrored = mirrored.at[..., 0].set(size - 1 - mirrored[..., 0])
        points = (points + mirrored[:, order]) / 2
        confidence = None if confidence is None else (confidence + mirrored_confidence[:, order]) / 2
    to_frame = geometry.invert(np.asarray(to_crop)).astype(np.float32)
    points = jnp.einsum("bni,ji->bnj", points, to_frame[:, :2], precision="highest") + to_frame[None, None, :, 2]
    return Predictions(points, confidence)


def _predict_crops(variables: Any, crops: jax.Array, model: nn.Module, task: tasks.Task) -> Predictions:
    """Predictions in pixels of the normalised crops [B, S, S, 3]."""
    outputs = model.apply(variables, crops, train=False)
    return Predictions(task.points(outputs), task.confidence(outputs))


class Predictor:
    """Runs a model over all faces of a split, on every device.

    Args:
      model: Maps normalised crops to raw outputs.
      task: Reads points from them.
      config: Of the experiment.
      margin: Side of the frames in face boxes.
      mesh: The devices.
      batch_size: Faces at a time; rounded up to a multiple of the devices.
      flip: The scheme's flip permutation, to average with the mirrored crops; see `predict_step`.
    """

    def __init__(
        self,
        model: nn.Module,
        task: tasks.Task,
        config: Config,
        margin: float,
        mesh: Mesh,
        batch_size: int = 64,
        flip: Sequence[int] | None = None,
    ) -> None:
        self._split = distributed.split_batch(mesh)
        whole = distributed.replicated(mesh)
        devices = jax.device_count()
        self._batch_size = -(-batch_size // devices) * devices
        step = functools.partial(predict_step, model=model, task=task, config=config, margin=margin, flip=flip)
        self._step = jax.jit(
            lambda variables, batch: (step(variables, batch["image"]), batch["index"]), out_shardings=(whole, whole)
        )

    def __call__(self, variables: Any, faces: Faces) -> Predictions:
        """Predictions for all the faces, float32 numpy arrays in frame pixels."""
        from data_pipelines import input as input_lib

        points = np.full(faces.points.shape, np.nan, np.float32)
        confidence = None
        for batch in input_lib.eval_batches(faces, self._batch_size, jax.process_index(), jax.process_count()):
            arrays = distributed.to_devices({name: batch[name] for name in ("image", "index")}, self._split)
            predicted, index = jax.device_get(self._step(variables, arrays))
            real = index >= 0
            points[index[real]] = predicted.points[real]
            if predicted.confidence is not None:
                confidence = np.full(points.shape[:2], np.nan, np.float32) if confidence is None else confidence
                confidence[index[real]] = predicted.confidence[real]
        return Predictions(points, confidence)


def face_errors(predicted: np.ndarray, faces: Faces, scheme: Scheme, normaliser: str | None = None) -> np.ndarray:
    """NME [len(faces)] of predicted points [n, N, 2] in frame pixels, as fractions."""
    normaliser = normaliser or metrics.default_normaliser(scheme)

    @jax.jit
    def nme(predicted: jax.Array, truth: jax.Array) -> jax.Array:
        # The image normaliser is the side of the face box's central square, the crop that models see.
        distance = metrics.normaliser_distance(truth, scheme, normaliser, image_size=faces.frame_size / faces.margin)
        return metrics.face_nme(predicted, truth, distance)

    return np.asarray(nme(predicted, faces.points))
