"""What is known of a run of a study: its result or its failure, in files; and how a trained run is judged."""

from __future__ import annotations

import pathlib

import msgspec

from jaxlm.checkpoints import Trained, directory_of
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import cost
from jaxlm.evaluation.judged_faces import open_for
from jaxlm.evaluation.photo_predictor import box_lines
from jaxlm.files import read_json
from jaxlm.runtime.progress import read_metrics
from jaxlm.studies import run_errors
from jaxlm.studies.comparison.file import Study
from jaxlm.studies.comparison.planning import Run
from jaxlm.studies.comparison.workdirs import FAILED
from jaxlm.tasks import metrics

RESULT = "result.json"


class Result(msgspec.Struct):
    """What result.json holds of a finished run.

    Attributes:
      seconds: The time that it took; None if it was stopped in between.
      steps: The number of training steps.
      epochs: The number of epochs.
      best_step: The step that is judged, the best by validation.
      parameters: The number of trained numbers.
      curve: Pairs (step, NME of the validation, a fraction).
      split: The faces that judge.
      protocol: What the errors depend on, by what each line is about.
      identity: Checksums of these faces.
      faces: Their names.
      errors: Their NME, fractions, by the shift of their boxes in per cent: `0`, `10`.
    """

    seconds: float | None
    steps: int
    epochs: int
    best_step: int
    parameters: int
    curve: list[tuple[int, float]]
    split: str
    protocol: dict[str, str]
    identity: dict[str, str]
    faces: list[str]
    errors: dict[str, list[float]]


class Failure(msgspec.Struct):
    """What failed.json holds: why a run failed, and a token that tells this failure from others."""

    error: str
    token: str


def key_of(shift: float) -> str:
    """The key of a shift, in sides of the box, in `Result.errors`."""
    return f"{100 * shift:g}"


def read_result(run: Run, workdir: pathlib.Path, study: Study) -> Result | None:
    """The result of a run; None where it is not trained, or not judged as the study wants it.

    Raises:
      ValueError: The file is damaged.
    """
    result = stored_result(run, workdir)
    wanted = {key_of(shift) for shift in study.shifts}
    return result if result and result.split == study.split and wanted <= result.errors.keys() else None


def stored_result(run: Run, workdir: pathlib.Path) -> Result | None:
    """The result of a run, whatever judged it; None where it is not trained.

    Raises:
      ValueError: The file is damaged.
    """
    file = run.folder(workdir) / RESULT
    result = read_json(file, Result) if file.exists() else None
    if result and any(len(errors) != len(result.faces) for errors in result.errors.values()):
        raise ValueError(f"{file} is damaged: the numbers of faces and of errors differ")
    return result


def read_failure(run: Run, workdir: pathlib.Path) -> Failure | None:
    """Why a run failed; None where it did not."""
    file = run.folder(workdir) / FAILED
    return read_json(file, Failure) if file.exists() else None


def state_of(run: Run, workdir: pathlib.Path, study: Study) -> str:
    """`finished`, `failed`, `begun` or `left`."""
    if read_result(run, workdir, study):
        return "finished"
    if read_failure(run, workdir):
        return "failed"
    return "begun" if directory_of(run.folder(workdir)).is_dir() else "left"


def judge(trained: Trained, folder: pathlib.Path, study: Study, seconds: float | None) -> Result:
    """The result of a run that was trained in `folder`, whose best step is `trained`.

    Raises:
      ValueError: The faces have changed since it was trained, or none can be judged.
    """
    faces, _, identity, _ = open_for(trained, None, study.split, None)
    names, errors = run_errors.errors_of(trained, faces, study.shifts)
    if not names:
        raise ValueError(f"no face of {study.split} can be judged: none has an eye distance")
    rows = read_metrics(folder / "metrics.jsonl")
    return Result(
        seconds=seconds,
        steps=max(row["step"] for row in rows),
        epochs=trained.config.epochs,
        best_step=trained.step,
        parameters=cost.count_parameters(trained.variables["params"]),
        curve=[(row["step"], row["nme"]) for row in rows if row["split"] == "validation" and "nme" in row],
        split=study.split,
        protocol=protocol_of(trained, faces, len(names)),
        identity=dict(identity),
        faces=names,
        errors={key_of(shift): nme.tolist() for shift, nme in zip(study.shifts, errors, strict=True)},
    )


def protocol_of(trained: Trained, faces: Faces, judged: int) -> dict[str, str]:
    """What errors depend on, by what each line is about."""
    normaliser = metrics.default_normaliser(trained.scheme).replace("_", "-")
    return {
        "data": f"{faces.dataset}, {faces.split}: {judged} faces, {trained.scheme.num_points} points"
        f" ({trained.scheme.name})",
        **box_lines(trained, faces),
        "NME": f"mean over points and faces, by {normaliser} distance",
    }
