r"""How far few labels go, with AVS and without: `jaxlm limited-data --experiment NAME --translator NAME`

For every share of the training faces and every seed, a translator is trained on these faces alone. It draws them again,
in their own styles (`self`) and in those of others (`avs`). Then a detector is trained for each arm, with equal steps,
batch, schedule and geometric augmentation throughout. Smaller shares are parts of larger ones; held-out faces are the
same for all. Each run is judged by its last step, so nothing is chosen by the faces that judge it.

Overrides behind `--` are for both experiments, those that begin with `--detector.` or `--translator.` for one:

    jaxlm limited-data --experiment resnet18_300w --translator vunet_300w --workdir runs/limited_300w --steps 6000 \
        -- --data.dataset 300w.npz --data.cache device --detector.optim.learning-rate 5e-4

The plan is written first, and finished trainings are remembered. The same command goes on where it was stopped; with
more --seeds, --fractions or --arms, or with a --split, it does what is missing.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import absl.logging

from jaxlm.checkpoints import check_name
from jaxlm.evaluation import check_shapes
from jaxlm.overrides import override
from jaxlm.runtime import allocation, commands
from jaxlm.studies import ARMS, follow_protocol


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
    parser = commands.parser("limited-data", __doc__, allow_abbrev=False)
    parser.add_argument("--experiment", required=True, metavar="NAME", help="experiment of the detector")
    parser.add_argument("--translator", required=True, metavar="NAME", help="experiment of the translator")
    parser.add_argument(
        "--workdir", required=True, type=pathlib.Path, metavar="DIR", help="folder of the plan and the runs"
    )
    numbers: dict[str, Any] = {"nargs": "+", "metavar": "N"}
    shares = [10, 20, 50, 100]
    parser.add_argument("--fractions", **numbers, type=float, default=shares, help="shares of the training faces in %%")
    parser.add_argument("--seeds", **numbers, type=int, default=[0, 1, 2], help="seeds of the repetitions")
    arms = f"what detectors are trained on, of {', '.join(ARMS)} (default: all)"
    parser.add_argument("--arms", nargs="+", metavar="ARM", choices=ARMS, default=list(ARMS), help=arms)
    parser.add_argument(
        "--styles", type=commands.count, metavar="N", default=8, help="renders of each face in avs and both"
    )
    steps = "steps of each detector (default: the experiment's, on all faces)"
    parser.add_argument("--steps", type=commands.count, metavar="N", help=steps)
    parser.add_argument(
        "--translator-steps", type=commands.count, metavar="N", help="steps of each translator (default: as above)"
    )
    parser.add_argument("--split", help="a test split to judge by, besides the held-out faces")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of the protocol."""
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    parser = make_parser()
    arguments, overrides = parser.parse_args(argv[:end]), split_overrides(argv[end + 1 :])
    detector = override(parser, arguments.experiment, overrides["detector"])
    translator = override(parser, arguments.translator, overrides["translator"])
    absl.logging.set_verbosity(absl.logging.ERROR)  # Orbax warns at each step that was not validated.
    allocation.keep_memory()
    try:
        with commands.told_errors():
            check_name(arguments.workdir)
            check_shapes(detector)
            check_shapes(translator)
            follow_protocol(detector, translator, arguments)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted; the same command goes on from there.") from None


if __name__ == "__main__":
    main()
