"""One evaluation: the faces of a split, a model's points on them, a table of NME, FR and AUC, and files.

Every face counts exactly once, whatever the batch size and the number of devices; FR and AUC are computed over all
faces at once, never averaged over batches.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from jaxlm.checkpoints import Trained, is_weights, open_model, results_folder
from jaxlm.checkpoints.identity import model_identity
from jaxlm.data_pipelines.input import Faces
from jaxlm.drawing import pictures
from jaxlm.evaluation import inference
from jaxlm.evaluation.conditions import measure_model, print_conditions
from jaxlm.evaluation.error_table import ErrorRow, error_rows, mean_of_bins, print_error_rows
from jaxlm.evaluation.folders import free_folder, title_of
from jaxlm.evaluation.judged_faces import VALIDATION, notes_on, open_evaluation, open_for
from jaxlm.evaluation.photo_predictor import box_lines, predictor_of
from jaxlm.files import check_can_write, replacing, write_json
from jaxlm.landmarks import Scheme
from jaxlm.runtime import progress
from jaxlm.tasks import metrics

__all__ = [
    "VALIDATION",
    "Evaluation",
    "evaluate_and_write",
    "evaluate_model",
    "open_evaluation",
    "thresholds_of",
    "worst_faces",
    "write_evaluation",
]

_WORST = 24


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of a model on some faces.

    Attributes:
      faces: The faces, in the scheme of the model.
      subsets: Masks [n] over the faces; see `open_evaluation`.
      identity: Checksums of the faces; see `identity_of`.
      model: Step, head and a checksum of the weights; see `model_identity`.
      normaliser: What errors are divided by, one of `metrics.NORMALISERS`.
      predicted: The model's points, in frame pixels.
      nme: The NME of each face [n], fractions; NaN for faces that cannot be judged, which are in no subset.
      rows: The table, one row a subset.
      protocol: All that numbers depend on, by what each line is about; `run` says what was judged.
    """

    faces: Faces
    subsets: Mapping[str, np.ndarray]
    identity: Mapping[str, str]
    model: Mapping[str, str]
    normaliser: str
    predicted: inference.Predictions
    nme: np.ndarray
    rows: Sequence[ErrorRow]
    protocol: Mapping[str, str]

    @property
    def about(self) -> dict[str, Mapping[str, str]]:
        """What the numbers are of, as metrics.json has it: the protocol, the faces and the model."""
        return {"protocol": self.protocol, "faces": self.identity, "model": self.model}

    @property
    def title(self) -> str:
        """Data, split and normaliser, for the head of a picture."""
        return f"{self.faces.dataset} {self.faces.split}, by {self.normaliser.replace('_', '-')} distance"


def thresholds_of(scheme: Scheme) -> tuple[float, ...]:
    """The NMEs, fractions, at which FR and AUC are taken: 8 and 10 % for 300-W's points, 10 % for others."""
    return (0.08, 0.10) if scheme.name == "ibug68" else (0.10,)


def evaluate_model(
    trained: Trained,
    name: str,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    normaliser: str | None = None,
    flip_test: bool = False,
    source: pathlib.Path | None = None,
) -> Evaluation:
    """Evaluates a trained model on the faces of a split.

    Args:
      trained: The model.
      name: The model's name in the protocol.
      dataset: A prepared set or a packed file; by default the one that the model was trained on.
      data_dir: The folder of the prepared sets; by default that of the training.
      split: See `open_evaluation`.
      normaliser: What errors are divided by, one of `metrics.NORMALISERS`; by default the usual one of the scheme.
      flip_test: Average with the points of the mirrored crop.
      source: The folder of a published archive, which need not be prepared; see `prepared.open_faces`.

    Raises:
      FileNotFoundError: The set is not prepared, or files of the archive are missing.
      ValueError: There is no such split, its points cannot be read in the model's scheme, or the held-out faces have
        changed since the training.
    """
    scheme = trained.scheme
    faces, subsets, identity, faces_notes = open_for(trained, dataset, split, data_dir, source)
    # Where yaws are known the convention is that of AFLW2000-3D.
    normaliser = normaliser or ("box" if np.isfinite(faces.yaw).any() else metrics.default_normaliser(scheme))
    notes = {**faces_notes, **notes_on(faces, scheme, normaliser)}
    predictor = predictor_of(trained, faces, scheme.flip if flip_test else None)
    with progress.counting(len(faces), "evaluation", silent=jax.process_index() > 0) as advance:
        predicted = predictor(trained.variables, faces, advance)
    nme = inference.face_errors(predicted.points, faces, scheme, normaliser)
    subsets = {subset: mask & np.isfinite(nme) for subset, mask in subsets.items()}
    rows = error_rows(nme, subsets, thresholds_of(scheme))
    bins = mean_of_bins(rows)
    rows += [bins] if bins else []
    protocol = {
        "run": name,
        "data": f"{faces.dataset}, {faces.split}: {len(faces)} faces, {scheme.num_points} points ({scheme.name})",
        **box_lines(trained, faces),
        "NME": f"mean over points and faces, by {normaliser.replace('_', '-')} distance",
        "FR, AUC": "FR at t: share of faces with NME > t; AUC to t: exact area; t in % beside them",
    }
    protocol |= notes
    if flip_test:
        protocol["flip test"] = "points averaged with those of the mirrored crop"
    model = model_identity(trained)
    return Evaluation(faces, subsets, identity, model, normaliser, predicted, nme, rows, protocol)


def evaluate_and_write(
    path: pathlib.Path,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    normaliser: str | None = None,
    step: int | None = None,
    flip_test: bool = False,
    head: str | None = None,
    source: pathlib.Path | None = None,
    conditions: bool = False,
) -> Sequence[ErrorRow]:
    """Evaluates the model of a run or a file, prints the table, and writes metrics, predictions and pictures.

    They go to `WORKDIR/evaluation/DATASET-SPLIT/`, with what else is asked for behind it: the head, the step, the
    normaliser, `flip`. Where another evaluation lies there, by another protocol, on other faces or of other weights, a
    number follows.
    For a file of weights NAME.npz, `runs/NAME` takes the place of the workdir.

    With `conditions` there is conditions.json, too, and a second table: see conditions.py.

    For `path`, `step` and `head` see `checkpoints.open_model`, for the other arguments `evaluate_model`.

    Raises:
      FileNotFoundError, CheckpointError: There is no such file, run or step, or the set is not prepared.
      OSError: The folder of the results cannot be written.
      ValueError: The file is damaged, or there is no such head or split.
    """
    trained = open_model(path, step=step, head=head)
    parent = results_folder(path) / "evaluation"
    if jax.process_index() == 0:
        check_can_write(parent / "new" / "metrics.json")
    name = str(path) if is_weights(path) else f"{path}, step {trained.step}"
    name += f", head {head}" if head else ""
    evaluation = evaluate_model(trained, name, dataset, data_dir, split, normaliser, flip_test, source)
    condition_rows = measure_model(trained, evaluation.faces, evaluation.predicted.points) if conditions else []
    if jax.process_index() == 0:
        print_error_rows(evaluation.rows, evaluation.protocol)
        if conditions:
            print_conditions(condition_rows)
        asked = [head, None if step is None else f"step{step}", normaliser, "flip" if flip_test else None]
        title = title_of(evaluation.faces, *asked)
        folder = free_folder(parent, title, evaluation.about)
        files = write_evaluation(folder, evaluation)
        if conditions:
            files.append(folder / "conditions.json")
            write_json(files[-1], {**evaluation.about, "rows": [dataclasses.asdict(row) for row in condition_rows]})
        print("Wrote " + "\n      ".join(str(file) for file in files))
    return evaluation.rows


def write_evaluation(directory: pathlib.Path, evaluation: Evaluation) -> list[pathlib.Path]:
    """Writes metrics.json, predictions.npz (in pixels of the source photos), ced.png and worst.png."""
    from jaxlm.drawing import plots  # Not at the top: matplotlib is slow to start.

    directory.mkdir(parents=True, exist_ok=True)
    faces, predicted, nme = evaluation.faces, evaluation.predicted, evaluation.nme
    names = ("metrics.json", "predictions.npz", "ced.png", "worst.png")
    metrics_file, predictions_file, ced_file, worst_file = files = [directory / name for name in names]
    rows = [dataclasses.asdict(row) for row in evaluation.rows]
    write_json(metrics_file, {**evaluation.about, "rows": rows})
    in_photo = [
        np.einsum("nij,npj->npi", faces.to_source[:, :, :2], points) + faces.to_source[:, None, :, 2]
        for points in (predicted.points, faces.points)
    ]
    arrays = {"names": np.array(faces.names), "points": in_photo[0], "truth": in_photo[1], "nme": nme}
    if predicted.confidence is not None:
        arrays["confidence"] = predicted.confidence
    with replacing(predictions_file) as file:
        np.savez(file, **arrays)
    curves = {name: nme[mask] for name, mask in evaluation.subsets.items() if mask.any()}
    thresholds = thresholds_of(faces.scheme)
    plots.ced_plot(ced_file, curves, thresholds, protocol=evaluation.title)
    pictures.save_image(worst_file, worst_faces(evaluation, _WORST))
    return files


def worst_faces(evaluation: Evaluation, count: int) -> np.ndarray:
    """The picture of `pictures.worst_faces` for the `count` faces of the largest NME."""
    worst = np.argsort(-evaluation.nme)[: min(count, int(np.isfinite(evaluation.nme).sum()))]  # NaN comes last.
    return pictures.worst_faces(
        evaluation.faces.images(worst),
        evaluation.predicted.points[worst],
        evaluation.faces.points[worst],
        evaluation.nme[worst],
        evaluation.faces.scheme,
        protocol=evaluation.title,
    )
