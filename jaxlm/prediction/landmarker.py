"""Landmarks of faces in photos, from Python.

    from jaxlm import Landmarker
    landmarker = Landmarker.load()
    for face in landmarker.predict("photo.jpg"):
        print(face.box, face.points)

Boxes and points are (x, y) in pixels of the photo, pixel centres at integers.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from numpy.typing import ArrayLike

from jaxlm.checkpoints import Trained, open_model, shipped
from jaxlm.evaluation import inference
from jaxlm.interop import backends
from jaxlm.landmarks import geometry, photos
from jaxlm.models.dpr import find_in_photo
from jaxlm.prediction import detectors
from jaxlm.prediction.detectors import FaceDetector
from jaxlm.prediction.face import Face
from jaxlm.prediction.videos.following import VideoFrame, follow
from jaxlm.runtime import forks

_LOG = logging.getLogger(__name__)

# A photo RGB uint8 [H, W, 3] and the turned box [5] of a face in it.
PhotoAndBox = tuple[np.ndarray, np.ndarray]

BATCH_SIZES = (1, 4, 16, 64)
"""Numbers of faces that JAX compiles the network for. Other numbers are padded to the next one, or split."""


class Landmarker:
    """A trained model ready for photos. Several threads may use one at once; after a fork nobody may.

    Args:
      trained: The model. Its boxes calibrate the face detector, and its least confidence tells faces from others.
      detector: Finds the faces where no boxes are given; by default `detectors.build()`, when first needed.
      flip_test: Average with the points of the mirrored crop, in twice the time.
      backend: What computes the points, "jax" or "onnx"; see `backends.Predictor` for the default.
      threads: Cores that onnxruntime takes for a call; by default all. Where several threads call, 1 is fastest.

    Attributes:
      trained: The model.
      scheme: The scheme of its points.
      calibrations: What brings a face detector's boxes to the model's, by the detector's name; see `Trained.boxes`.
      least_confidence: A detection is dropped where the mean confidence of its points is less.
      flip_test: As given.

    Raises:
      ValueError: `backend` cannot be used here.
    """

    def __init__(
        self,
        trained: Trained,
        detector: FaceDetector | None = None,
        flip_test: bool = False,
        backend: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.trained, self.scheme, self.least_confidence = trained, trained.scheme, trained.least_confidence
        self.calibrations, self.flip_test = dict(trained.boxes), flip_test
        self._given_detector, self._process = detector, forks.OneProcess()
        self._flip = trained.scheme.flip if flip_test else None
        if trained.looks_at_photos:
            self._networks = backends.photo_networks(trained, backend, threads)
        else:
            self._predictor = backends.Predictor(trained, self._flip, backend, threads)
        self._size, self._crop = trained.config.model.input_size, trained.config.data.crop

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        step: int | None = None,
        head: str | None = None,
        detector: str | FaceDetector | None = None,
        flip_test: bool = False,
        backend: str | None = None,
        threads: int | None = None,
    ) -> Landmarker:
        """A model from a file or a run.

        Args:
          path: A file that `jaxlm export --format bundle` or `jaxlm convert` wrote, the workdir of a training run, or
            `ibug68` or `wflw98`, the models of 68 and of 98 points that come with jaxlm; by default the former.
          step: The run's checkpoint to take; by default the best one by validation, else the last one.
          head: The data set whose points are read, of a run on several; by default the first.
          detector: Finds the faces where no boxes are given; `detectors.build` says what names there are.
          flip_test: Average with the points of the mirrored crop, in twice the time.
          backend: "jax", the reference, or "onnx", onnxruntime on a CPU; by default "onnx" where it can be had.
          threads: Cores that onnxruntime takes for a call; by default all.

        Raises:
          FileNotFoundError: There is no such file.
          ValueError: The path is empty; the file is damaged, or of another version; there is no such head, detector or
            backend.
          CheckpointError: The folder is no run, or none of its checkpoints can be read.
        """
        if isinstance(detector, str):
            detector = detectors.build(detector)
        if path is not None and not os.fspath(path):
            raise ValueError("the path of the model is empty; give a file, a run, or None for the shipped one")
        trained = open_model(shipped.weights() if path is None else path, step=step, head=head)
        return cls(trained, detector, flip_test, backend, threads)

    @property
    def backend(self) -> str:
        """What computes the points: "jax" or "onnx"."""
        return self._networks.name if self.trained.looks_at_photos else self._predictor.backend

    @functools.cached_property
    def detector(self) -> FaceDetector:
        """The face detector for photos whose boxes are not given."""
        detector = self._given_detector or detectors.build()
        if detector.name not in self.calibrations and detector is not detectors.WHOLE:
            _LOG.warning(
                "this model has no calibration for the boxes of %s, so they are taken as they are;"
                " jaxlm calibrate measures one",
                detector.name,
            )
        return detector

    def detect(self, image: photos.Photo) -> np.ndarray:
        """Turned boxes float32 [n, 5] of the faces in a photo, as the model's convention has them; see `predict`."""
        found = self.detector(photos.as_photo(image))
        return detectors.calibrate_boxes(found, self.calibrations.get(self.detector.name))

    def sees(self, face: Face) -> bool:
        """Whether the model is sure enough of the points that there is a face."""
        return face.confidence is None or float(face.confidence.mean()) >= self.least_confidence

    def predict(self, image: photos.Photo, boxes: ArrayLike | None = None) -> list[Face]:
        """The faces in a photo.

        Args:
          image: A file, an image of Pillow, or an array uint8, RGB [H, W, 3] or grey [H, W]; see `photos.as_photo`.
          boxes: [n, 4] or [4], the first and the last pixel (x1, y1, x2, y2) of each face as the model's convention
            has it, or [n, 5] or [5] with its roll (`Face.roll`); by default those that the detector finds.

        Returns:
          A face for each box, in their order. Detections below the least confidence are dropped.

        Raises:
          PhotoError: The file cannot be read.
          ValueError: The image is no such array; a box is empty or does not meet the photo.
        """
        return self.predict_many([image], None if boxes is None else [boxes])[0]

    def predict_many(
        self, images: Sequence[photos.Photo], boxes: Sequence[ArrayLike] | None = None
    ) -> list[list[Face]]:
        """The faces in several photos, whatever their sizes, as `predict` finds them in each; `boxes` are by photo.

        Raises:
          PhotoError, ValueError: See `predict`; or there is not an entry of `boxes`, be it empty, for each photo.
          RuntimeError: See `forks.OneProcess`.
        """
        self._process.check()
        if not isinstance(images, list | tuple):
            raise ValueError("predict_many takes a list of photos; predict takes one")
        if boxes is not None and (len(boxes) != len(images) or any(np.ndim(of_photo) == 0 for of_photo in boxes)):
            raise ValueError(f"{len(images)} photos need as many entries in boxes, [n, 4] or [] each")
        read = [photos.as_photo(image) for image in images]
        if boxes is None:
            found = self.predict_many(read, [self.detect(image) for image in read])
            return [[face for face in faces if self.sees(face)] for faces in found]
        given = [detectors.turned_boxes(of_photo) for of_photo in boxes]
        owners = [owner for owner, of_photo in enumerate(given) for _ in of_photo]
        rows = [(image, box) for image, of_photo in zip(read, given, strict=True) for box in of_photo]
        for image, box in rows:
            photos.check_box(image, box)
        locate = self._locate_in_photos if self.trained.looks_at_photos else self._locate_in_crops
        faces: list[list[Face]] = [[] for _ in read]
        for owner, face in zip(owners, locate(rows), strict=True):
            faces[owner].append(face)
        return faces

    def predict_video(
        self, source: str | os.PathLike[str] | int, boxes: Sequence[ArrayLike] | None = None
    ) -> Iterator[VideoFrame]:
        """The frames of a video as they are read, with the faces in them, which are followed and smoothed.

        Args:
          source: A file of any kind that FFmpeg reads, or the number of a camera; 0 is the first.
          boxes: Those of the faces in the first frame; by default those that the detector finds.

        Raises:
          PhotoError: There is no such file or camera, or it gives no frames; at the end, frames are missing.
        """
        return follow(source, self, boxes)

    def _locate_in_crops(self, rows: Sequence[PhotoAndBox]) -> Iterator[Face]:
        """The faces in crops that are cut as prepared frames are."""
        start = 0
        while start < len(rows):
            batch = self._batch_size(len(rows) - start)
            chunk = rows[start : start + batch]
            crops, maps = np.zeros((batch, self._size, self._size, 3), np.uint8), []
            for crop, (image, box) in zip(crops, chunk, strict=False):
                crop[:], to_crop = photos.cut_crop(image, box[:4], self._size, self._crop, box[4])
                maps.append(geometry.invert(to_crop))
            predicted = self._predictor(crops)
            for index, ((_, box), to_photo) in enumerate(zip(chunk, maps, strict=True)):
                one = jax.tree.map(lambda leaf, index=index: leaf[index], predicted)
                yield self._face(box, one._replace(points=geometry.transform(one.points, to_photo)))
            start += batch

    def _locate_in_photos(self, rows: Sequence[PhotoAndBox]) -> Iterator[Face]:
        """The faces seen through their boxes as they are, not made square."""
        for image, box in rows:
            points, degenerate = find_in_photo(self._networks.made, image, box, self._flip)
            yield self._face(box, inference.Predictions(points, None, np.bool_(degenerate)))

    def _face(self, box: np.ndarray, predicted: inference.Predictions) -> Face:
        """A face from its predictions in pixels of the photo."""
        points = predicted.points.astype(np.float32)
        degenerate = predicted.degenerate is not None and bool(predicted.degenerate)
        box, roll = box[:4].astype(np.float32), float(box[4])
        error = self._expected_error(points, predicted.confidence)
        return Face(box, points, predicted.confidence, self.scheme, roll, degenerate=degenerate, expected_error=error)

    def _expected_error(self, points: np.ndarray, confidence: np.ndarray | None) -> np.ndarray | None:
        """How far points [N, 2] are off in mean, in their pixels [N]; None where that was not measured."""
        meaning = self.trained.confidence
        if meaning is None or confidence is None:
            return None
        return meaning.expected_error(confidence) * np.float32(meaning.distance(points, self.scheme))

    def _batch_size(self, count: int) -> int:
        """The number of faces to compute at once where `count` are left: for JAX one that it compiles for."""
        sizes = (count,) if self.backend == "onnx" else BATCH_SIZES
        return next((size for size in sizes if count <= size <= BATCH_SIZES[-1]), BATCH_SIZES[-1])
