"""Whether confidences are true: maps from raw scores fitted on one half of the faces and judged by the other.

    python -m benchmarks.confidence --dataset 300w.npz --others fs.npz:train aflw2000.npz:test --photos PHOTOS --out DIR

The held-out faces of `--dataset` are halved by photo, each half judges the map that the other fitted, and that is done
for several draws. The map of the shipped weights, fitted on all of them, is judged by `--others`, and its mean by boxes
at random places of `--photos` in which the face detector sees no face. It prints tables and writes pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from jaxlm import Landmarker
from jaxlm.checkpoints import open_model, shipped
from jaxlm.drawing import confidence_plots, plots
from jaxlm.evaluation import VALIDATION, evaluate_model, point_errors
from jaxlm.landmarks import photos
from jaxlm.landmarks.schemes import IBUG68
from jaxlm.prediction import detectors, reliability
from jaxlm.prediction.doubts import UNSURE_FACE
from jaxlm.runtime.commands import told_errors

DRAWS, BOXES_A_PHOTO = 10, 30
_PARTS = tuple(np.array(part) for part in IBUG68.parts.values())
# Raw scores [n, N] and errors [n, N] to what gives probabilities [m, N] of raw scores [m, N].
Fit = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


class Judged(NamedTuple):
    """Raw scores and errors [n, N] of faces, and the photo or person of each."""

    raw: np.ndarray
    errors: np.ndarray
    groups: np.ndarray


def judge(dataset: str, split: str, flip_test: bool = False) -> Judged:
    """The shipped weights on faces, without the map."""
    trained = dataclasses.replace(open_model(shipped.NAME), confidence=None)
    found = evaluate_model(trained, shipped.NAME, dataset, None, split, "inter_ocular", flip_test)
    errors = point_errors(found.predicted.points, found.faces, trained.scheme, "inter_ocular")
    return Judged(found.predicted.confidence, errors, np.array(found.faces.groups))


def pool_adjacent_violators(values: np.ndarray) -> np.ndarray:
    """The non-falling sequence [n] nearest to values [n] by squares: isotonic regression, by the means of blocks."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, count = float(value), 1
        while blocks and blocks[-1][0] >= mean:
            before, many = blocks.pop()
            mean, count = (before * many + mean * count) / (many + count), many + count
        blocks.append((mean, count))
    return np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])


def isotonic(raw: np.ndarray, near: np.ndarray, knots: int = 8) -> Callable[[np.ndarray], np.ndarray]:
    """A piecewise-linear table: bins of equal numbers, made monotone."""
    order = np.argsort(raw, axis=None)
    bins = np.array_split(order, knots)
    means = np.array([raw.flat[part].mean() for part in bins])
    shares = np.array([(near.flat[part].sum() + 1) / (len(part) + 2) for part in bins])
    table = pool_adjacent_violators(shares)
    return lambda scores: np.interp(scores, means, table)


def of_parts(fit: Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]) -> Fit:
    """A fit for each part of the face."""

    def fit_parts(raw: np.ndarray, errors: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        near = reliability.near_points(errors)
        maps = [fit(raw[:, part], near[:, part]) for part in _PARTS]

        def apply(scores: np.ndarray) -> np.ndarray:
            found = np.empty(scores.shape)
            for part, one in zip(_PARTS, maps, strict=True):
                found[:, part] = one(scores[:, part])
            return found

        return apply

    return fit_parts


def shares_by_point(raw: np.ndarray, errors: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The share of near points of each landmark, whatever the score."""
    del raw
    share = (reliability.near_points(errors).sum(0) + 1) / (len(errors) + 2)
    return lambda scores: np.broadcast_to(share, scores.shape)


def logistic(raw: np.ndarray, errors: np.ndarray, by_part: bool = True) -> Callable[[np.ndarray], np.ndarray]:
    """What `calibrate` fits; without `by_part` one line for all points."""
    scheme = IBUG68 if by_part else dataclasses.replace(IBUG68, parts={})
    fitted = reliability.fit_confidence(raw, errors, scheme)
    return lambda scores: np.asarray(fitted.confidence(scores))


MAPS: Mapping[str, Fit] = {
    "share of each landmark, no score": shares_by_point,
    "isotonic, all points": lambda raw, errors: isotonic(raw, reliability.near_points(errors)),
    "logistic, all points": lambda raw, errors: logistic(raw, errors, by_part=False),
    "isotonic, by part": of_parts(isotonic),
    "logistic, by part": logistic,
}


def halves(groups: np.ndarray, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """The faces in two halves, those of a photo in one."""
    names = np.random.default_rng(draw).permutation(np.unique(groups))
    first = np.isin(groups, names[: len(names) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def cross_fitted(fit: Fit, faces: Judged, draw: int) -> np.ndarray:
    """Probabilities [n, N], each of the map that the other half fitted."""
    found = np.empty(faces.raw.shape)
    one, other = halves(faces.groups, draw)
    for mine, judging in ((one, other), (other, one)):
        found[judging] = fit(faces.raw[mine], faces.errors[mine])(faces.raw[judging])
    return found


def figures(sure: np.ndarray, errors: np.ndarray) -> list[float]:
    """Log loss, calibration error in %, and that of each part."""
    near = reliability.near_points(errors)
    clipped = np.clip(sure, 1e-6, 1 - 1e-6)
    loss = -np.mean(near * np.log(clipped) + (1 - near) * np.log(1 - clipped))
    parts = [100 * reliability.calibration_error(sure[:, part], near[:, part]) for part in _PARTS]
    return [float(loss), 100 * reliability.calibration_error(sure, near), *parts]


def expected(faces: Judged, draw: int) -> list[list[float]]:
    """How the errors that each half expects of the other, by the map and by the mean of each landmark, fit these.

    Mean and mean absolute difference, both in % of the eye distance, R2, and the rank correlation of faces.
    """
    by_map, by_point = np.empty(faces.errors.shape), np.empty(faces.errors.shape)
    one, other = halves(faces.groups, draw)
    for mine, judging in ((one, other), (other, one)):
        fitted = reliability.fit_confidence(faces.raw[mine], faces.errors[mine], IBUG68)
        by_map[judging] = fitted.expected_error(np.asarray(fitted.confidence(faces.raw[judging])))
        by_point[judging] = faces.errors[mine].mean(0)
    rows = []
    for found in (by_map, by_point):
        left = found - faces.errors
        ranks = [np.argsort(np.argsort(values.mean(1))) for values in (found, faces.errors)]
        explained = 1 - np.mean(left**2) / np.var(faces.errors)
        rows.append([100 * found.mean(), 100 * np.abs(left).mean(), explained, np.corrcoef(*ranks)[0, 1]])
    return rows


def empty_boxes(folder: pathlib.Path, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean raw scores and mean confidences [n] of boxes at random places of photos in which nobody is seen."""
    landmarker, raw = Landmarker.load(), Landmarker(dataclasses.replace(open_model(shipped.NAME), confidence=None))
    search, generator, means = detectors.build("blazeface", 0.03), np.random.default_rng(seed), list[list[float]]()
    for path in sorted(folder.rglob("*.jpg")):
        photo, chosen = photos.as_photo(path), list[np.ndarray]()
        known, size = search(photo)[:, :4], np.array(photo.shape[1::-1])
        for _ in range(100 * BOXES_A_PHOTO):
            side = generator.uniform(0.1, 0.5) * size.min()
            low = generator.uniform(0, size - side)
            overlap = np.minimum(low + side, known[:, 2:]) - np.maximum(low, known[:, :2])
            if len(chosen) < BOXES_A_PHOTO and not (overlap > 0).all(1).any():
                chosen.append(np.array([*low, *low + side]))
        found = [model.predict(photo, chosen) if chosen else [] for model in (raw, landmarker)]
        means += [[float(face.confidence.mean()) for face in pair] for pair in zip(*found, strict=True)]
    raw_means, mapped_means = np.array(means).T
    return raw_means, mapped_means


def run(dataset: str, others: list[str], folder: pathlib.Path | None, out: pathlib.Path) -> None:
    """Prints the tables and writes the pictures."""
    faces, ships = judge(dataset, VALIDATION), open_model(shipped.NAME).confidence
    assert ships is not None
    print("map | log loss | calibration error, % | " + " | ".join(IBUG68.parts))
    for name, fit in MAPS.items():
        of_draws = [figures(cross_fitted(fit, faces, draw), faces.errors) for draw in range(DRAWS)]
        print(f"{name} | " + " | ".join(f"{value:.3f}" for value in np.mean(of_draws, 0)))
    print("expected error | mean, % | mean absolute difference, % | R2 | rank correlation of faces")
    for name, row in zip(
        ("by the map", "by landmark"), np.mean([expected(faces, d) for d in range(DRAWS)], 0), strict=True
    ):
        print(f"{name} | " + " | ".join(f"{value:.3f}" for value in row))
    flipped = judge(dataset, VALIDATION, flip_test=True)
    of_draws = [figures(cross_fitted(logistic, flipped, draw), flipped.errors)[1] for draw in range(DRAWS)]
    print(f"flip test: calibration error {np.mean(of_draws):.3f} %")

    sets = {"300-W, held out, cross-fitted": (cross_fitted(logistic, faces, 0), faces)}
    for one in others:
        pack, _, split = one.rpartition(":")
        judged = judge(pack, split)
        sets[pathlib.Path(pack).stem] = np.asarray(ships.confidence(judged.raw)), judged
    bins, curves = {}, {}
    print(
        "faces | n | confidence | near | calibration error, % | NME | expected | at 90, 80, 50 % kept | unsure: n, NME"
    )
    for name, (sure, judged) in sets.items():
        near, nme, mean = reliability.near_points(judged.errors), judged.errors.mean(1), sure.mean(1)
        bins[name], curves[name] = reliability.reliability_bins(sure, near)[:2], reliability.risk_by_coverage(mean, nme)
        kept = [100 * curves[name][1][round(share * len(nme)) - 1] for share in (0.9, 0.8, 0.5)]
        unsure = mean < UNSURE_FACE
        numbers = [sure.mean(), near.mean(), 100 * reliability.calibration_error(sure, near), 100 * nme.mean()]
        numbers += [100 * ships.expected_error(sure).mean(), *kept, unsure.sum()]
        numbers += [100 * nme[unsure].mean() if unsure.any() else np.nan, mean.min()]
        print(f"{name} | {len(nme)} | " + " | ".join(f"{value:.3f}" for value in numbers))
    sure, near = cross_fitted(logistic, faces, 0), reliability.near_points(faces.errors)
    by_part = {
        name.replace("_", " "): reliability.reliability_bins(sure[:, part], near[:, part], 5)[:2]
        for name, part in zip(IBUG68.parts, _PARTS, strict=True)
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in (("sets", bins), ("parts", by_part)):
        figure = confidence_plots.reliability_figure(lines, near="within 5 %", protocol="Shipped weights: reliability")
        plots.save(figure, out / f"confidence_{name}.png", dpi=110)
    figure = confidence_plots.risk_coverage_figure(curves, protocol="Shipped weights, by inter-ocular distance")
    plots.save(figure, out / "confidence_risk.png", dpi=110)
    for seed in (0, 1) if folder else ():
        raw, mapped = empty_boxes(folder, seed)
        least = open_model(shipped.NAME).least_confidence
        passing = (
            f"raw of 0.65 or more: {(raw >= 0.65).sum()}, confidence of {least} or more: {(mapped >= least).sum()}"
        )
        print(f"empty boxes, seed {seed}: {len(raw)}; {passing}; most {raw.max():.3f} and {mapped.max():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="the pack whose held-out faces fitted the map")
    parser.add_argument("--others", nargs="*", default=[], metavar="PACK:SPLIT", help="faces that did not")
    parser.add_argument("--photos", type=pathlib.Path, help="folder of photos with much beside faces")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder of the pictures")
    arguments = parser.parse_args()
    with told_errors():
        run(arguments.dataset, arguments.others, arguments.photos, arguments.out)


if __name__ == "__main__":
    main()
