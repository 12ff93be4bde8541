"""Two models on the same rendered faces, side by side: turned faces, and faces with closed eyes.

python -m benchmarks.before_after --before OLD.npz --after ibug68 --out experiments/pictures

Each picture has a row of faces with the points of `--before` and one with those of `--after`. The errors, in % of the
size of the face box, are printed for many more faces than are drawn.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np

from jaxlm import Landmarker
from jaxlm.data_pipelines.synthetic import Face, render
from jaxlm.drawing import pictures
from jaxlm.evaluation import conditions
from jaxlm.files.folders import make_folder
from jaxlm.landmarks import IBUG68, WFLW98, conversion
from jaxlm.runtime.commands import told_errors

_AS_68 = conversion(WFLW98, IBUG68)
_TURNED = 0.35
"""Where the nose lies between the outer eye corners, as a share of their distance from the middle: about 45 degrees."""


def is_turned(points: np.ndarray) -> bool:
    """Whether the tip of the nose, of 68 points, lies to the side of the middle of the eyes."""
    left, right = points[[36, 45]]
    across = right - left
    return abs((points[30] - (left + right) / 2) @ across / (across @ across)) > _TURNED


def has_closed_eyes(points: np.ndarray) -> bool:
    """Whether both eyes of a face of 68 points that looks at the camera are closed."""
    gaps = [float(conditions.lids_of(points[None, list(IBUG68.parts[eye])])[1][0]) for eye in ("left_eye", "right_eye")]
    return max(gaps) < conditions.CLOSED and not is_turned(points)


KINDS = {"turned": is_turned, "closed_eyes": has_closed_eyes}


def faces_of(kind: str, seed: int) -> Iterator[tuple[Face, np.ndarray]]:
    """Rendered faces of a kind, with their 68 points."""
    for index in itertools.count():
        face = render(seed, index)
        points = face.points[_AS_68]
        if KINDS[kind](points):
            yield face, points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, help="weights of points that can be read as 68")
    parser.add_argument("--after", required=True, help="other weights of such points")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder for the pictures")
    parser.add_argument("--count", type=int, default=200, help="faces of each kind that are judged")
    parser.add_argument("--drawn", type=int, default=6, help="faces of each kind that are drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the renderer")
    arguments = parser.parse_args()
    with told_errors():
        models = {name: Landmarker.load(name) for name in (arguments.before, arguments.after)}
        as_68 = {name: conversion(model.scheme, IBUG68) for name, model in models.items()}
        make_folder(arguments.out)
    for kind in KINDS:
        rows: dict[str, list[np.ndarray]] = {name: [] for name in models}
        errors: dict[str, list[float]] = {name: [] for name in models}
        for face, points in itertools.islice(faces_of(kind, arguments.seed), arguments.count):
            low, high = points.min(0), points.max(0)
            middle, half = (low + high) / 2, 0.55 * (high - low).max()
            for name, model in models.items():
                (found,) = model.predict(face.image, boxes=[[*(middle - half), *(middle + half)]])
                ours = found.points[as_68[name]]
                distances = np.linalg.norm(ours - points, axis=-1)
                errors[name].append(100 * distances.mean() / np.sqrt(np.prod(high - low)))
                if len(rows[name]) < arguments.drawn:
                    rows[name].append(pictures.draw_face(face.image, ours, IBUG68))
        picture = np.concatenate([np.concatenate(row, axis=1) for row in rows.values()])
        file = arguments.out / f"before_after_{kind}.jpg"
        cv2.imwrite(str(file), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
        for name, found in errors.items():
            failures = 100 * float(np.mean(np.asarray(found) > 10))
            print(f"{kind}, {len(found)} faces, {name}: NME {np.mean(found):.2f} % of the box, FR@10 {failures:.1f}")
        print(f"Wrote {file}")


if __name__ == "__main__":
    main()
