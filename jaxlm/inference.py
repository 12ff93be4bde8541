"""A model's points for prepared faces, on every device, and their errors."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxlm import augment, distributed, metrics, reinitialisation, tasks
from jaxlm.config import Config
from jaxlm.landmarks import Scheme

if TYPE_CHECKING:
    from data_pipelines.input import Faces


DEGENERATE = "the affine maps predicted for %d of %d faces are degenerate; the face box takes their place"


class Predictions(NamedTuple):
    """What a model says of some faces.

    Attributes:
      points: [n, N, 2] in frame pixels.
      confidence: Of each point [n, N], 0 to 1; None where the model's outputs carry none.
      degenerate: Whether an affine map the model predicts could not be used [n]; None where it predicts none.
    """

    points: Any
    confidence: Any | None
    degenerate: Any | None = None


def predict_step(
    variables: Any,
    frames: jax.Array,
    to_crop: ArrayLike,
    *,
    model: nn.Module,
    task: tasks.Task,
    size: int,
    flip: Sequence[int] | None = None,
) -> Predictions:
    """Predictions for uint8 frames [B, H, W, 3], from the crops of `size` pixels that the map `to_crop` [2, 3] gives.

    `augment.crop_affine` is the map of the undistorted crop around the box. With `flip`, the scheme's flip permutation
    [N], points and confidences are averaged with those of the mirrored crop.
    """
    matrix = jnp.broadcast_to(jnp.asarray(to_crop), (frames.shape[0], 2, 3))
    crops = augment.normalise(augment.warp(frames, matrix, size))
    points, confidence, degenerate = _predict_crops(variables, crops, model, task)
    if flip is not None:
        mirrored, mirrored_confidence, _ = _predict_crops(variables, crops[:, :, ::-1], model, task)
        order = np.asarray(flip)
        mirrored = mirrored.at[..., 0].set(size - 1 - mirrored[..., 0])
        points = (points + mirrored[:, order]) / 2
        confidence = None if confidence is None else (confidence + mirrored_confidence[:, order]) / 2
    return Predictions(augment.move(points, reinitialisation.invert(matrix)), confidence, degenerate)


def _predict_crops(variables: Any, crops: jax.Array, model: nn.Module, task: tasks.Task) -> Predictions:
    """Predictions in pixels of the normalised crops [B, S, S, 3]."""
    outputs = model.apply(variables, crops, train=False)
    return Predictions(task.points(outputs), task.confidence(outputs), task.degenerate(outputs))


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
        self._size, self._margin, self._crop = config.model.input_size, margin, config.data.crop
        step = functools.partial(predict_step, model=model, task=task, size=self._size, flip=flip)
        self._step = jax.jit(
            lambda variables, batch, to_crop: (step(variables, batch["image"], to_crop), batch["index"]),
            out_shardings=(whole, whole),
        )

    def __call__(self, variables: Any, faces: Faces, shift: ArrayLike = (0.0, 0.0), scale: float = 1.0) -> Predictions:
        """Predictions for all the faces, float32 numpy arrays in frame pixels.

        Args:
          variables: Of the model.
          faces: The faces, in frames of the margin given.
          shift: How far off the box is taken to be, (x, y) in sides of the box.
          scale: How many times as large as it is the box is taken to be.
        """
        from data_pipelines import input as input_lib

        to_crop = box_error_affine(faces.frame_size, self._size, self._margin, self._crop, shift, scale)
        points = np.full(faces.points.shape, np.nan, np.float32)
        confidence, degenerate = None, 0
        for batch in input_lib.eval_batches(faces, self._batch_size, jax.process_index(), jax.process_count()):
            arrays = distributed.to_devices({name: batch[name] for name in ("image", "index")}, self._split)
            predicted, index = jax.device_get(self._step(variables, arrays, to_crop))
            real = index >= 0
            points[index[real]] = predicted.points[real]
            if predicted.confidence is not None:
                confidence = np.full(points.shape[:2], np.nan, np.float32) if confidence is None else confidence
                confidence[index[real]] = predicted.confidence[real]
            if predicted.degenerate is not None:
                degenerate += int(predicted.degenerate[real].sum())
        if degenerate:
            logging.warning(DEGENERATE, degenerate, len(faces))
        return Predictions(points, confidence)


def box_error_affine(
    side: int, size: int, margin: float, crop: float, shift: ArrayLike = (0.0, 0.0), scale: float = 1.0
) -> np.ndarray:
    """The map float32 [2, 3] of the plain crop around a box that is off by `shift` and `scale`.

    Args:
      side: Side of the frame in pixels.
      size: Side of the crop in pixels.
      margin: Side of the frame in units of the face box.
      crop: Side of the crop in units of the box.
      shift: (x, y) from the face box's centre to the box's, in sides of the face box.
      scale: Side of the box in units of the face box.
    """
    matrix = augment.crop_affine(side, size, margin, crop * scale)
    matrix[:, 2] -= matrix[0, 0] * side / margin * np.asarray(shift, np.float32)
    return matrix


def face_errors(predicted: np.ndarray, faces: Faces, scheme: Scheme, normaliser: str | None = None) -> np.ndarray:
    """NME [len(faces)] of predicted points [n, N, 2] in frame pixels, as fractions."""
    normaliser = normaliser or metrics.default_normaliser(scheme)

    @jax.jit
    def nme(predicted: jax.Array, truth: jax.Array) -> jax.Array:
        # The image normaliser is the side of the face box's central square, the crop that models see.
        distance = metrics.normaliser_distance(truth, scheme, normaliser, image_size=faces.frame_size / faces.margin)
        return metrics.face_nme(predicted, truth, distance)

    return np.asarray(nme(predicted, faces.points))
