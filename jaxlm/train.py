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

import absl.logging
import jax

from jaxlm import models, overrides
from jaxlm.config import Config
from jaxlm.evaluation import cost, judging
from jaxlm.runtime import allocation, commands, distributed
from jaxlm.runtime.progress import read_metrics
from jaxlm.styles import report_translator
from jaxlm.training import fit, make_synthetic_faces, objectives


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of training."""
    parser = commands.parser("train", __doc__, add_help=False, allow_abbrev=False)
    parser.add_argument("--workdir", metavar="DIR", help="for checkpoints, metrics and pictures (default: runs/NAME)")
    distributed.add_arguments(parser)
    arguments, config = overrides.parse_arguments(parser, argv)
    workdir = pathlib.Path(arguments.workdir or f"runs/{pathlib.Path(arguments.experiment).stem}")
    absl.logging.set_verbosity(absl.logging.ERROR)  # Orbax warns at each step that was not validated.
    allocation.keep_memory()
    with commands.told_errors():
        distributed.start(arguments.cluster, arguments.coordinator, arguments.num_processes, arguments.process_id)
        cost.check_size(config)
        make_synthetic_faces(config)
        if not fit(config, workdir):
            print(f"Stopped and saved; the same command goes on from there. Run: {workdir}", file=sys.stderr)
            return
        if jax.process_index() == 0:
            from jaxlm.drawing import plots  # Not at the top: matplotlib is slow to start.

            curves = workdir / "curves.png"
            plots.training_curves(curves, read_metrics(workdir / "metrics.jsonl"), objectives.kind(config).measure)
            print(f"Curves: {curves}")
        report_held_out(config, workdir)


def report_held_out(config: Config, workdir: pathlib.Path) -> None:
    """Judges the best checkpoint of a run by its held-out faces: prints a table, and writes metrics and pictures."""
    if config.model.name in models.TRANSLATORS:
        if config.data.validation_percent:
            report_translator(workdir)
        else:
            print(f"No faces were held out to judge by. The checkpoints are in {workdir}")
    elif config.data.validation_percent:
        judging.evaluate_and_write(workdir, split=judging.VALIDATION)
    else:
        print(f"No faces were held out. Evaluate on a test split: jaxlm evaluate --workdir {workdir}")


if __name__ == "__main__":
    main()
