"""How a model's error grows when face boxes are off: `python -m jaxlm.sensitivity --workdir DIR`.

Detectors give boxes of differing shift and scale. The box of every face is moved by 0 to 30 % of its side, in four
directions whose errors are averaged, or scaled by 0.7 to 1.4 about its centre. Several runs share one table and one
picture: `--workdir runs/dpr_gsr_300w runs/mobilenet_300w` is reinitialisation against a plain regressor.

Crops are cut from prepared frames. What a moved or larger crop shows beyond its frame is black, and the table says how
much of it that is; sets prepared with a larger `--margin` have less of it.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from jaxlm.evaluation.box_sensitivity import report
from jaxlm.runtime import distributed
from jaxlm.runtime.commands import add_data_arguments, told_errors


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of box sensitivity."""
    parser = argparse.ArgumentParser(prog="python -m jaxlm.sensitivity", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--workdir", required=True, nargs="+", type=pathlib.Path, dest="workdirs", help="of one or more training runs"
    )
    add_data_arguments(parser)
    parser.add_argument(
        "--out", type=pathlib.Path, help="folder for the files (default: in the first run's evaluation)"
    )
    arguments = parser.parse_args(argv)
    distributed.start()
    with told_errors():
        report(**vars(arguments))


if __name__ == "__main__":
    main()
