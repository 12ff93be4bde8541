"""Landmarks of faces in photos, from Python.

    from jaxlm import Landmarker
    landmarker = Landmarker.load()
    for face in landmarker.predict(photo):
        print(face.box, face.points)

Photos are RGB or grey uint8 arrays; boxes and points are (x, y) in pixels of the photo, pixel centres at integers.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

import jaxlm
from jaxlm.checkpoints import Trained, open_model, shipped
from jaxlm.evaluation import inference
from jaxlm.landmarks import Scheme, geometry, photos
from jaxlm.models.dpr import coordinates, locate_in_photos
from jaxlm.prediction import face_detectors
from jaxlm.prediction.face_detectors import FaceDetector

# A photo RGB uint8 [H, W, 3] and the box [4] of a face in it.
PhotoAndBox = tuple[np.ndarray, np.ndarray]

BATCH_SIZES = (1, 4, 16, 64)
"""Numbers of faces that the network is compiled for. Other numbers are padded to the next one, or split."""


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """The landmarks of a face.

    Attributes:
      box: float32 [4], (x1, y1, x2, y2), the first and the last pixel of the face as the model's convention has it.
      points: float32 [N, 2].
      confidence: How sure the model is of each point, float32 [N] in 0..1; None where it does not say.
      scheme: The scheme of the points.
      degenerate: Whether an affine map that the model predicts could not be used, and the box took its place.
    """

    box: np.ndarray
    points: np.ndarray
    confidence: np.ndarray | None
    scheme: Scheme
    degenerate: bool = False


class Landmarker:
    """A trained model ready for photos. Several threads may use one at once.

    Args:
      trained: The model. Its boxes calibrate the face detector, and its least confidence tells faces from others.
      detector: Finds the faces where no boxes are given; by default `face_detectors.default()`, when first needed.
      flip_test: Average with the points of the mirrored crop, in twice the time.

    Attributes:
      trained: The model.
      scheme: The scheme of its points.
      calibrations: What brings a face detector's boxes to the model's, by the detector's name; see `Trained.boxes`.
      least_confidence: A detection is dropped where the mean confidence of its points is less.
      flip_test: As given.

    Raises:
      ValueError: `flip_test` with a model that looks at the photo itself.
    """

    def __init__(self, trained: Trained, detector: FaceDetector | None = None, flip_test: bool = False) -> None:
        if flip_test and trained.looks_at_photos:
            raise ValueError("there is no flip test for the released models of DPR, which look at the photo itself")
        self.trained, self.scheme, self.least_confidence = trained, trained.scheme, trained.least_confidence
        self.calibrations, self.flip_test = dict(trained.boxes), flip_test
        self._given_detector = detector
        size, task = trained.config.model.input_size, trained.task
        flip = trained.scheme.flip if flip_test else None
        self._step = jax.jit(functools.partial(inference.predict_crops, model=trained.model, task=task, flip=flip))
        self._size, self._crop = size, trained.config.data.crop

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        step: int | None = None,
        head: str | None = None,
        detector: str | FaceDetector | None = None,
        flip_test: bool = False,
    ) -> Landmarker:
        """A model from a file or a run.

        Args:
          path: A file that `jaxlm export --format bundle` or `jaxlm convert` wrote, or the workdir of a training run;
            by default the model that comes with jaxlm.
          step: The run's checkpoint to take; by default the best one by validation, else the last one.
          head: The data set whose points are read, of a run on several; by default the first.
          detector: Finds the faces where no boxes are given; `face_detectors.build` says what names there are.
          flip_test: Average with the points of the mirrored crop, in twice the time.

        Raises:
          FileNotFoundError: There is no such file.
          ValueError: The path is empty; the file is damaged, or of another version; there is no such head or detector.
          CheckpointError: The folder is no run, or none of its checkpoints can be read.
        """
        if isinstance(detector, str):
            detector = face_detectors.build(detector)
        if path is not None and not os.fspath(path):
            raise ValueError(
                "the path of the model is empty; give a file, a run, or None for the model that is shipped"
            )
        return cls(open_model(shipped.NAME if path is None else path, step=step, head=head), detector, flip_test)

    @functools.cached_property
    def detector(self) -> FaceDetector:
        """The face detector for photos whose boxes are not given."""
        detector = self._given_detector or face_detectors.default()
        if detector.name not in self.calibrations and detector is not face_detectors.WHOLE:
            logging.warning(
                "this model has no calibration for the boxes of %s, so they are taken as they are;"
                " jaxlm calibrate measures one",
                detector.name,
            )
        return detector

    def detect(self, image: np.ndarray) -> np.ndarray:
        """Boxes float32 [n, 4] of the faces in a photo, as the model's convention has them; see `predict`."""
        found = self.detector(as_rgb(image))
        return face_detectors.calibrate_boxes(found, self.calibrations.get(self.detector.name))

    def sees(self, face: Face) -> bool:
        """Whether the model is sure enough of the points that there is a face."""
        return face.confidence is None or float(face.confidence.mean()) >= self.least_confidence

    def settings(self) -> dict[str, Any]:
        """What points depend on beside photos and boxes, as JSON has it: those of two models are not to be mixed."""
        trained = self.trained
        digest = hashlib.sha256(repr((trained.config, trained.head, trained.step)).encode())
        for place, leaf in jax.tree_util.tree_leaves_with_path(trained.variables):
            values = np.asarray(leaf)
            digest.update(f"{place} {values.shape} {values.dtype}".encode() + values.tobytes())
        return {
            "jaxlm": jaxlm.__version__,
            "model": digest.hexdigest(),
            "scheme": self.scheme.name,
            "flip_test": self.flip_test,
        }

    def predict(self, image: np.ndarray, boxes: ArrayLike | None = None) -> list[Face]:
        """The faces in a photo.

        Args:
          image: RGB uint8 [H, W, 3], or grey [H, W].
          boxes: [n, 4] or [4], the first and the last pixel (x1, y1, x2, y2) of each face as the model's convention
            has it; by default those that the detector finds.

        Returns:
          A face for each box, in their order. Detections below the least confidence are dropped.

        Raises:
          ValueError: The image is no such array; a box is empty or does not meet the photo.
        """
        return self.predict_many([image], None if boxes is None else [boxes])[0]

    def predict_many(self, images: Sequence[np.ndarray], boxes: Sequence[ArrayLike] | None = None) -> list[list[Face]]:
        """The faces in several photos, whatever their sizes, as `predict` finds them in each; `boxes` are by photo."""
        images = [as_rgb(image) for image in images]
        if boxes is None:
            found = self.predict_many(images, [self.detect(image) for image in images])
            return [[face for face in faces if self.sees(face)] for faces in found]
        given = [_as_boxes(of_photo) for of_photo in boxes]
        owners = [owner for owner, of_photo in enumerate(given) for _ in of_photo]
        rows = [(image, box) for image, of_photo in zip(images, given, strict=True) for box in of_photo]
        for image, box in rows:
            photos.check_box(image, box)
        locate = self._locate_in_photos if self.trained.looks_at_photos else self._locate_in_crops
        faces: list[list[Face]] = [[] for _ in images]
        for owner, face in zip(owners, locate(rows), strict=True):
            faces[owner].append(face)
        return faces

    def _locate_in_crops(self, rows: Sequence[PhotoAndBox]) -> Iterator[Face]:
        """The faces in crops that are cut as prepared frames are."""
        start = 0
        while start < len(rows):
            batch = _batch_size(len(rows) - start)
            chunk = rows[start : start + batch]
            crops, maps = np.zeros((batch, self._size, self._size, 3), np.uint8), []
            for crop, (image, box) in zip(crops, chunk, strict=False):
                crop[:], to_crop = photos.cut_crop(image, box, self._size, self._crop)
                maps.append(geometry.invert(to_crop))
            predicted = jax.device_get(self._step(self.trained.variables, crops))
            for index, ((_, box), to_photo) in enumerate(zip(chunk, maps, strict=True)):
                one = jax.tree.map(lambda leaf, index=index: leaf[index], predicted)
                yield self._face(box, one._replace(points=geometry.transform(one.points, to_photo)))
            start += batch

    def _locate_in_photos(self, rows: Sequence[PhotoAndBox]) -> Iterator[Face]:
        """The faces seen through their boxes as they are, not made square."""
        for image, box in rows:
            batch = coordinates.photo_batch([image], box[None])
            outputs = locate_in_photos(self.trained.model, self.trained.variables, *batch)
            degenerate = coordinates.is_degenerate(outputs.theta)
            yield self._face(box, inference.Predictions(np.asarray(outputs.points[0]), None, np.asarray(degenerate)[0]))

    def _face(self, box: np.ndarray, predicted: inference.Predictions) -> Face:
        """A face from its predictions in pixels of the photo."""
        points = predicted.points.astype(np.float32)
        degenerate = predicted.degenerate is not None and bool(predicted.degenerate)
        return Face(box.astype(np.float32), points, predicted.confidence, self.scheme, degenerate)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """A photo, RGB [H, W, 3] or grey [H, W], as RGB uint8 [H, W, 3].

    Raises:
      ValueError: It is no such array.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or not image.size or not (image.ndim == 2 or image.shape[2:] == (3,)):
        raise ValueError(f"a photo must be uint8 [H, W, 3] or [H, W], not {image.dtype} {list(image.shape)}")
    return image if image.ndim == 3 else np.stack([image] * 3, axis=-1)


def _as_boxes(boxes: ArrayLike) -> np.ndarray:
    """Boxes float64 [n, 4] from [n, 4], [4] or nothing."""
    array = np.asarray(boxes, np.float64)
    if array.size % 4 or (array.size and array.shape[-1] != 4) or array.ndim > 2:
        raise ValueError(f"boxes must be [n, 4] or [4], not {list(array.shape)}")
    return array.reshape(-1, 4)


def _batch_size(count: int) -> int:
    """The number of faces to compute at once, of those that the network is compiled for, where `count` are left."""
    return next((size for size in BATCH_SIZES if size >= count), BATCH_SIZES[-1])
