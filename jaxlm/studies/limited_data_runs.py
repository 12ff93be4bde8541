"""Runs the pieces of a limited-data study: trains, renders, judges and remembers what is finished."""

from __future__ import annotations

import argparse
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from jaxlm import checkpoints
from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines import renders
from jaxlm.data_pipelines.sources import styled
from jaxlm.evaluation.judged_faces import VALIDATION, open_evaluation, open_for
from jaxlm.files import read_json, write_json
from jaxlm.studies import limited_data_report, run_errors
from jaxlm.studies.limited_data_arms import SELF_SET, total_steps
from jaxlm.studies.limited_data_plan import (
    TRANSLATOR,
    Piece,
    Plan,
    config_of,
    make_plan,
    pack_of,
    pieces_of,
    plan_lines,
    remember,
    renders_of_each,
)
from jaxlm.styles import rendering, translation
from jaxlm.training import loop


class Judged(TypedDict):
    """The names of the faces that judged a detector, and their errors, fractions."""

    faces: list[str]
    nme: list[float]


class Result(TypedDict, total=False):
    """What the file of a finished piece holds.

    `seconds` is the time that it took, null if it was stopped in between; for a detector `splits` has what judged it,
    by name.
    """

    seconds: float | None
    splits: dict[str, Judged]


_RESULT = "result.json"


def read_result(piece: Piece, workdir: pathlib.Path) -> Result:
    """The result of a piece, read from its file; empty if it is not finished.

    Raises:
      ValueError: The file is damaged.
    """
    file = piece.folder(workdir) / _RESULT
    result = read_json(file, Result) if file.exists() else Result()
    for split, judged in result.get("splits", {}).items():
        if len(judged["faces"]) != len(judged["nme"]):
            raise ValueError(f"{file} is damaged: {len(judged['faces'])} faces in {split}, {len(judged['nme'])} errors")
    return result


def is_finished(piece: Piece, result: Result, splits: Sequence[str]) -> bool:
    """Whether a piece is done, and, if it is a detector, judged by all the splits."""
    return bool(result) and (piece.kind != "detector" or all(split in result.get("splits", {}) for split in splits))


def run_pieces(plan: Plan, workdir: pathlib.Path, splits: Sequence[str]) -> None:
    """Does all pieces that are not finished; raises SystemExit when asked to stop, see `loop.fit`."""
    pieces = pieces_of(plan)
    results = {piece: read_result(piece, workdir) for piece in pieces}
    for number, piece in enumerate(pieces, start=1):
        if is_finished(piece, results[piece], splits):
            continue
        left = time_left(pieces, results)
        print(f"[{number}/{len(pieces)}] {piece.percent:g} %, seed {piece.seed}: {piece.name}; {left}", flush=True)
        begun, start = piece.folder(workdir).exists(), time.perf_counter()
        if piece.kind == "set":
            draw_set(plan, piece, workdir)
        else:
            loop.fit(config_of(plan, piece, workdir), piece.folder(workdir))
        result = results[piece] or {"seconds": None if begun else time.perf_counter() - start}
        if piece.kind == "detector":
            judged = result.get("splits", {})
            missing = [split for split in splits if split not in judged]
            result["splits"] = judged | {split: judge_detector(plan, piece, workdir, split) for split in missing}
        write_json(piece.folder(workdir) / _RESULT, result)
        results[piece] = result


def time_left(pieces: Sequence[Piece], results: Mapping[Piece, Result]) -> str:
    """How long the pieces without a result will take, at the rate of finished ones of their kinds."""
    return run_errors.time_left(
        run_errors.Work(piece.kind, piece.work, bool(results[piece]), results[piece].get("seconds")) for piece in pieces
    )


def draw_set(plan: Plan, piece: Piece, workdir: pathlib.Path) -> None:
    """Draws a set of styled faces and packs it, which needs no TensorFlow."""
    trained, folder = piece._replace(name=TRANSLATOR).folder(workdir), piece.folder(workdir)
    rendering.draw_renders(
        folder / renders.FOLDER,
        translation.load_translator(trained, total_steps(plan.translator)),
        trained,
        data_dir=plan.translator.data.data_dir,
        kind="self" if piece.name == SELF_SET else "transfer",
        styles=renders_of_each(plan, piece.name),
        seed=piece.seed,
    )
    input_lib.write_pack(pack_of(folder), {"train": styled.open_renders(folder / renders.FOLDER, piece.name)})


def judge_detector(plan: Plan, piece: Piece, workdir: pathlib.Path, split: str) -> Judged:
    """Names of the faces of a split, and the NME of each, a fraction, by the last step of a detector."""
    trained = checkpoints.open_model(piece.folder(workdir), step=total_steps(plan.detector))
    names, errors = run_errors.errors_of(trained, open_for(trained, None, split, None).faces)
    return {"faces": names, "nme": errors[0].tolist()}


def collect_errors(plan: Plan, workdir: pathlib.Path, split: str) -> dict[tuple[float, str], np.ndarray]:
    """Errors by percent and arm, of each face for each seed [seeds, faces], of the detectors of a finished plan.

    Raises:
      ValueError: They were not judged by the same faces.
    """
    runs: dict[tuple[float, str], list[list[float]]] = {}
    judges = set()
    for piece in pieces_of(plan):
        if piece.kind == "detector":
            judged = read_result(piece, workdir)["splits"][split]
            judges.add(tuple(judged["faces"]))
            runs.setdefault((piece.percent, piece.name), []).append(judged["nme"])
    if len(judges) > 1:
        raise ValueError(
            f"the faces of split {split} have changed since the first run was judged; take a new --workdir"
        )
    return {key: np.asarray(errors, np.float32) for key, errors in runs.items()}


def follow_protocol(detector: Config, translator: Config, arguments: argparse.Namespace) -> None:
    """Plans, prints the plan, carries it out and reports it.

    Raises:
      ValueError: The plan cannot be made of these experiments, or is not the one of this workdir.
    """
    workdir, splits = arguments.workdir, tuple(filter(None, (VALIDATION, arguments.split)))
    loop.make_synthetic_faces(detector)
    plan = make_plan(
        detector,
        translator,
        arguments.fractions,
        arguments.seeds,
        arguments.arms,
        arguments.styles,
        arguments.steps,
        arguments.translator_steps,
    )
    data = detector.data
    # Opened here, so that a wrong name is told before the work and not after it.
    boxes = [open_evaluation(detector, data.dataset, split, data.data_dir)[0].box for split in splits]
    limited_data_report.print_protocol(plan_lines(plan))
    if arguments.dry_run:
        return
    remember(plan, workdir)
    run_pieces(plan, workdir, splits)
    errors = {split: collect_errors(plan, workdir, split) for split in splits}
    limited_data_report.report_study(plan, workdir, errors, boxes[0])
