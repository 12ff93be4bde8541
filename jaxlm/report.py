"""One page on several runs: `python -m jaxlm.report --workdir A --workdir B --out report.html`.

The page holds tables, curves and pictures of detectors and translators, is one file, and asks for nothing outside it.
Every run is judged once, as `python -m jaxlm.evaluate` does; numbers of different protocols stay apart. Where a run's
faces are not at hand, the last evaluation in its folder is shown instead.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from jaxlm.runtime.commands import add_data_arguments, told_errors
from jaxlm.studies.reporting import report


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of reports."""
    parser = argparse.ArgumentParser(prog="python -m jaxlm.report", description=__doc__)
    parser.add_argument(
        "--workdir",
        required=True,
        nargs="+",
        action="extend",
        type=pathlib.Path,
        dest="workdirs",
        help="of one or more training runs; it may be given several times",
    )
    add_data_arguments(parser)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("report.html"), help="default: %(default)s")
    parser.add_argument(
        "--no-sensitivity",
        action="store_false",
        dest="with_sensitivity",
        help="leave out how errors grow when face boxes are off, which takes most of the time",
    )
    arguments = parser.parse_args(argv)
    with told_errors():
        report(**vars(arguments))


if __name__ == "__main__":
    main()
