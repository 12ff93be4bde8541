"""PyTorch checkpoints to weights of jaxlm: `jaxlm convert CHECKPOINT... --model dpr_gsr --out FILE.npz`

Several files make up one model. Every tensor used, left over and missing is reported, and the exit status is 1 where
anything is left over, missing or of the wrong shape. `--weights` and `Landmarker.load` take the file of a landmark
model, `--init-from` that of any model. Reading checkpoints needs PyTorch (the extra `convert`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jaxlm.interop import MAPS, convert_and_write
from jaxlm.runtime import commands


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of conversion; 0 where a file was written."""
    parser = commands.parser("convert", __doc__)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="PyTorch files that make up one model")
    parser.add_argument("--model", required=True, choices=sorted(MAPS), help="what the files hold")
    parser.add_argument("--out", required=True, metavar="FILE.npz", help="the file to write")
    parser.add_argument(
        "--scheme", help="landmark scheme of the checkpoint (default: the built-in one of as many points)"
    )
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="NETWORK",
        help="networks that are in none of the files, for example part_regressors; they stay untrained",
    )
    arguments = parser.parse_args(argv)
    with commands.told_errors():
        written = convert_and_write(**vars(arguments))
    return 0 if written else 1


if __name__ == "__main__":
    sys.exit(main())
