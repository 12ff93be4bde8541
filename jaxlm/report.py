"""One page on several models: `jaxlm report --workdir A B --weights C.npz --out report.html`

The page holds tables, curves and pictures of detectors and translators, is one file, and asks for nothing outside it.
Every model is judged once, by the faces that it held out of its training, as `jaxlm train` does at its end; by others
with --dataset or --split. The page says which. Numbers of different protocols stay apart. Where a model's faces are not
at hand, its last evaluation is shown instead.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jaxlm.runtime import commands
from jaxlm.studies import write_report


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of reports."""
    parser = commands.parser("report", __doc__)
    commands.add_model_arguments(parser, several=True)
    held_out = "the part held out from training, as at the end of jaxlm train; where all was learnt, the test splits"
    commands.add_data_arguments(parser, f"{held_out}. With --dataset: its test splits, else that part of it")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("report.html"), help="the page to write")
    parser.add_argument(
        "--no-sensitivity",
        action="store_false",
        dest="with_sensitivity",
        help="leave out how errors grow when face boxes are off, which takes most of the time",
    )
    arguments = parser.parse_args(argv)
    with commands.told_errors():
        write_report(**vars(arguments))


if __name__ == "__main__":
    main()
