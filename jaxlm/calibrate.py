"""How a face detector's boxes become a model's: python -m jaxlm.calibrate --weights F --detector dlib --out NEW.npz

A model is trained on boxes of one convention, and a detector has another. The detector looks at the frames of the
faces that the model was validated on; where it finds the face, the box found and the true one are a pair, and the
medians over all pairs are written to a copy of the model's file, for `python -m jaxlm.predict` and `jaxlm.Landmarker`.
Measured beside it are how the tight bounding box of the landmarks becomes the true box, by which faces are followed in
videos, and how sure the model is of faces, by which it tells what a detector takes for one: a face's mean confidence is
at least three quarters of the least of these faces.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxlm import bundle, checkpoint, evaluate, face_detectors
from jaxlm.bundle import Bundle, Calibration
from jaxlm.commands import told_errors
from jaxlm.face_detectors import FaceDetector
from jaxlm.landmarks import load_scheme
from jaxlm.video import LANDMARKS

if TYPE_CHECKING:
    from data_pipelines.input import Faces

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


def open_model(weights: pathlib.Path | None, workdir: pathlib.Path | None, head: str | None) -> Bundle:
    """The model of a file, or of a run with one of its heads."""
    if weights is not None:
        return bundle.load(weights)
    trained = checkpoint.load_model(workdir, head=head)
    return Bundle(trained, load_scheme(trained.config.data.scheme), {}, {})


def least_confidence(confidence: np.ndarray | None) -> float:
    """The least mean that still is a face's, from the confidence [n, N] of the points of faces; 0 without any."""
    return 0.0 if confidence is None else round(_LEAST_CONFIDENCE * float(confidence.mean(axis=1).min()), 3)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxlm.calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--weights", type=pathlib.Path, metavar="FILE.npz", help="of python -m jaxlm.export")
    model.add_argument("--workdir", type=pathlib.Path, metavar="DIR", help="of a training run")
    parser.add_argument("--head", help="of a run on several data sets: the name of one (default: the first)")
    parser.add_argument("--detector", required=True, help="dlib or yunet:MODEL.onnx")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="NEW.npz")
    evaluate.add_data_arguments(parser)
    arguments = parser.parse_args(argv)
    with told_errors():
        detector = face_detectors.build(arguments.detector)
        opened = open_model(arguments.weights, arguments.workdir, arguments.head)
        config = opened.trained.config
        dataset, data_dir = arguments.dataset or config.data.dataset, arguments.data_dir or config.data.data_dir
        judged = evaluate.judge(opened.trained, "", dataset, data_dir, arguments.split or evaluate.VALIDATION)
        faces, least = judged.faces, least_confidence(judged.predicted.confidence)
        measured = {detector.name: measure_detector(faces, detector), LANDMARKS: measure_landmarks(faces)}
        boxes = opened.boxes | {name: one.calibration for name, one in measured.items()}
        bundle.save(arguments.out, opened.trained, opened.card, boxes, least)
    for name, one in measured.items():
        numbers = ", ".join(f"{number:.4f}" for number in one.calibration)
        print(
            f"{name}, {one.pairs} of {len(faces)} faces of {faces.dataset}, {faces.split} (box: {faces.box}): scale and"
            f" shift ({numbers}), overlap with the true box {one.before:.3f}, calibrated {one.after:.3f} (median IoU)"
        )
    print(f"least mean confidence of a face: {least or 'not measured, since the model gives none'}")
    print(f"Wrote {arguments.out}")


if __name__ == "__main__":
    main()
