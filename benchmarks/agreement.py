"""How much of an error is the labels': two models that agree with each other, but not with the labels, say so.

python -m benchmarks.agreement runs/A/evaluation/SET/predictions.npz runs/B/evaluation/SET/predictions.npz

The files are those of `jaxlm evaluate` for the same faces with 68 points, in any order. Distances are means in % of the
inter-ocular distance. Where along the jaw a point of the contour lies is the least certain of all labels; so the last
row has the distance of the labels to the line through the first model's contour, wherever on it they lie.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

import numpy as np

from jaxlm.files.archives import Archive
from jaxlm.landmarks.schemes import IBUG68
from jaxlm.runtime.commands import told_errors

_CONTOUR = list(IBUG68.parts["contour"])
_OTHERS = [point for point in range(IBUG68.num_points) if point not in _CONTOUR]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Points and labels [n, 68, 2] of faces in the order of their names, in pixels of the source photos."""

    names: np.ndarray
    points: np.ndarray
    truth: np.ndarray


def read(path: pathlib.Path) -> Predictions:
    """Raises ValueError with the file's name where it is no file of `jaxlm evaluate` for faces with 68 points."""
    archive = Archive(path, "not what jaxlm evaluate wrote")
    names = archive.read("names", "U", (None,))
    shape = (len(names), IBUG68.num_points, 2)
    points, truth = (archive.read(name, "f", shape).astype(np.float64) for name in ("points", "truth"))
    order = np.argsort(names)
    return Predictions(names[order], points[order], truth[order])


def to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """The distance [n, p] of each of the points [n, p, 2] to its face's broken line through the corners [n, c, 2]."""
    starts, steps = line[:, None, :-1], np.diff(line, axis=1)[:, None]
    away = points[:, :, None] - starts
    lengths = np.maximum((steps**2).sum(-1), np.finfo(np.float64).tiny)
    share = np.clip((away * steps).sum(-1) / lengths, 0, 1)
    return np.linalg.norm(away - share[..., None] * steps, axis=-1).min(-1)


def rows(first: Predictions, second: Predictions) -> list[tuple[str, float, float, float]]:
    """What is compared, and its distances in %: of all points, of the contour and of the others.

    Raises:
      ValueError: The two are not of the same faces.
    """
    if not np.array_equal(first.names, second.names) or not np.allclose(first.truth, second.truth):
        raise ValueError("the two files are not of the same faces and labels")
    left, right = IBUG68.eye_corners or (0, 1)
    eyes = np.linalg.norm(first.truth[:, left] - first.truth[:, right], axis=-1)

    def distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
        return 100 * np.linalg.norm(points - others, axis=-1) / eyes[:, None]

    compared = {
        "first to labels": distances(first.points, first.truth),
        "second to labels": distances(second.points, second.truth),
        "mean of both to labels": distances((first.points + second.points) / 2, first.truth),
        "first to second": distances(first.points, second.points),
    }
    along = compared["first to labels"].copy()
    along[:, _CONTOUR] = 100 * to_line(first.truth[:, _CONTOUR], first.points[:, _CONTOUR]) / eyes[:, None]
    compared["labels to the first's line"] = along
    return [(name, of.mean(), of[:, _CONTOUR].mean(), of[:, _OTHERS].mean()) for name, of in compared.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=pathlib.Path, metavar="FIRST.npz")
    parser.add_argument("second", type=pathlib.Path, metavar="SECOND.npz")
    arguments = parser.parse_args()
    with told_errors():
        found = rows(read(arguments.first), read(arguments.second))
    print("| distance in % of the eye distance | all points | contour | other points |\n|---|---|---|---|")
    for name, *values in found:
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")


if __name__ == "__main__":
    main()
