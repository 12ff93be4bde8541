"""Evaluation: `python -m jaxlm.evaluate --workdir DIR --dataset wflw` prints NME, FR and AUC with their protocol.

Every face counts exactly once, whatever the batch size and the number of devices; FR and AUC are computed over all
faces at once, never averaged over batches.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import checkpoint, distributed, inference, metrics, pictures, plotting
from jaxlm.config import Config
from jaxlm.landmarks import load_scheme
from jaxlm.scheme import Scheme

if TYPE_CHECKING:
    from data_pipelines.input import Faces

VALIDATION = "validation"
_WORST = 24


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: a subset of the faces and its figures; NME and FR in per cent, AUC in 0..1."""

    subset: str
    faces: int
    nme: float
    failure_rate: Mapping[str, float]
    auc: Mapping[str, float]


def table(nme: np.ndarray, subsets: Mapping[str, np.ndarray], thresholds: Sequence[float]) -> list[Row]:
    """Rows for the masks [n] in `subsets` over the faces' NME [n]; empty subsets are left out."""
    summarise = jax.jit(metrics.summarise)
    rows = []
    for subset, mask in subsets.items():
        if not mask.any():
            continue
        summary = jax.device_get(summarise(nme, mask, jnp.asarray(thresholds)))
        labels = [f"{100 * threshold:g}" for threshold in thresholds]
        failure_rate = [100 * float(rate) for rate in summary.failure_rate]
        rows.append(
            Row(
                subset=subset,
                faces=int(mask.sum()),
                nme=100 * float(summary.nme),
                failure_rate=dict(zip(labels, failure_rate, strict=True)),
                auc=dict(zip(labels, map(float, summary.auc), strict=True)),
            )
        )
    return rows


def mean_of_bins(rows: Sequence[Row]) -> Row | None:
    """The plain mean of the rows of the yaw bins, "all" in the tables of AFLW2000-3D; None if a bin is missing."""
    bins = [row for row in rows if row.subset.startswith("yaw")]
    if len(bins) < 3:
        return None
    return Row(
        subset="mean of bins",
        faces=sum(row.faces for row in bins),
        nme=float(np.mean([row.nme for row in bins])),
        failure_rate={t: float(np.mean([row.failure_rate[t] for row in bins])) for t in bins[0].failure_rate},
        auc={t: float(np.mean([row.auc[t] for row in bins])) for t in bins[0].auc},
    )


def print_report(rows: Sequence[Row], protocol: Mapping[str, Any]) -> None:
    """Prints the protocol, then the rows as aligned columns."""
    for name, value in protocol.items():
        print(f"{name + ':':12s}{value}")
    labels = list(rows[0].auc)
    head = "".join(f"{f'FR@{label} %':>10s}{f'AUC@{label}':>10s}" for label in labels)
    print(f"\n{'subset':14s}{'faces':>7s}{'NME %':>9s}{head}")
    for row in rows:
        cells = "".join(f"{row.failure_rate[label]:10.2f}{row.auc[label]:10.4f}" for label in labels)
        print(f"{row.subset:14s}{row.faces:7d}{row.nme:9.3f}{cells}")
    print()


def thresholds_of(scheme: Scheme) -> tuple[float, ...]:
    """Where FR and AUC are taken: 8 and 10 % for 300-W's points, 10 % for the others, as their literatures do."""
    return (0.08, 0.10) if scheme.name == "ibug68" else (0.10,)


def open_evaluation(
    config: Config, dataset: str, split: str | None, data_dir: str
) -> tuple[Faces, dict[str, np.ndarray]]:
    """The faces to evaluate on, in the scheme of `config`, and masks [n] over them for each subset.

    `split` is a split of the prepared set, several joined with +, `full`, or `validation`: the part of the training
    split that `config` holds out. By default it is the set's test split or splits, and `validation` where it has none.
    Subsets are the splits, if there are several, all faces, the attributes, and the bins of yaw where it is known.

    Raises:
      ValueError: There is no such split, or no face in it.
      FileNotFoundError: The set is not prepared.
    """
    from data_pipelines import input as input_lib

    splits = input_lib.open_splits(dataset, data_dir)
    if split is None:
        trained_on = {part.partition("[")[0] for part in config.data.train_split.split("+")}
        split = "+".join(name for name in splits if name not in trained_on) or VALIDATION
    if split == VALIDATION and VALIDATION not in splits:
        training = input_lib.open_faces(dataset, config.data.train_split, data_dir)
        held_out = input_lib.hold_out(training, config.data.validation_percent)[1]
        parts = {VALIDATION: dataclasses.replace(held_out, split=VALIDATION)}
    else:
        names = input_lib.SPLIT_UNIONS.get(split, split).split("+")
        parts = {name: input_lib.open_faces(dataset, name, data_dir) for name in names}
    faces = input_lib.join(list(parts.values())).in_scheme(config.data.scheme)
    if not len(faces):
        raise ValueError(f"{dataset} has no faces in split {split}")
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts.values()])
    masks = {name: owner == index for index, name in enumerate(parts)} if len(parts) > 1 else {}
    masks["full"] = np.ones(len(faces), bool)
    return faces, masks | input_lib.subset_masks(faces)


def report(
    workdir: pathlib.Path,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    normaliser: str | None = None,
    step: int | None = None,
    flip_test: bool = False,
    head: str | None = None,
) -> list[Row]:
    """Evaluates a trained model, prints the table, and writes metrics, predictions and pictures.

    They go to `WORKDIR/evaluation/DATASET-SPLIT/`, and those of a named head to `DATASET-SPLIT-HEAD`; the arguments are
    those of the command line.
    """
    trained = checkpoint.load_model(workdir, step, head)
    config, scheme = trained.config, load_scheme(trained.config.data.scheme)
    faces, subsets = open_evaluation(config, dataset or config.data.dataset, split, data_dir or config.data.data_dir)
    # Where yaws are known the convention is that of AFLW2000-3D.
    normaliser = normaliser or ("box" if np.isfinite(faces.yaw).any() else metrics.default_normaliser(scheme))
    flip, mesh = scheme.flip if flip_test else None, distributed.make_mesh()
    predictor = inference.Predictor(trained.model, trained.task, config, faces.margin, mesh, flip=flip)
    predicted = predictor(trained.variables, faces)
    nme = inference.face_errors(predicted.points, faces, scheme, normaliser)
    rows = table(nme, subsets, thresholds_of(scheme))
    bins = mean_of_bins(rows)
    rows += [bins] if bins else []
    which = f", head {head}" if head else ""
    protocol = {
        "run": f"{workdir}, step {trained.step}{which}" + (", averaged with the mirrored crop" if flip_test else ""),
        "data": f"{faces.dataset}, {faces.split}: {len(faces)} faces, {scheme.num_points} points ({scheme.name})",
        "box": faces.box,
        "NME": f"mean over points and faces, by {normaliser.replace('_', '-')} distance",
        "FR, AUC": "FR at t: share of faces with NME > t; AUC to t: exact area; t in % beside them",
    }
    if jax.process_index() == 0:
        print_report(rows, protocol)
        name = "-".join([faces.dataset, faces.split, *([head] if head else [])])
        directory = pathlib.Path(workdir) / "evaluation" / name
        files = write_report(directory, faces, predicted, nme, scheme, rows, subsets, protocol)
        print("Wrote " + "\n      ".join(str(file) for file in files))
    return rows


def write_report(
    directory: pathlib.Path,
    faces: Faces,
    predicted: inference.Predictions,
    nme: np.ndarray,
    scheme: Scheme,
    rows: Sequence[Row],
    subsets: Mapping[str, np.ndarray],
    protocol: Mapping[str, Any],
) -> list[pathlib.Path]:
    """Writes metrics.json, predictions.npz (in pixels of the source photos), ced.png and worst.png."""
    directory.mkdir(parents=True, exist_ok=True)
    names = ("metrics.json", "predictions.npz", "ced.png", "worst.png")
    metrics_file, predictions_file, ced_file, worst_file = files = [directory / name for name in names]
    document = {"protocol": protocol, "rows": [dataclasses.asdict(row) for row in rows]}
    metrics_file.write_text(json.dumps(document, indent=2) + "\n")
    in_photo = [
        np.einsum("nij,npj->npi", faces.to_source[:, :, :2], points) + faces.to_source[:, None, :, 2]
        for points in (predicted.points, faces.points)
    ]
    arrays = {"names": np.array(faces.names), "points": in_photo[0], "truth": in_photo[1], "nme": nme}
    if predicted.confidence is not None:
        arrays["confidence"] = predicted.confidence
    np.savez(predictions_file, **arrays)
    title = f"{faces.dataset} {faces.split}, {protocol['NME'].split(', ')[1]}"
    curves = {name: nme[mask] for name, mask in subsets.items() if mask.any()}
    plotting.ced_plot(ced_file, curves, thresholds_of(scheme), protocol=title)
    worst = np.argsort(-nme)[:_WORST]
    pictures.worst_faces(
        worst_file,
        faces.images(worst),
        predicted.points[worst],
        faces.points[worst],
        nme[worst],
        scheme,
        protocol=title,
    )
    return files


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of commands that judge a run by some faces, `dataset`, `data_dir` and `split`."""
    parser.add_argument("--dataset", help="a prepared set or a packed .npz file (default: the one trained on)")
    parser.add_argument("--data-dir", help="where the set was prepared (default: as in training)")
    parser.add_argument("--split", help="default: the set's test splits, else the part held out from training")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of evaluation."""
    parser = argparse.ArgumentParser(prog="python -m jaxlm.evaluate", description=__doc__)
    parser.add_argument("--workdir", required=True, type=pathlib.Path, help="of the training run")
    add_data_arguments(parser)
    parser.add_argument("--normaliser", choices=metrics.NORMALISERS, help="default: inter_ocular, or box without eyes")
    parser.add_argument("--flip-test", action="store_true", help="average with the points of the mirrored crop")
    parser.add_argument("--head", help="of a run on several data sets: the name of one (default: the first)")
    parser.add_argument("--step", type=int, help="checkpoint to take (default: the best by validation, else the last)")
    arguments = parser.parse_args(argv)
    distributed.start()
    try:
        report(**vars(arguments))
    except (ValueError, FileNotFoundError, checkpoint.CheckpointError) as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
