"""Does a translator keep structure and style apart? `jaxlm disentangle --workdir DIR --judge DETECTOR`

All pairs of up to 64 held-out faces are rendered, each style in each structure. They are judged by a detector that was
trained on photos alone, by colours and textures, by the translator's own style encoder, and by a linear probe from
style codes to landmarks. AVS (Qian et al., ICCV 2019) shows pictures; these are the numbers behind them.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import absl.logging

from jaxlm.evaluation import VALIDATION
from jaxlm.runtime import commands
from jaxlm.styles.disentangling import MOST_FACES, check_translator


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of the checks."""
    parser = commands.parser("disentangle", __doc__)
    parser.add_argument("--workdir", required=True, type=pathlib.Path, help="folder of the translator's training run")
    parser.add_argument(
        "--judge", required=True, type=pathlib.Path, metavar="DETECTOR", help="workdir or file of weights of a detector"
    )
    parser.add_argument("--dataset", help="a prepared set or a packed .npz file (default: the one trained on)")
    parser.add_argument("--data-dir", help="where the set was prepared (default: as in training)")
    parser.add_argument("--split", default=VALIDATION, help="default: the part held out from training")
    parser.add_argument(
        "--faces", type=commands.count, default=16, help=f"how many faces are paired, 2 to {MOST_FACES}"
    )
    parser.add_argument("--step", type=int, help="checkpoint to take (default: the best by validation, else the last)")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the files (default: in the run's evaluation)")
    arguments = parser.parse_args(argv)
    absl.logging.set_verbosity(absl.logging.ERROR)  # Orbax warns of metadata that it does not need.
    with commands.told_errors():
        check_translator(**vars(arguments))


if __name__ == "__main__":
    main()
