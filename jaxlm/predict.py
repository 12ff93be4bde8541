"""Landmarks of faces in photos, videos and a camera: `jaxlm predict PHOTO|FOLDER|GLOB|VIDEO ... --out DIR`

Writes predictions.json and predictions.csv (see jaxlm/prediction/files.py), and a picture of each photo, or a video,
with its points. What is found is kept in predictions.jsonl at once: the same command, given again, goes on after Ctrl-C
or a crash, and passes over files that are done. Other photos are added; another model, or the flip test, starts anew.

Boxes and points are (x, y) in pixels of the photo, upright as its EXIF data say, counted from 0. Photos of more than
100 megapixels are read at reduced size. In videos, faces are followed and their points smoothed. It prints how far
points move from frame to frame, before and after smoothing, in per cent of the face's size. `--camera` in place of
files takes a camera of this machine, shows it on a page of this machine, and records it until Ctrl-C.

The model is one that comes with jaxlm, of 68 points or, with `--points 98`, of 98, or that of `--weights` or
`--workdir`. Faces are those that the detector finds, of any size and turned in any direction, or those of `--box` or of
`--boxes FILE.csv`, with columns file, x1, y1, x2, y2. Such boxes follow the model's own convention; in a video they are
those of the first frame. Detections below the calibrated confidence are dropped, if the model says how sure it is.
Files that cannot be used, and photos without a face, are reported, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from jaxlm.checkpoints import shipped
from jaxlm.prediction import Landmarker, detectors
from jaxlm.prediction.box_tables import Row, boxes_of_table, distinct_boxes
from jaxlm.prediction.cameras import predict_camera
from jaxlm.prediction.predicting import predict_files
from jaxlm.prediction.sources import find_files
from jaxlm.runtime import commands
from jaxlm.runtime.progress import say


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = commands.parser("predict", __doc__)
    parser.add_argument("files", nargs="*", metavar="PHOTO|FOLDER|GLOB|VIDEO")
    parser.add_argument(
        "--camera", type=int, nargs="?", const=0, metavar="NUMBER", help="a camera in place of files; 0 is the first"
    )
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="DIR", help="folder of the files to write")
    commands.add_model_arguments(parser, required=False)
    parser.add_argument(
        "--points",
        type=int,
        choices=sorted(shipped.POINTS),
        help="which of the models that come with jaxlm, by its number of points (default: 68)",
    )
    parser.add_argument(
        "--least-confidence",
        type=float,
        metavar="MEAN",
        help="mean confidence, 0 to 1, below which a detection is dropped (default: what jaxlm calibrate measured)",
    )
    parser.add_argument(
        "--flip-test", action="store_true", help="average with the points of the mirrored crop, in twice the time"
    )
    parser.add_argument(
        "--format",
        choices=("coco",),
        help="write predictions_coco.json, too: COCO keypoints, to correct in a labelling tool",
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--detector",
        default="blazeface",
        help="blazeface, dlib, yunet:MODEL.onnx, or whole: each photo is one face (default: %(default)s)",
    )
    parser.add_argument(
        "--smallest",
        type=float,
        metavar="SHARE",
        help="look for faces down to this share of the photo's longer side, with blazeface (default: 0.08 or so)",
    )
    place.add_argument("--boxes", type=pathlib.Path, metavar="FILE.csv", help="columns file, x1, y1, x2, y2")
    place.add_argument(
        "--box",
        nargs=4,
        type=float,
        action="append",
        metavar=("X1", "Y1", "X2", "Y2"),
        help="first and last pixel of a face, for a single photo; may be repeated",
    )
    arguments = parser.parse_args(argv)
    if bool(arguments.files) == (arguments.camera is not None):
        parser.error("give photos, folders or videos, or --camera")
    if arguments.points is not None and arguments.path is not None:
        parser.error("--points chooses among the models that come with jaxlm; leave it out with --weights or --workdir")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of prediction; 0 where a face was found in every photo and nothing was wrong."""
    arguments = parse_arguments(argv)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    with commands.told_errors(), _orderly_end(arguments.out):
        least = arguments.least_confidence
        if least is not None and not 0 <= least <= 1:
            raise ValueError(f"--least-confidence is a mean confidence, 0 to 1, not {least:g}")
        problems: list[str] = []

        def tell_problem(problem: str) -> None:
            problems.append(problem)
            say(f"error: {problem}", error=True)

        files = find_files(arguments.files, tell_problem)
        if not files and arguments.camera is None:
            return 1
        if arguments.camera is not None and (arguments.box or arguments.boxes):
            raise ValueError("--box and --boxes are for files, not for a camera")
        if arguments.smallest is not None and (arguments.box or arguments.boxes):
            raise ValueError("--smallest is for photos whose faces are to be found, and boxes are given")
        if arguments.box and len(files) > 1:
            raise ValueError("--box is for a single photo; give the boxes of several in a table, --boxes FILE.csv")
        boxes = boxes_of_table(arguments.boxes, files) if arguments.boxes else None
        if arguments.box:
            rows = [
                Row(f"--box {number}", str(files[0]), np.asarray(box)) for number, box in enumerate(arguments.box, 1)
            ]
            boxes = {files[0]: distinct_boxes(rows)}
        landmarker = Landmarker.load(
            shipped.weights(shipped.POINTS[arguments.points]) if arguments.points else arguments.path,
            step=arguments.step,
            head=arguments.head,
            detector=detectors.build(arguments.detector, arguments.smallest),
            flip_test=arguments.flip_test,
            threads=1 if len(files) > 1 else None,  # Several photos are looked at at once, each on a core.
        )
        if least is not None and landmarker.trained.looks_at_photos:
            raise ValueError("--least-confidence is for models that say how sure they are, and this one does not")
        if least is not None:
            landmarker.least_confidence = least
        coco = arguments.format == "coco"
        if arguments.camera is None:
            problems += predict_files(files, landmarker, arguments.out, boxes, coco)
        else:
            problems += predict_camera(arguments.camera, landmarker, arguments.out, coco)
    say(f"Wrote {arguments.out / 'predictions.json'}, predictions.csv and pictures beside them")
    return 1 if problems else 0


@contextlib.contextmanager
def _orderly_end(out: pathlib.Path) -> Iterator[None]:
    """Ends the program after Ctrl-C and SIGTERM once its files are whole, with the usual statuses 130 and 143."""

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stopped:
        print(f"Stopped. What was found is in {out}; the same command goes on.", file=sys.stderr)
        raise SystemExit(stopped.code if isinstance(stopped, SystemExit) else 128 + signal.SIGINT) from None
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
