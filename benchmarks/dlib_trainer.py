"""dlib's landmark regressor trained on the same faces, to compare with: error and milliseconds a face.

python -m benchmarks.dlib_trainer --dataset SET [--data-dir DIR] [--scheme ibug68] [--out FILE.dat]

Kazemi and Sullivan, One Millisecond Face Alignment with an Ensemble of Regression Trees, CVPR 2014, in dlib's
implementation (extra [detect]) with its own settings. The faces it learns from, those held out, their boxes
and the metrics are those of `jaxlm.train` and `jaxlm.evaluate`. With `--conditions PACK.npz` the tables of `jaxlm
evaluate --conditions` follow, of the faces held out and of those of other sets.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import time

import cv2
import dlib
import numpy as np

from benchmarks import timing
from jaxlm.config import DataConfig
from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.input import open_splits, open_training
from jaxlm.evaluation import conditions, error_table, inference
from jaxlm.evaluation.judging import thresholds_of
from jaxlm.landmarks import load_scheme
from jaxlm.prediction.calibration import true_box
from jaxlm.runtime.commands import told_errors
from jaxlm.tasks import metrics

_ZOOM = 4
"""dlib's points are whole pixels: frames are enlarged, so that rounding does not count."""


def enlarge(coordinates: np.ndarray) -> list:
    """Coordinates in the pixels of a frame as whole numbers in those of the enlarged one."""
    return np.rint((coordinates + 0.5) * _ZOOM - 0.5).astype(int).tolist()


def frame_and_box(faces: Faces, index: int) -> tuple[np.ndarray, dlib.rectangle]:
    """A face's enlarged grey frame and dlib's rectangle of the face box in its middle."""
    grey = cv2.cvtColor(faces.images(np.asarray([index]))[0], cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_LINEAR)
    return grey, dlib.rectangle(*enlarge(true_box(faces)))


def train(faces: Faces) -> dlib.shape_predictor:
    """A regressor of the faces' points; dlib prints its progress."""
    options = dlib.shape_predictor_training_options()
    options.random_seed, options.num_threads, options.be_verbose = "0", os.cpu_count(), True
    frames, shapes = [], []
    for index in range(len(faces)):
        grey, box = frame_and_box(faces, index)
        frames.append(grey)
        points = [dlib.point(*point) for point in enlarge(faces.points[index])]
        shapes.append([dlib.full_object_detection(box, points)])
    return dlib.train_shape_predictor(frames, shapes, options)


def predict(predictor: dlib.shape_predictor, faces: Faces) -> tuple[np.ndarray, float]:
    """Points [n, P, 2] in pixels of the frames, and the median time of a face in seconds."""
    points, seconds = [], []
    for index in range(len(faces)):
        grey, box = frame_and_box(faces, index)
        start = time.perf_counter()
        shape = predictor(grey, box)
        seconds.append(time.perf_counter() - start)
        points.append([(part.x, part.y) for part in shape.parts()])
    return (np.asarray(points, np.float32) + 0.5) / _ZOOM - 0.5, float(np.median(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dlib_trainer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", required=True, help="a prepared set or a packed .npz file")
    parser.add_argument("--data-dir", default="data", help="where the set was prepared (default: %(default)s)")
    parser.add_argument("--scheme", default="ibug68", help="default: %(default)s")
    parser.add_argument("--conditions", nargs="*", metavar="SET", help="tables of conditions, of these sets, too")
    parser.add_argument("--out", type=pathlib.Path, help="file for the trained regressor")
    arguments = parser.parse_args()
    with told_errors():
        training, held_out = open_training(
            arguments.dataset, "train", arguments.data_dir, arguments.scheme, DataConfig().validation_percent
        )
        scheme = load_scheme(arguments.scheme)
        others = [
            faces.in_scheme(scheme)
            for name in arguments.conditions or ()
            for faces in open_splits(name, arguments.data_dir).values()
        ]
        start = time.perf_counter()
        predictor = train(training)
        minutes = (time.perf_counter() - start) / 60
        points, seconds = predict(predictor, held_out)
        if arguments.out:
            predictor.save(str(arguments.out))
    normaliser = metrics.default_normaliser(scheme)
    nme = inference.face_errors(points, held_out, scheme, normaliser)
    errors = error_table.error_rows(nme, {"full": np.ones(len(held_out), bool)}, thresholds_of(scheme))
    protocol = {
        "trained": f"{training.dataset}: {len(training)} faces, {minutes:.1f} minutes",
        "data": f"{held_out.dataset}, held out: {len(held_out)} faces, {scheme.num_points} points ({scheme.name})",
        "box": held_out.box,
        "NME": f"mean over points and faces, by {normaliser.replace('_', '-')} distance",
    }
    print(timing.environment(["dlib-bin"]))
    error_table.print_error_rows(errors, protocol)
    print(f"{1e3 * seconds:.2f} ms a face (median; one thread, the photo in grey and the box at hand)")
    if arguments.conditions is not None:
        for faces in [held_out, *others]:
            print(f"\n{faces.dataset}, {faces.split}: {len(faces)} faces")
            rows = conditions.measure(lambda made, _: predict(predictor, made)[0], faces, predict(predictor, faces)[0])
            conditions.print_conditions(rows)


if __name__ == "__main__":
    main()
