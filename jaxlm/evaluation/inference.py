"""A model's points for prepared faces, on every device, and their errors."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxlm import tasks
from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines.input import Faces
from jaxlm.images import affine_maps, cropping
from jaxlm.landmarks import Scheme
from jaxlm.runtime import distributed
from jaxlm.tasks import metrics

# Called with how many more faces are done.
Advance = Callable[[int], object]

_LOG = logging.getLogger(__name__)

DEGENERATE = "the affine maps predicted for %d of %d faces are degenerate; the face box takes their place"


class Predictions(NamedTuple):
    """The points that a model finds in some faces.

    Attributes:
      points: [n, N, 2] in frame pixels.
      confidence: How sure the model is of each point [n, N], 0 to 1; None where its outputs do not say.
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
    task: tasks.Reader,
    size: int,
    flip: Sequence[int] | None = None,
) -> Predictions:
    """Predictions for uint8 frames [B, H, W, 3], from the crops of `size` pixels that the map `to_crop` [2, 3] gives.

    `cropping.crop_affine` is the map of the undistorted crop around the box. With `flip`, the scheme's flip permutation
    [N], points and confidences are averaged with those of the mirrored crop.
    """
    matrix = jnp.broadcast_to(jnp.asarray(to_crop), (frames.shape[0], 2, 3))
    crops = cropping.normalise(cropping.warp(frames, matrix, size))
    predicted = _predict_normalised(variables, crops, model, task, flip)
    return predicted._replace(points=cropping.move(predicted.points, affine_maps.invert(matrix)))


def predict_crops(
    variables: Any, crops: ArrayLike, *, model: nn.Module, task: tasks.Reader, flip: Sequence[int] | None = None
) -> Predictions:
    """Predictions for uint8 crops [B, S, S, 3], in their pixels; `flip` as in `predict_step`."""
    return _predict_normalised(variables, cropping.normalise(jnp.asarray(crops, jnp.float32)), model, task, flip)


def _predict_normalised(
    variables: Any, crops: jax.Array, model: nn.Module, task: tasks.Reader, flip: Sequence[int] | None
) -> Predictions:
    """Predictions in pixels of the normalised crops [B, S, S, 3]."""
    outputs = model.apply(variables, crops, train=False)
    predicted = Predictions(task.points(outputs), task.confidence(outputs), task.degenerate(outputs))
    if flip is None:
        return predicted
    mirrored = _predict_normalised(variables, crops[:, :, ::-1], model, task, None)
    order = np.asarray(flip)
    points = mirrored.points.at[..., 0].set(crops.shape[2] - 1 - mirrored.points[..., 0])[:, order]
    confidence = predicted.confidence
    if confidence is not None and mirrored.confidence is not None:
        confidence = (confidence + mirrored.confidence[:, order]) / 2
    return predicted._replace(
        points=(predicted.points + points) / 2,
        confidence=confidence,
    )


class BoxError(NamedTuple):
    """The error of a face box.

    Attributes:
      shift: (x, y) from the face box's centre to this one's, in sides of the face box.
      scale: Side of this box in sides of the face box.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0


NO_ERROR = BoxError()


class Predictor:
    """Runs a model over all faces of a split, on every device.

    Args:
      model: Maps normalised crops to raw outputs.
      task: Reads points from them.
      config: The experiment's config.
      margin: Side of the frames in face boxes.
      mesh: The devices.
      batch_size: Faces at a time; rounded up to a multiple of the devices.
      flip: The scheme's flip permutation, to average with the mirrored crops; see `predict_step`.
    """

    def __init__(
        self,
        model: nn.Module,
        task: tasks.Reader,
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

    def __call__(self, variables: Any, faces: Faces, advance: Advance | None = None) -> Predictions:
        """Predictions for all the faces, numpy arrays in frame pixels; `advance` as below."""
        return self.with_box_errors(variables, faces, [NO_ERROR], advance)[0]

    def with_box_errors(
        self, variables: Any, faces: Faces, errors: Sequence[BoxError], advance: Advance | None = None
    ) -> list[Predictions]:
        """Predictions for all the faces as if their boxes were off, for each of the errors; every frame is read once.

        Args:
          variables: The model's variables.
          faces: The faces, in frames of the margin given.
          errors: The errors of the boxes.
          advance: Called after each batch of crops with how many faces it had, those of this process.
        """
        maps = [box_error_affine(faces.frame_size, self._size, self._margin, self._crop, error) for error in errors]
        indices, parts = list[np.ndarray](), [list[Predictions]() for _ in maps]
        for batch in input_lib.eval_batches(faces, self._batch_size, jax.process_index(), jax.process_count()):
            arrays = distributed.to_devices({name: batch[name] for name in ("image", "index")}, self._split)
            for part, to_crop in zip(parts, maps, strict=True):
                predicted, index = jax.device_get(self._step(variables, arrays, to_crop))
                part.append(jax.tree.map(lambda leaf, real=index >= 0: leaf[real], predicted))
                if advance is not None:
                    advance(int((index >= 0).sum()))
            indices.append(index[index >= 0])
        order = np.argsort(np.concatenate(indices))
        found = [jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *part) for part in parts]
        degenerate = sum(int(predicted.degenerate.sum()) for predicted in found if predicted.degenerate is not None)
        if degenerate:
            _LOG.warning(DEGENERATE, degenerate, len(faces) * len(errors))
        return found


def box_error_affine(side: int, size: int, margin: float, crop: float, error: BoxError) -> np.ndarray:
    """The map float32 [2, 3] of the plain crop around a box that is off.

    Args:
      side: Side of the frame in pixels.
      size: Side of the crop in pixels.
      margin: Side of the frame in units of the face box.
      crop: Side of the crop in units of the box.
      error: The error of the box.
    """
    matrix = cropping.crop_affine(side, size, margin, crop * error.scale)
    matrix[:, 2] -= matrix[0, 0] * side / margin * np.asarray(error.shift, np.float32)
    return matrix


def face_errors(predicted: np.ndarray, faces: Faces, scheme: Scheme, normaliser: str | None = None) -> np.ndarray:
    """NME [len(faces)] of predicted points [n, N, 2] in frame pixels, as fractions, over the points with a place.

    It is NaN for a face whose errors cannot be divided: the normaliser's points are equal, or have no place.
    """
    placed = np.isfinite(faces.points).all(-1)
    nme = _face_nme(predicted, jnp.asarray(faces.points), _distance(faces, scheme, normaliser), jnp.asarray(placed))
    return np.asarray(nme)


def point_errors(predicted: np.ndarray, faces: Faces, scheme: Scheme, normaliser: str | None = None) -> np.ndarray:
    """Error of each point [n, N], a fraction, whose mean over a face's points is its NME; NaN as in `face_errors`.

    A point without a place is NaN, too.
    """
    distance = np.asarray(_distance(faces, scheme, normaliser))
    return np.linalg.norm(predicted - faces.points, axis=-1) / distance[:, None]


def _distance(faces: Faces, scheme: Scheme, normaliser: str | None) -> jax.Array:
    """What errors of each face [n] are divided by, in frame pixels."""
    normaliser = normaliser or metrics.default_normaliser(scheme)
    # The image normaliser is the side of the face box's central square, the crop that models see.
    side = faces.frame_size / faces.margin
    distance = metrics.normaliser_distance(jnp.asarray(faces.points), scheme, normaliser, image_size=side)
    return jnp.where(distance > 0, distance, jnp.nan)


_face_nme = jax.jit(metrics.face_nme)
