"""How a model's error grows when face boxes are shifted or scaled.

Crops are cut from prepared frames. What a moved or larger crop shows beyond its frame is black, and the table says how
much of it that is; sets prepared with a larger `--margin` have less of it.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from jaxlm.checkpoints import Trained, is_weights, open_models, results_folder
from jaxlm.checkpoints.identity import model_identity
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import inference
from jaxlm.evaluation.folders import check_free, free_folder, title_of
from jaxlm.evaluation.inference import BoxError
from jaxlm.evaluation.judged_faces import notes_on, open_for
from jaxlm.evaluation.photo_predictor import box_lines, predictor_of
from jaxlm.files import check_can_write, write_json
from jaxlm.files.folders import make_folder
from jaxlm.runtime import progress
from jaxlm.tasks import metrics

SHIFTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
"""How far boxes are shifted, in sides of the box."""
SCALES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
"""By what factors boxes are scaled."""

_FILE = "sensitivity.json"

_DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))


class ErrorCurve(NamedTuple):
    """A model's error over the sizes of one kind of box error.

    Attributes:
      errors: Shifts in sides of the box, or scales [k].
      nme: The mean NME over the faces, and over the directions of a shift [k], fractions.
      leaving: Share of the crops that leave their frame [k].
      black: Share of the crops' area that lies outside of their frame [k].
    """

    errors: np.ndarray
    nme: np.ndarray
    leaving: np.ndarray
    black: np.ndarray


def error_curves(trained: Trained, faces: Faces, normaliser: str, title: str = "box errors") -> dict[str, ErrorCurve]:
    """The curves `shift` over `SHIFTS` and `scale` over `SCALES` of a model on some faces.

    A live line, headed by `title`, shows how far it is.
    """
    crop = 1.0 if trained.looks_at_photos else trained.config.data.crop
    groups = [*map(shifted, SHIFTS), *([BoxError(scale=scale)] for scale in SCALES)]
    by_face = errors_by_face(trained, faces, groups, normaliser, title)

    def row(size: float, errors: list[BoxError], nme: np.ndarray) -> tuple[float, ...]:
        black = np.asarray([outside(error.shift, crop * error.scale, faces.margin) for error in errors])
        return size, *map(float, (np.nanmean(nme), np.mean(black > 0), np.mean(black)))

    rows = np.asarray(list(map(row, (*SHIFTS, *SCALES), groups, by_face)))
    return {"shift": ErrorCurve(*rows[: len(SHIFTS)].T), "scale": ErrorCurve(*rows[len(SHIFTS) :].T)}


def shifted(size: float) -> list[BoxError]:
    """The errors of a box that is off by `size` of its sides, in each of four directions; for 0 they are equal."""
    return [BoxError((size * x, size * y)) for x, y in _DIRECTIONS]


def errors_by_face(
    trained: Trained,
    faces: Faces,
    groups: Sequence[Sequence[BoxError]],
    normaliser: str | None = None,
    title: str = "box errors",
) -> np.ndarray:
    """The NME [groups, faces] of a model, fractions: for each group of box errors the mean over its errors.

    It is NaN for faces that cannot be judged; see `inference.face_errors`, also for `normaliser`. A live line, headed
    by `title`, shows how far it is.
    """
    errors = list(dict.fromkeys(itertools.chain(*groups)))
    with progress.counting(len(faces) * len(errors), title, silent=jax.process_index() > 0) as advance:
        found = predictor_of(trained, faces).with_box_errors(trained.variables, faces, errors, advance)
    nme = {
        error: inference.face_errors(predicted.points, faces, trained.scheme, normaliser)
        for error, predicted in zip(errors, found, strict=True)
    }
    return np.stack([np.mean([nme[error] for error in group], axis=0) for group in groups])


def outside(shift: ArrayLike, crop: float, margin: float) -> float:
    """Share of a crop's area outside of its frame; the shift (x, y) and both sides in sides of the face box."""
    low, high = np.asarray(shift, np.float64) - crop / 2, np.asarray(shift, np.float64) + crop / 2
    inside = np.clip(np.minimum(high, margin / 2) - np.maximum(low, -margin / 2), 0, None)
    share = 1 - np.prod(inside) / crop**2
    return float(share) if share > 1e-6 else 0.0


def measure_and_write(
    paths: Sequence[pathlib.Path],
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    out: pathlib.Path | None = None,
    step: int | None = None,
    head: str | None = None,
) -> dict[str, dict[str, ErrorCurve]]:
    """Measures models, prints the table, and writes sensitivity.json and sensitivity.png.

    Args:
      paths: The models; see `checkpoints.open_models` for them, `step` and `head`.
      dataset: A prepared set or a packed file; by default the one that each model was trained on.
      data_dir: The folder of the prepared sets; by default that of the training.
      split: See `judged_faces.open_evaluation`.
      out: The folder of the files; by default that of the first model's evaluation by these faces; see
        `judging.evaluate_and_write`. A number follows where results of other models or faces lie there.
      step: The runs' checkpoint.
      head: The data set whose points are read.

    Returns:
      The curves by path and kind.

    Raises:
      FileNotFoundError, CheckpointError: There is no such file or run, or the set is not prepared.
      FileExistsError: `out` holds results of other models or faces.
      ValueError: The models would be judged by different faces or in different schemes; there is no such split.
    """
    models = dict(zip(map(str, paths), open_models(paths, step=step, head=head), strict=True))
    judged = {name: open_for(trained, dataset, split, data_dir) for name, trained in models.items()}
    seen = [(judged[name].faces.dataset, trained.scheme, judged[name].identity) for name, trained in models.items()]
    if any(other != seen[0] for other in seen):
        raise ValueError(
            "the models hold out different faces, or learn different schemes; give one --dataset and --split"
        )
    (first, _, identity, _), scheme = judged[str(paths[0])], seen[0][1]
    normaliser = metrics.default_normaliser(scheme)
    notes = {f"{about}, {name}": line for name, one in judged.items() for about, line in one.notes.items()}
    notes |= notes_on(first, scheme, normaliser)
    boxes = box_lines(models[str(paths[0])], first)
    for name, trained in models.items():
        lines = box_lines(trained, judged[name].faces).items()
        notes |= {f"{about}, {name}": line for about, line in lines if line != boxes.get(about)}
    protocol = {
        "data": f"{first.dataset}, {first.split}: {len(first)} faces ({scheme.name})",
        **boxes,
        "NME": f"mean over points and faces, by {normaliser.replace('_', '-')} distance",
        **notes,
        "frame": f"{first.margin:g} boxes wide; leaves, black: share of the crops, and of their area, outside of it",
    }
    weights = {name: model_identity(trained) for name, trained in models.items()}
    about = {"protocol": protocol, "faces": identity, "models": weights}
    parent = results_folder(paths[0]) / "evaluation"
    if out and jax.process_index() == 0:
        make_folder(out)
        check_free(out / _FILE, about)
    elif jax.process_index() == 0:
        check_can_write(parent / "new" / _FILE)
    curves = {name: error_curves(trained, judged[name].faces, normaliser) for name, trained in models.items()}
    if jax.process_index() == 0:
        steps = {name: "" if is_weights(name) else f", step {trained.step}" for name, trained in models.items()}
        print_curves({name + steps[name]: curve for name, curve in curves.items()}, protocol)
        where = title_of(first, head, None if step is None else f"step{step}")
        directory = out or free_folder(parent, where, about, _FILE)
        title = f"{first.dataset} {first.split}, {protocol['NME'].split(', ')[1]}"
        write_curves(directory, curves, about, title)
        print(f"Wrote {directory / _FILE}\n      {directory / 'sensitivity.png'}")
    return curves


def print_curves(curves: dict[str, dict[str, ErrorCurve]], protocol: dict[str, str]) -> None:
    """Prints the protocol, then for each box error the NME of every model and what its crops lack, in per cent."""
    for index, run in enumerate(curves):
        print(f"{f'run {index + 1}:':12s}{run}")
    for name, text in protocol.items():
        print(f"{name + ':':12s}{text}")
    columns = "".join(f"{f'NME {i + 1} %':>10s}{'leaves %':>10s}{'black %':>9s}" for i in range(len(curves)))
    for kind, label in (("shift", "shift %"), ("scale", "scale %")):
        print(f"\n{label:10s}{columns}")
        by_run = [curve[kind] for curve in curves.values()]
        for i, error in enumerate(by_run[0].errors):
            cells = "".join(f"{100 * c.nme[i]:10.3f}{100 * c.leaving[i]:10.0f}{100 * c.black[i]:9.1f}" for c in by_run)
            print(f"{100 * error:<10.0f}{cells}")
    print()


def write_curves(
    directory: pathlib.Path, curves: dict[str, dict[str, ErrorCurve]], about: dict[str, Any], title: str
) -> None:
    """Writes sensitivity.json (fractions, and what they are of) and sensitivity.png; `title` heads the picture."""
    from jaxlm.drawing import plots  # Not at the top: matplotlib is slow to start.

    directory.mkdir(parents=True, exist_ok=True)
    runs = {
        run: {kind: {key: value.tolist() for key, value in curve._asdict().items()} for kind, curve in kinds.items()}
        for run, kinds in curves.items()
    }
    write_json(directory / _FILE, {**about, "runs": runs})
    plots.sensitivity_plot(directory / "sensitivity.png", panels_of(curves), protocol=title)


def panels_of(curves: dict[str, dict[str, ErrorCurve]]) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """What `plots.sensitivity_figure` draws: by the title of a panel, its x axis and the NME of each model."""
    shift, scale = ({run: kinds[kind].nme for run, kinds in curves.items()} for kind in ("shift", "scale"))
    return {
        "box shift (% of its side)": (100 * np.asarray(SHIFTS), shift),
        "box scale": (np.asarray(SCALES), scale),
    }
