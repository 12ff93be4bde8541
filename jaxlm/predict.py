"""Landmarks of faces in photos and videos: `jaxlm predict PHOTO|FOLDER|GLOB|VIDEO ... --out DIR`

Writes predictions.json and predictions.csv (see jaxlm/prediction/files.py), and a picture of each photo, or a video,
with its points. Boxes and points are (x, y) in pixels of the photo, upright as its EXIF data say, counted from 0.
Photos of more than 100 megapixels are read at reduced size. In videos, faces are followed and their points smoothed. It
prints how far points move from frame to frame, before and after smoothing, in per cent of the face's size.

The model is the one that comes with jaxlm, or that of `--weights` or `--workdir`. Faces are those that `--detector`
finds (`dlib`, `yunet:MODEL.onnx`, or `whole`: each photo is one face), or those of `--box` or of `--boxes FILE.csv`,
with columns file, x1, y1, x2, y2. Such boxes follow the model's own convention; in a video they are those of the first
frame. Detections below the calibrated confidence are dropped. Files that cannot be used, and photos without a face, are
reported and left out, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

import jax
import numpy as np

from jaxlm.prediction import Landmarker
from jaxlm.prediction.box_tables import boxes_of_table
from jaxlm.prediction.predicting import find_files, predict_files
from jaxlm.runtime import commands


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = commands.parser("predict", __doc__)
    parser.add_argument("files", nargs="+", metavar="PHOTO|FOLDER|GLOB|VIDEO")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="DIR", help="folder of the files to write")
    commands.add_model_arguments(parser, required=False)
    parser.add_argument(
        "--least-confidence",
        type=float,
        metavar="MEAN",
        help="mean confidence, 0 to 1, below which a detection is dropped (default: what jaxlm calibrate measured)",
    )
    parser.add_argument(
        "--flip-test", action="store_true", help="average with the points of the mirrored crop, in twice the time"
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--detector", help="dlib, yunet:MODEL.onnx or whole (default: dlib if installed, else whole)")
    place.add_argument("--boxes", type=pathlib.Path, metavar="FILE.csv", help="columns file, x1, y1, x2, y2")
    place.add_argument(
        "--box",
        nargs=4,
        type=float,
        action="append",
        metavar=("X1", "Y1", "X2", "Y2"),
        help="first and last pixel of a face, for a single photo; may be repeated",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of prediction; 0 where a face was found in every photo and nothing was wrong."""
    arguments = parse_arguments(argv)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    with commands.told_errors():
        files = find_files(arguments.files)
        if arguments.box and len(files) > 1:
            raise ValueError("--box is for a single photo; give the boxes of several in a table, --boxes FILE.csv")
        boxes = boxes_of_table(arguments.boxes, files) if arguments.boxes else None
        boxes = {files[0]: [np.asarray(box) for box in arguments.box]} if arguments.box else boxes
        landmarker = Landmarker.load(
            arguments.path,
            step=arguments.step,
            head=arguments.head,
            detector=arguments.detector,
            flip_test=arguments.flip_test,
        )
        if arguments.least_confidence is not None:
            landmarker.least_confidence = arguments.least_confidence
        problems = predict_files(files, landmarker, arguments.out, boxes)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(f"Wrote {arguments.out / 'predictions.json'}, predictions.csv and pictures beside them")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
