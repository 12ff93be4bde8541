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

from jaxlm.checkpoints import bundle
from jaxlm.checkpoints.opening import open_model
from jaxlm.evaluation import judging
from jaxlm.prediction import face_detectors
from jaxlm.prediction.calibration import least_confidence, measure_detector, measure_landmarks
from jaxlm.prediction.video import LANDMARKS
from jaxlm.runtime import commands
from jaxlm.runtime.commands import told_errors


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
    commands.add_data_arguments(parser)
    arguments = parser.parse_args(argv)
    with told_errors():
        detector = face_detectors.build(arguments.detector)
        opened = open_model(arguments.weights, arguments.workdir, arguments.head)
        config = opened.trained.config
        dataset, data_dir = arguments.dataset or config.data.dataset, arguments.data_dir or config.data.data_dir
        judged = judging.judge(opened.trained, "", dataset, data_dir, arguments.split or judging.VALIDATION)
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
