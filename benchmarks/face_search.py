"""Face detectors on photos of known faces: how many they find, what else, the error of the points, and the time.

python -m benchmarks.face_search --dataset 300w.npz --rendered small.npz [--detector blazeface dlib]

Scenes are made of prepared faces. Of the held-out ones of `--dataset`: their frames as they are, turned about the
middle, and nine in a group. Of `--rendered` (`jaxlm prepare synthetic`): photos of 1,000 px, of which a face takes a
share. Points are those of the weights that come with jaxlm, or of `--weights`, whose points can be read as 68. A
detection that the model is not sure of is dropped, as `Landmarker.predict` does. A face is found where a box that
remains overlaps with the true one by 0.3 or more.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks import timing
from jaxlm import Landmarker
from jaxlm.config import DataConfig
from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.input import open_faces, open_training
from jaxlm.landmarks import IBUG68, conversion, geometry
from jaxlm.prediction.calibration import true_box
from jaxlm.prediction.detectors import overlap
from jaxlm.runtime.commands import told_errors

SIDE = 1000
_SAME_FACE = 0.3
_OUTER_CORNERS = (36, 45)


class Scene(NamedTuple):
    """A photo RGB uint8 [H, W, 3], and the boxes [n, 4] and points [n, 68, 2] of its faces; NaN where not known."""

    photo: np.ndarray
    boxes: np.ndarray
    points: np.ndarray


def turned(faces: Faces, degrees: float) -> Iterator[Scene]:
    """Each face's frame, turned clockwise about its middle, where the face is."""
    side = faces.frame_size
    turn = geometry.rotation(degrees, np.full(2, (side - 1) / 2))
    for index in range(len(faces)):
        photo = cv2.warpAffine(faces.images(np.asarray([index]))[0], turn, (side, side))
        yield Scene(photo, true_box(faces)[None], geometry.transform(faces.points[index][None], turn))


def groups(faces: Faces, rows: int = 3) -> Iterator[Scene]:
    """The frames of nine faces in one photo; faces that are left over are left out."""
    side, box = faces.frame_size, true_box(faces)
    corners = side * np.stack(np.meshgrid(np.arange(rows), np.arange(rows)), axis=-1).reshape(-1, 2)
    for first in range(0, len(faces) - rows * rows + 1, rows * rows):
        frames = faces.images(np.arange(first, first + rows * rows)).reshape(rows, rows, side, side, 3)
        points = faces.points[first : first + rows * rows] + corners[:, None]
        yield Scene(np.concatenate(np.concatenate(frames, axis=1), axis=1), box + np.tile(corners, 2), points)


def of_share(faces: Faces, share: float, seed: int = 0) -> Iterator[Scene]:
    """Faces that take a share of the side of a photo, somewhere in it, on a ground of the frame's own border."""
    generator = np.random.default_rng(seed)
    side = round(faces.margin * share * SIDE)
    for index in range(len(faces)):
        frame = faces.images(np.asarray([index]))[0]
        frame = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
        scale = side / faces.frame_size
        box = (true_box(faces) + 0.5) * scale - 0.5
        if side > SIDE:  # The face stays in the middle; what surrounds it is cut.
            left = top = (side - SIDE) // -2
            photo = frame[-top : SIDE - top, -left : SIDE - left]
        else:
            left, top = generator.integers(0, SIDE - side + 1, 2)
            right, below = SIDE - side - left, SIDE - side - top
            photo = cv2.copyMakeBorder(frame, top, below, left, right, cv2.BORDER_REPLICATE)
        yield Scene(np.ascontiguousarray(photo), (box + np.tile([left, top], 2))[None], np.full((1, 68, 2), np.nan))


def measure(landmarker: Landmarker, scenes: Sequence[Scene]) -> str:
    """A row: faces found, other things found in a photo, NME of the faces found, milliseconds a photo to look."""
    landmarker.detect(scenes[0].photo)
    as_68 = conversion(landmarker.scheme, IBUG68)
    found, false, total, errors, seconds = 0, 0, 0, list[float](), list[float]()
    for scene in scenes:
        began = time.perf_counter()
        boxes = landmarker.detect(scene.photo)
        seconds.append(time.perf_counter() - began)
        faces = [face for face in landmarker.predict(scene.photo, boxes) if landmarker.sees(face)]
        matched = set()
        for box, points in zip(scene.boxes, scene.points, strict=True):
            shared = overlap(box, np.array([face.box for face in faces]).reshape(-1, 4))
            total += 1
            if len(faces) and shared.max() >= _SAME_FACE:
                found += 1
                matched.add(int(np.argmax(shared)))
                corners = points[_OUTER_CORNERS[0]] - points[_OUTER_CORNERS[1]]
                distances = np.linalg.norm(faces[np.argmax(shared)].points[as_68] - points, axis=1)
                errors.append(float(distances.mean() / np.linalg.norm(corners)) * 100)
        false += len(faces) - len(matched)
    error = "" if np.isnan(errors).all() else f"{np.nanmean(errors):.2f} ({np.nanmedian(errors):.2f})"
    return f"{found} of {total} | {false / len(scenes):.2f} | {error} | {np.median(seconds) * 1e3:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="a prepared set or pack of 68 points")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--rendered", required=True, help="a prepared set or pack of rendered faces")
    parser.add_argument("--weights", default="ibug68", help="a file, or ibug68 or wflw98, which come with jaxlm")
    parser.add_argument("--detector", nargs="+", default=["blazeface", "dlib"])
    parser.add_argument("--faces", type=int, help="at most so many of each set (default: all)")
    arguments = parser.parse_args()
    with told_errors():
        held_out = open_training(
            arguments.dataset, "train", arguments.data_dir, "ibug68", DataConfig().validation_percent
        )[1]
        rendered = open_faces(arguments.rendered, "train", arguments.data_dir)
        landmarkers = {name: Landmarker.load(arguments.weights, detector=name) for name in arguments.detector}
    held_out, rendered = (faces.take(np.arange(len(faces))[: arguments.faces]) for faces in (held_out, rendered))
    print(timing.environment(["opencv-python-headless", "dlib-bin"]))
    print("| scene | detector | found | others a photo | NME, %: mean (median) | ms a photo |")
    print("|---|---|---|---|---|---|")
    for title, make in scenes_of(held_out, rendered):
        made = list(make())
        for name, landmarker in landmarkers.items():
            print(f"| {title} | {name} | {measure(landmarker, made)} |", flush=True)


def scenes_of(held_out: Faces, rendered: Faces) -> Iterator[tuple[str, Callable[[], Iterator[Scene]]]]:
    """Titles, and what makes their scenes."""
    for degrees in (0, 45, 90, 135, 180):
        title = f"frame of {held_out.frame_size} px" + (f", turned by {degrees} degrees" if degrees else "")
        yield title, functools.partial(turned, held_out, degrees)
    yield "nine frames in a photo", functools.partial(groups, held_out)
    for share in (0.6, 0.4, 0.25, 0.17, 0.12, 0.08):
        yield f"rendered, {share:.0%} of the side", functools.partial(of_share, rendered, share)


if __name__ == "__main__":
    main()
