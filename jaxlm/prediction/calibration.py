"""Measures how a face detector's boxes become those that a model was trained on, and how sure the model is of faces.

The detector looks at the frames of faces whose boxes are known. Where it finds the face, the box found and the true one
are a pair; the calibration is the medians over all pairs. For models that look at the photo itself, the true box is one
as they learnt boxes (`photo_predictor.boxes_of`), and faces may have points of any scheme.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np

from jaxlm.checkpoints import LANDMARKS, Calibration, Trained, open_model, save_bundle
from jaxlm.data_pipelines import prepared
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import VALIDATION, evaluate_model, open_evaluation
from jaxlm.evaluation.photo_predictor import boxes_of, tight_boxes
from jaxlm.landmarks import text_of
from jaxlm.prediction import detectors
from jaxlm.prediction.detectors import FaceDetector

# The least intersection over union of a box found and the true one that still is of the same face.
_SAME_FACE = 0.3
# The least number of pairs of boxes.
_FEWEST = 10
# The least confidence, as a share of the least mean confidence of any face.
_LEAST_CONFIDENCE = 0.75


class Measured(NamedTuple):
    """A calibration, from `pairs` of boxes; they overlap by `before`, and once calibrated by `after` (median IoU)."""

    calibration: Calibration
    pairs: int
    before: float
    after: float


def calibrate_and_write(
    path: pathlib.Path,
    detector: str,
    out: pathlib.Path,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    step: int | None = None,
    head: str | None = None,
) -> None:
    """Writes a copy of a model with the calibration of a face detector, and prints what was measured.

    Args:
      path: The model; see `checkpoints.open_model` for it, `step` and `head`.
      detector: The name of a face detector; see `detectors.build`.
      out: The file of weights to write.
      dataset: See `evaluation.evaluate_model` for this and `data_dir`.
      data_dir: The folder of the prepared sets.
      split: The split to measure on; by default the part held out from training.
      step: The run's checkpoint.
      head: The data set whose points are read.

    Raises:
      FileNotFoundError, CheckpointError: There is no such file or run, or the set is not prepared.
      ValueError: There is no such detector, head or split, or the detector finds too few faces.
    """
    found = detectors.build(detector)
    trained = open_model(path, step=step, head=head)
    if trained.looks_at_photos:
        faces, least = _open_for_boxes(trained, dataset, data_dir, split or VALIDATION), 0.0
        true, box = boxes_of(trained, faces), "as the model learnt boxes"
    else:
        evaluation = evaluate_model(trained, str(path), dataset, data_dir, split or VALIDATION)
        faces, least = evaluation.faces, least_confidence_of(evaluation.predicted.confidence)
        true, box = np.tile(true_box(faces), (len(faces), 1)), faces.box
    landmarks = _measure(tight_boxes(faces), true, LANDMARKS)
    measured = {found.name: measure_detector(faces, found, true), LANDMARKS: landmarks}
    boxes = {**trained.boxes, **{name: one.calibration for name, one in measured.items()}}
    save_bundle(out, dataclasses.replace(trained, boxes=boxes, least_confidence=least))
    for name, one in measured.items():
        numbers = ", ".join(f"{number:.4f}" for number in one.calibration)
        print(
            f"{name}, {one.pairs} of {len(faces)} faces of {faces.dataset}, {faces.split} (box: {box}): scale and"
            f" shift ({numbers}), overlap with the true box {one.before:.3f}, calibrated {one.after:.3f} (median IoU)"
        )
    print(f"least mean confidence of a face: {least or 'not measured, since the model gives none'}")
    print(f"Wrote {out}")


def _open_for_boxes(trained: Trained, dataset: str | None, data_dir: str | None, split: str) -> Faces:
    """The faces of a split in their own scheme; see `calibrate_and_write`."""
    data = trained.config.data
    dataset, data_dir = dataset or data.dataset, data_dir or data.data_dir
    own = dataclasses.replace(data, scheme=text_of(prepared.scheme_of(dataset, data_dir)))
    return open_evaluation(dataclasses.replace(trained.config, data=own), dataset, split, data_dir)[0]


def measure_detector(faces: Faces, detector: FaceDetector, true: np.ndarray) -> Measured:
    """The calibration of a detector's boxes to the true ones [n, 4] of faces, in their frames.

    Raises:
      ValueError: It finds fewer than ten of the faces.
    """
    found, wanted = [], []
    for index, box in enumerate(true):
        boxes = detector(faces.images(np.asarray([index]))[0])
        shared = detectors.overlap(box, boxes)
        if len(boxes) and shared.max() > _SAME_FACE:
            found.append(boxes[np.argmax(shared), :4])
            wanted.append(box)
    return _measure(np.reshape(found, (-1, 4)), np.reshape(wanted, (-1, 4)), detector.name)


def true_box(faces: Faces) -> np.ndarray:
    """The face box [4] made square, the same in every frame: its central F / margin pixels."""
    side = faces.frame_size / faces.margin
    low = (faces.frame_size - side) / 2
    return np.array([low, low, low + side - 1, low + side - 1], np.float64)


def _measure(found: np.ndarray, true: np.ndarray, name: str) -> Measured:
    """The calibration of boxes [n, 4] to the true ones [n, 4]."""
    if len(found) < _FEWEST:
        raise ValueError(f"{name} finds {len(found)} of the faces; {_FEWEST} are needed to measure by")
    calibration = detectors.fit_calibration(found, true)
    overlaps = (
        [detectors.overlap(one, box[None])[0] for one, box in zip(true, boxes, strict=True)]
        for boxes in (found, detectors.calibrate_boxes(found, calibration))
    )
    return Measured(calibration, len(found), *(float(np.median(shared)) for shared in overlaps))


def least_confidence_of(confidence: np.ndarray | None) -> float:
    """The mean confidence below which detections are dropped, from that of faces' points [n, N]; 0 for None."""
    return 0.0 if confidence is None else round(_LEAST_CONFIDENCE * float(np.min(confidence.mean(axis=1))), 3)
