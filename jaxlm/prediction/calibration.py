"""Measures how a face detector's boxes become those that a model was trained on, and how sure the model is of faces.

The detector looks at the frames of faces whose boxes are known. Where it finds the face, the box found and the true one
are a pair; the calibration is the medians over all pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxlm.checkpoints.bundle import Calibration
from jaxlm.data_pipelines.input import Faces
from jaxlm.prediction import face_detectors
from jaxlm.prediction.face_detectors import FaceDetector
from jaxlm.prediction.video import LANDMARKS

_SAME_FACE = 0.3


_FEWEST = 10


_LEAST_CONFIDENCE = 0.75


class Measured(NamedTuple):
    """A calibration, from `pairs` of boxes; they overlap by `before`, and once calibrated by `after` (median IoU)."""

    calibration: Calibration
    pairs: int
    before: float
    after: float


def measure_detector(faces: Faces, detector: FaceDetector) -> Measured:
    """The calibration of a detector's boxes to those of prepared faces, which fill the middle of their frames.

    Raises:
      ValueError: It finds fewer than ten of the faces.
    """
    true = true_box(faces)
    found = []
    for index in range(len(faces)):
        boxes = detector(faces.images(np.asarray([index]))[0])
        shared = face_detectors.overlap(true, boxes)
        if len(boxes) and shared.max() > _SAME_FACE:
            found.append(boxes[shared.argmax()])
    return _measure(np.reshape(found, (-1, 4)), true, detector.name)


def measure_landmarks(faces: Faces) -> Measured:
    """The calibration of the tight bounding boxes of the true points."""
    tight = np.concatenate([faces.points.min(axis=1), faces.points.max(axis=1)], axis=1)
    return _measure(tight, true_box(faces), LANDMARKS)


def true_box(faces: Faces) -> np.ndarray:
    """The face box [4] made square, the same in every frame: its central F / margin pixels."""
    side = faces.frame_size / faces.margin
    low = (faces.frame_size - side) / 2
    return np.float64([low, low, low + side - 1, low + side - 1])


def _measure(found: np.ndarray, true: np.ndarray, name: str) -> Measured:
    if len(found) < _FEWEST:
        raise ValueError(f"{name} finds {len(found)} of the faces; {_FEWEST} are needed to measure by")
    calibration = face_detectors.measure(found, np.broadcast_to(true, found.shape))
    overlaps = (face_detectors.overlap(true, boxes) for boxes in (found, face_detectors.calibrate(found, calibration)))
    return Measured(calibration, len(found), *(float(np.median(shared)) for shared in overlaps))


def least_confidence(confidence: np.ndarray | None) -> float:
    """The least mean that still is a face's, from the confidence [n, N] of the points of faces; 0 without any."""
    return 0.0 if confidence is None else round(_LEAST_CONFIDENCE * float(confidence.mean(axis=1).min()), 3)
