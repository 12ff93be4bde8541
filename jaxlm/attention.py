"""What SepBN learnt: `jaxlm attention --workdir DIR` draws its affine sets, and its attention for some faces

The pictures sepbn_parameters.png and sepbn_attention.png go to DIR/attention/; for `--weights NAME.npz` DIR is
runs/NAME.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxlm.evaluation import sepbn_attention
from jaxlm.runtime import commands


def main(argv: Sequence[str] | None = None) -> None:
    """The command line that draws both pictures."""
    parser = commands.parser("attention", __doc__)
    commands.add_model_arguments(parser)
    commands.add_data_arguments(parser)
    parser.add_argument("--faces", type=commands.count, default=12, dest="count", metavar="N", help="how many faces")
    arguments = parser.parse_args(argv)
    with commands.told_errors():
        sepbn_attention.draw_and_write(**vars(arguments))


if __name__ == "__main__":
    main()
