r"""How far few labels go, with AVS and without: `python -m jaxlm.limited_data --experiment NAME --translator NAME`.

For every share of the training faces and every seed a translator is trained on these faces alone and draws them again,
in their own styles (`self`) and in those of others (`avs`); then a detector is trained for each arm, with equal steps,
batch, schedule and geometric augmentation throughout. Smaller shares are parts of larger ones; held-out faces are the
same for all. Each run is judged by its last step, so nothing is chosen by the faces that judge it.

Overrides behind `--` are for both experiments, those that begin with `--detector.` or `--translator.` for one:

    python -m jaxlm.limited_data --experiment resnet18_300w --translator vunet_300w --workdir runs/limited_300w \
        --steps 6000 -- --data.dataset 300w.npz --data.cache device --detector.optim.learning-rate 5e-4

The plan is written first. What is finished is remembered: the same command goes on where it was stopped, and with more
--seeds, --fractions or --arms, or with a --split, it does what is missing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import absl.logging
import numpy as np

from jaxlm import (
    allocation,
    checkpoint,
    distributed,
    experiment,
    inference,
    limited_data_report,
    stylize,
    train,
    translation,
)
from jaxlm.commands import told_errors
from jaxlm.config import Config
from jaxlm.evaluate import VALIDATION, open_evaluation
from jaxlm.landmarks import load_scheme
from jaxlm.limited_data_arms import ARMS, SELF_SET, total_steps
from jaxlm.limited_data_plan import (
    TRANSLATOR,
    Piece,
    Plan,
    config_of,
    describe,
    make_plan,
    pack_of,
    pieces_of,
    remember,
    renders_of_each,
    write_json,
)

# What is remembered of a finished piece: the `seconds` it took, None if it was stopped in between; and of a detector
# `splits`, by name, in each of which `faces` are the names of those it was judged by and `nme` their errors, fractions.
Result = dict[str, Any]

_RESULT = "result.json"


def read_result(piece: Piece, workdir: pathlib.Path) -> Result:
    """What is remembered of a piece; empty if it is not finished."""
    file = piece.folder(workdir) / _RESULT
    return json.loads(file.read_text()) if file.exists() else {}


def is_finished(piece: Piece, result: Result, splits: Sequence[str]) -> bool:
    """Whether a piece is done, and, if it is a detector, judged by all the splits."""
    return bool(result) and (piece.kind != "detector" or all(split in result["splits"] for split in splits))


def run(plan: Plan, workdir: pathlib.Path, splits: Sequence[str]) -> bool:
    """Does all pieces that are not finished; False when asked to stop before the end."""
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
        elif not train.fit(config_of(plan, piece, workdir), piece.folder(workdir)):
            return False
        result = results[piece] or {"seconds": None if begun else time.perf_counter() - start}
        if piece.kind == "detector":
            judged = result.get("splits", {})
            missing = [split for split in splits if split not in judged]
            result["splits"] = judged | {split: judge(plan, piece, workdir, split) for split in missing}
        write_json(piece.folder(workdir) / _RESULT, result)
        results[piece] = result
    return True


def time_left(pieces: Sequence[Piece], results: Mapping[Piece, Result]) -> str:
    """How long the pieces without a result will take, at the rate of finished ones of their kinds."""
    seconds = 0.0
    for kind in {piece.kind for piece in pieces if not results[piece]}:
        ours = [piece for piece in pieces if piece.kind == kind]
        timed = [piece for piece in ours if results[piece].get("seconds")]
        if not timed:
            return "time left not known yet"
        rate = sum(results[piece]["seconds"] for piece in timed) / sum(piece.work for piece in timed)
        seconds += rate * sum(piece.work for piece in ours if not results[piece])
    return f"about {datetime.timedelta(seconds=round(seconds))} left"


def draw_set(plan: Plan, piece: Piece, workdir: pathlib.Path) -> None:
    """Draws a set of styled faces and packs it, which needs no TensorFlow."""
    from data_pipelines import input as input_lib
    from data_pipelines import renders, styled

    trained, folder = piece._replace(name=TRANSLATOR).folder(workdir), piece.folder(workdir)
    stylize.draw_renders(
        folder / renders.FOLDER,
        translation.load_translator(trained, total_steps(plan.translator)),
        trained,
        data_dir=plan.translator.data.data_dir,
        kind="self" if piece.name == SELF_SET else "transfer",
        styles=renders_of_each(plan, piece.name),
        seed=piece.seed,
    )
    input_lib.write_pack(pack_of(folder), {"train": styled.open_renders(folder / renders.FOLDER, piece.name)})


def judge(plan: Plan, piece: Piece, workdir: pathlib.Path, split: str) -> dict[str, list]:
    """Names of the faces of a split, and the NME of each, a fraction, by the last step of a detector."""
    trained = checkpoint.load_model(piece.folder(workdir), total_steps(plan.detector))
    config = trained.config
    faces, _ = open_evaluation(config, config.data.dataset, split, config.data.data_dir)
    predictor = inference.Predictor(trained.model, trained.task, config, faces.margin, distributed.make_mesh())
    points = predictor(trained.variables, faces).points
    nme = inference.face_errors(points, faces, load_scheme(config.data.scheme))
    return {"faces": list(faces.names), "nme": nme.tolist()}


def collect(plan: Plan, workdir: pathlib.Path, split: str) -> dict[tuple[float, str], np.ndarray]:
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


def split_overrides(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Overrides of `detector` and of `translator`, from a command line on which `--detector.X` is for one of them."""
    overrides: dict[str, list[str]] = {"detector": [], "translator": []}
    owners = tuple(overrides)
    for argument in arguments:
        name, _, field = argument.partition(".")
        if argument.startswith("--"):
            owners = tuple(owner for owner in overrides if name == f"--{owner}") or tuple(overrides)
        for owner in owners:
            overrides[owner].append(f"--{field}" if name == f"--{owner}" else argument)
    return overrides


def make_parser() -> argparse.ArgumentParser:
    """The arguments in front of `--`."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxlm.limited_data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--experiment", required=True, help="the detector, for the arm real")
    parser.add_argument("--translator", required=True, help="experiment of the translator")
    parser.add_argument("--workdir", required=True, type=pathlib.Path, help="where plan, runs and results go")
    parser.add_argument(
        "--fractions", nargs="+", type=float, default=[10, 20, 50, 100], help="of the training faces, %%"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--styles", type=int, default=8, help="renders of each face in avs and both (default: 8)")
    parser.add_argument("--steps", type=int, help="of each detector (default: the experiment's, on all faces)")
    parser.add_argument("--translator-steps", type=int, help="of each translator (default: likewise)")
    parser.add_argument("--split", help="a test split to judge by, besides the held-out faces")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    return parser


def follow_protocol(detector: Config, translator: Config, arguments: argparse.Namespace) -> None:
    """Plans, prints the plan, carries it out and reports it.

    Raises:
      ValueError: The plan cannot be made of these experiments, or is not the one of this workdir.
    """
    workdir, splits = arguments.workdir, tuple(filter(None, (VALIDATION, arguments.split)))
    train.make_synthetic_faces(detector)
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
    limited_data_report.print_protocol(describe(plan))
    if arguments.dry_run:
        return
    remember(plan, workdir)
    if not run(plan, workdir, splits):
        print("Stopped and saved; the same command goes on from there.", file=sys.stderr)
        return
    errors = {split: collect(plan, workdir, split) for split in splits}
    limited_data_report.report(plan, workdir, errors, boxes[0])


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of the protocol."""
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    parser = make_parser()
    arguments, overrides = parser.parse_args(argv[:end]), split_overrides(argv[end + 1 :])
    detector = experiment.override(parser, arguments.experiment, overrides["detector"])
    translator = experiment.override(parser, arguments.translator, overrides["translator"])
    absl.logging.set_verbosity(absl.logging.ERROR)  # Orbax warns at each step that was not validated.
    allocation.keep_memory()
    try:
        with told_errors():
            follow_protocol(detector, translator, arguments)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the same command goes on from there.")


if __name__ == "__main__":
    main()
