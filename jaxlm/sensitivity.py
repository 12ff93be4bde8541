"""How a model's error grows when face boxes are off: `jaxlm sensitivity --workdir DIR`

Face detectors give boxes of differing place and size. The box of every face is moved by 0 to 30 % of its side, in four
directions whose errors are averaged, or scaled by 0.7 to 1.4 about its centre. Several models share one table and one
picture: `--workdir runs/dpr_gsr_300w runs/mobilenet_300w` compares reinitialisation with a plain regressor.

Crops are cut from prepared frames. What a moved or larger crop shows beyond its frame is black, and the table says how
much of it that is; sets prepared with a larger `--margin` have less of it.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jaxlm.evaluation import box_sensitivity
from jaxlm.runtime import commands, distributed


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of box sensitivity."""
    parser = commands.parser("sensitivity", __doc__)
    commands.add_model_arguments(parser, several=True)
    commands.add_data_arguments(parser)
    parser.add_argument("--out", type=pathlib.Path, help="folder of the files (default: the first model's evaluation)")
    arguments = parser.parse_args(argv)
    with commands.told_errors():
        distributed.start()
        distributed.require_agreement({"arguments": repr(sorted(vars(arguments).items()))})
        box_sensitivity.measure_and_write(**vars(arguments))


if __name__ == "__main__":
    main()
