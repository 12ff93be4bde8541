"""Training faces in other styles: `jaxlm stylize --workdir DIR --name styled_300w` draws each in 8 styles

AVS (Qian et al., ICCV 2019): a trained translator renders every training face with its own structure and the styles of
other photos; the labels stay. Faces held out from the translator's training are never drawn. Which style goes to which
face is drawn from a seed and written down before the first picture, as DATA_DIR/NAME/renders/manifest.csv. A run that
was stopped goes on when its command is given again. At its end the set NAME can be trained on, and
`python -m data_pipelines.prepare styled --source DATA_DIR/NAME/renders --name NAME` builds it again. Several processes
that share DATA_DIR, started as for training, share the pictures. Each draws on its first device.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import absl.logging

from jaxlm.runtime import commands, distributed
from jaxlm.styles.rendering import stylize


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of style translation."""
    parser = commands.parser("stylize", __doc__)
    parser.add_argument("--workdir", required=True, type=pathlib.Path, help="folder of the translator's training run")
    parser.add_argument("--name", required=True, help="name of the new set: letters, digits and _")
    parser.add_argument("--data-dir", help="folder of the prepared sets, the new one too (default: as in training)")
    parser.add_argument("--dataset", help="set whose training faces are drawn (default: the one trained on)")
    parser.add_argument(
        "--kind",
        choices=("transfer", "self", "prior"),
        default="transfer",
        help="styles of other photos; the face's own, to compare with; or drawn from the prior (default: transfer)",
    )
    parser.add_argument("--styles", type=int, help="renders of each face (default: 8, with --kind self 1)")
    parser.add_argument(
        "--style-photos", metavar="DIR or SET", help="take styles from photos in DIR, with boxes.csv, or from a set"
    )
    parser.add_argument(
        "--first-latent",
        choices=("mean", "drawn"),
        default="mean",
        help="what the second latent of a style is given of the first: its mean, or a draw for each render, as"
        " published (default: mean)",
    )
    parser.add_argument("--seed", type=int, default=0, help="number from which the styles are drawn")
    parser.add_argument("--step", type=int, help="checkpoint to take (default: the best by validation, else the last)")
    parser.add_argument("--overwrite", action="store_true", help="throw away what is there under this name")
    distributed.add_arguments(parser)
    arguments = vars(parser.parse_args(argv))
    cluster = {name: arguments.pop(name) for name in ("cluster", "coordinator", "num_processes", "process_id")}
    absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns that its configuration is custom.
    try:
        with commands.told_errors():
            distributed.start(**cluster)
            stylize(**arguments)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted; the same command goes on from there.") from None


if __name__ == "__main__":
    main()
