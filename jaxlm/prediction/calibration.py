"""Measures how a face detector's boxes become those that a model was trained on, and what its confidences mean.

The detector looks at the frames of faces whose boxes are known. Where it finds the face, the box found and the true one
are a pair; the calibration is the medians over all pairs. For models that look at the photo itself, the true box is one
as they learnt boxes (`photo_predictor.boxes_of`), and faces may have points of any scheme.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np

from jaxlm.checkpoints import LANDMARKS, Calibration, ConfidenceMap, Trained, open_model, save_bundle
from jaxlm.checkpoints.bundle_checks import last_part
from jaxlm.data_pipelines import prepared
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import VALIDATION, Evaluation, evaluate_model, open_evaluation, point_errors
from jaxlm.evaluation.photo_predictor import boxes_of, tight_boxes
from jaxlm.landmarks import text_of
from jaxlm.prediction import detectors, reliability
from jaxlm.prediction.detectors import FaceDetector
from jaxlm.tasks import metrics

# The least intersection over union of a box found and the true one that still is of the same face.
_SAME_FACE = 0.3
# The least number of pairs of boxes, and of faces that tell what confidences mean.
_FEWEST = 10
# The least confidence, as a share of the least mean confidence of any face: of raw scores, and of probabilities, which
# fall faster where there is no face.
_LEAST_RAW, _LEAST_PROBABILITY = 0.75, 0.5


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
    """Writes a copy of a model with what was measured of a face detector and of its confidences, and prints it.

    Faces that the model learnt from say nothing about its confidences, which then stay as they are.

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
    raw = meaning = None
    learnt = _has_learnt_from(trained, dataset, split or VALIDATION)
    if trained.looks_at_photos:
        faces = _open_for_boxes(trained, dataset, data_dir, split or VALIDATION)
        true, box = boxes_of(trained, faces), "as the model learnt boxes"
    else:
        unmapped = dataclasses.replace(trained, confidence=None)
        evaluation = evaluate_model(unmapped, str(path), dataset, data_dir, split or VALIDATION)
        faces, raw = evaluation.faces, evaluation.predicted.confidence
        true, box = np.tile(true_box(faces), (len(faces), 1)), faces.box
        meaning = trained.confidence if learnt else confidence_map(evaluation, trained)
    confidence = _mapped(raw, meaning)
    least = least_confidence_of(confidence, _LEAST_PROBABILITY if meaning else _LEAST_RAW)
    landmarks = _measure(tight_boxes(faces), true, LANDMARKS)
    measured = {found.name: measure_detector(faces, found, true), LANDMARKS: landmarks}
    boxes = {**trained.boxes, **{name: one.calibration for name, one in measured.items()}}
    save_bundle(out, dataclasses.replace(trained, boxes=boxes, least_confidence=least, confidence=meaning))
    for name, one in measured.items():
        numbers = ", ".join(f"{number:.4f}" for number in one.calibration)
        print(
            f"{name}, {one.pairs} of {len(faces)} faces of {faces.dataset}, {faces.split} (box: {box}): scale and"
            f" shift ({numbers}), overlap with the true box {one.before:.3f}, calibrated {one.after:.3f} (median IoU)"
        )
    print(f"confidence: {_told(confidence, meaning, learnt)}")
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


def confidence_map(evaluation: Evaluation, trained: Trained) -> ConfidenceMap | None:
    """What a model's raw scores mean, by its errors; None where it gives none, or the faces are fewer than ten."""
    raw, faces, scheme = evaluation.predicted.confidence, evaluation.faces, trained.scheme
    if raw is None or len(faces) < _FEWEST:
        return None
    normaliser = metrics.default_normaliser(scheme)
    errors = point_errors(evaluation.predicted.points, faces, scheme, normaliser)
    return reliability.fit_confidence(raw, errors, scheme)


def _has_learnt_from(trained: Trained, dataset: str | None, split: str) -> bool:
    """Whether a model learnt from a split of a set, which is told by its name; None is that of the training."""
    own = {last_part(name) for name in trained.config.data.dataset.split("+")}
    return "train" in split and (dataset is None or last_part(dataset) in own)


def _mapped(raw: np.ndarray | None, meaning: ConfidenceMap | None) -> np.ndarray | None:
    return raw if raw is None or meaning is None else np.asarray(meaning.confidence(raw))


def _told(confidence: np.ndarray | None, meaning: ConfidenceMap | None, learnt: bool) -> str:
    """What was found of confidences, for people."""
    if confidence is None:
        return "the model gives none"
    if meaning is None:
        why = "it was fitted to these faces" if learnt else f"{_FEWEST} faces are needed to say what it means"
        return f"a raw score, since {why}"
    return f"{meaning.meaning}; {float(confidence.mean()):.3f} in mean" + (", as it was before" if learnt else "")


def least_confidence_of(confidence: np.ndarray | None, share: float) -> float:
    """The mean confidence below which detections are dropped, a share of that of the least sure face.

    Args:
      confidence: Of faces' points [n, N]; None where the model gives none, and then nothing is dropped.
      share: That share.
    """
    return 0.0 if confidence is None else round(share * float(np.min(confidence.mean(axis=1))), 3)
