"""Models on photos of a published archive, as strangers would use them: a face detector finds the faces.

python -m benchmarks.on_photos --dataset wflw --source WFLW --weights wflw98 other.npz

Each model takes the box of the detector that overlaps most with the face, calibrated to its own habit; nan where none
does. In a second column it takes the bounding box of the true points, brought to that habit, too. Errors are in % of
the distance of the outer eye corners, over the points of the archive, or those of them that the model finds.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np

from jaxlm import Landmarker
from jaxlm.checkpoints import LANDMARKS
from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.stored.published import open_published
from jaxlm.landmarks import geometry, photos
from jaxlm.prediction.detectors import overlap
from jaxlm.runtime.commands import told_errors

# Boxes of detectors and of points differ by a half of their size, those of neighbours do not overlap so much.
_SAME_FACE = 0.3


def errors(landmarker: Landmarker, faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """NME [n] in % by the detector's boxes, NaN where it finds no box of the face, and by those of the true points."""
    faces = faces.in_scheme(landmarker.scheme)
    found, true = np.full(len(faces), np.nan), np.full(len(faces), np.nan)
    assert faces.read_photo is not None
    calibration = landmarker.trained.boxes.get(LANDMARKS)
    for index, to_source in enumerate(faces.to_source):
        photo, _ = faces.read_photo(index)
        points = geometry.transform(faces.points[index].astype(np.float64), to_source.astype(np.float64))
        tight = np.concatenate([points.min(0), points.max(0)])
        box = geometry.calibrate_boxes(tight[None], calibration)[0, :4]
        boxes = landmarker.detect(photo)
        if len(boxes) and (shares := overlap(box, boxes)).max() > _SAME_FACE:
            found[index] = _error(landmarker, photo, boxes[shares.argmax()], points)
        true[index] = _error(landmarker, photo, box, points)
    return found, true


def _error(landmarker: Landmarker, photo: photos.Photo, box: np.ndarray, points: np.ndarray) -> float:
    (face,) = landmarker.predict(photo, boxes=[box])
    left, right = landmarker.scheme.eye_corners or (0, 1)
    distances = np.linalg.norm(face.points - points, axis=-1)
    return float(100 * distances.mean() / np.linalg.norm(points[left] - points[right]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="wflw", help="the format of the archive")
    parser.add_argument("--source", required=True, type=pathlib.Path, help="the folder of the archive")
    parser.add_argument("--weights", required=True, nargs="+", help="models of the archive's points or some of them")
    arguments = parser.parse_args()
    with told_errors():
        models = [Landmarker.load(name) for name in arguments.weights]
        splits, open_split = open_published(arguments.dataset, arguments.source)
        print("| face | " + " | ".join(f"{name}: detector | true box" for name in arguments.weights) + " |")
        print("|---|" + "---|---|" * len(arguments.weights))
        for split in splits:
            faces = open_split(split)
            columns = np.stack([column for model in models for column in errors(model, faces)], axis=1)
            for name, row in zip(faces.names, columns, strict=True):
                print(f"| {split}: {name} | " + " | ".join(f"{value:.3f}" for value in row) + " |")
            print(f"| **{split}** | " + " | ".join(f"{value:.3f}" for value in np.nanmean(columns, axis=0)) + " |")


if __name__ == "__main__":
    main()
