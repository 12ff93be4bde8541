"""Evaluation: `python -m jaxlm.evaluate --workdir DIR --dataset wflw` prints NME, FR and AUC with their protocol.

Every face counts exactly once, whatever the batch size and the number of devices; FR and AUC are computed over all
faces at once, never averaged over batches.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from jaxlm.evaluation.judging import report
from jaxlm.runtime import allocation, distributed
from jaxlm.runtime.commands import add_data_arguments, told_errors
from jaxlm.tasks import metrics


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of evaluation."""
    parser = argparse.ArgumentParser(prog="python -m jaxlm.evaluate", description=__doc__)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--workdir", type=pathlib.Path, help="of the training run")
    model.add_argument("--weights", type=pathlib.Path, metavar="FILE.npz", help="of python -m jaxlm.export")
    add_data_arguments(parser)
    parser.add_argument("--normaliser", choices=metrics.NORMALISERS, help="default: inter_ocular, or box without eyes")
    parser.add_argument("--flip-test", action="store_true", help="average with the points of the mirrored crop")
    parser.add_argument("--head", help="of a run on several data sets: the name of one (default: the first)")
    parser.add_argument("--step", type=int, help="checkpoint to take (default: the best by validation, else the last)")
    arguments = parser.parse_args(argv)
    if arguments.weights and (arguments.head or arguments.step is not None):
        parser.error("--head and --step are for a run; a file of weights has one head, of one step")
    allocation.keep_memory()
    distributed.start()
    with told_errors():
        report(**vars(arguments))


if __name__ == "__main__":
    main()
