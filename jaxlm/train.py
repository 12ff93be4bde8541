"""Training: `jaxlm train --experiment NAME --workdir DIR`, with any field of the experiment overridden.

    jaxlm train --experiment quickstart
    jaxlm train --experiment cnn_wflw --data.dataset wflw.npz --data.cache device --optim.learning-rate 5e-4
    jaxlm train --experiment my/exp.py --workdir runs/exp --init-from runs/quickstart

An experiment says what is trained, on which faces, and how: it is a file with a function config(). A run is a function
of its config alone, and one that was stopped goes on to the same numbers when the same command is given again.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from types import TracebackType

import absl.logging
import jax

from jaxlm import config as config_lib
from jaxlm import models, overrides
from jaxlm.checkpoints import check_name
from jaxlm.config import Config
from jaxlm.data_pipelines.prepared import names_of_splits
from jaxlm.evaluation import check_shapes, cost, judging
from jaxlm.landmarks import split_names
from jaxlm.runtime import allocation, commands, distributed
from jaxlm.runtime.progress import read_metrics
from jaxlm.styles import report_translator
from jaxlm.training import fit, loop, make_synthetic_faces, objectives


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of training."""
    parser = commands.parser("train", __doc__, add_help=False, allow_abbrev=False)
    parser.add_argument("--workdir", metavar="DIR", help="for checkpoints, metrics and pictures (default: runs/NAME)")
    distributed.add_arguments(parser)
    arguments, config = overrides.parse_arguments(parser, argv)
    workdir = pathlib.Path(arguments.workdir or f"runs/{pathlib.Path(arguments.experiment).stem}")
    _silence_orbax()
    allocation.keep_memory()
    with commands.told_errors():
        check_name(workdir)
        distributed.start(arguments.cluster, arguments.coordinator, arguments.num_processes, arguments.process_id)
        layout = f"{config.fsdp} {config.data.cache} {config.steps_per_call}"
        distributed.require_agreement(
            {"config": "\n".join(config_lib.differences(Config(), config)), "layout on devices": layout}
        )
        check_shapes(config)
        cost.check_size(config)
        make_synthetic_faces(config)
        if jax.process_index() == 0:
            tell_unused_splits(config)
        fit(config, workdir)
        if jax.process_index() == 0:
            from jaxlm.drawing import plots  # Not at the top: matplotlib is slow to start.

            curves = workdir / "curves.png"
            plots.training_curves(curves, read_metrics(workdir / "metrics.jsonl"), objectives.kind(config).measure)
            print(f"Curves: {curves}")
        report_held_out(config, workdir)


def _silence_orbax() -> None:
    """Leaves what goes wrong in saving to the one line of `told_errors`.

    Orbax warns at each step that was not validated, and logs a page for each of its threads that fails; TensorStore's
    threads then call event loops that are closed.
    """
    absl.logging.set_verbosity(absl.logging.FATAL)

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = hook


def tell_unused_splits(config: Config) -> None:
    """Prints a line for each split that is called like one for validation, which training does not use."""
    trained_on = {part.partition("[")[0] for part in config.data.train_split.split("+")}
    for dataset in split_names(config.data.dataset):
        for split in names_of_splits(dataset, config.data.data_dir):
            if split.lower() in ("val", "valid", "validation") and split not in trained_on:
                print(
                    f"Training does not use the split {split} of {dataset}: it validates by"
                    f" {config.data.validation_percent} % of {config.data.train_split}, held out."
                )


def report_held_out(config: Config, workdir: pathlib.Path) -> None:
    """Judges the best checkpoint of a run by its held-out faces: prints a table, and writes metrics and pictures."""
    _, _, held_out = loop.prepare_run(config)
    if not len(held_out):
        if jax.process_index() == 0:
            print(
                f"No faces were held out to judge by; a larger --data.validation-percent than"
                f" {config.data.validation_percent} holds more out. The checkpoints are in {workdir}"
            )
    elif config.model.name in models.TRANSLATORS:
        report_translator(workdir)
    else:
        judged, why = loop.judged_faces(held_out)
        if len(judged):
            if jax.process_index() == 0:
                print(f"Judged by {judging.VALIDATION}, the faces held out, as jaxlm report does; they chose the step.")
            judging.evaluate_and_write(workdir, split=judging.VALIDATION)
        elif jax.process_index() == 0:
            print(f"No held-out face can be judged: {why} The checkpoints are in {workdir}")


if __name__ == "__main__":
    main()
