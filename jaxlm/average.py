"""The mean of the weights of several models: `jaxlm average --workdir RUN RUN [RUN ...] --out MEAN.npz`

A model soup (Wortsman et al., ICML 2022, arXiv 2203.05482): where runs went on from the same weights (`--init-from`),
with other data, seeds or augmentation, their mean often errs less than each of them, and takes no longer than one. Runs
that began apart have nothing in common to average. Batch statistics are averaged, too. The file is a bundle, as
`jaxlm export --format bundle` writes it, with an empty card; judge it with
`jaxlm evaluate --weights MEAN.npz --dataset SET`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jaxlm import checkpoints
from jaxlm.runtime import commands


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of averaging."""
    parser = commands.parser("average", __doc__)
    commands.add_model_arguments(parser, several=True)
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="MEAN.npz", help="the file to write")
    arguments = parser.parse_args(argv)
    with commands.told_errors():
        checkpoints.check_bundle_output(arguments.out, arguments.paths)
        paths = [path.resolve() for path in arguments.paths]
        if twice := [str(path) for path in arguments.paths if paths.count(path.resolve()) > 1]:
            raise ValueError(f"{twice[0]} is named twice; the mean is of different models")
        models = checkpoints.open_models(arguments.paths, step=arguments.step, head=arguments.head)
        checkpoints.save_bundle(arguments.out, checkpoints.average_weights(models))
    print(f"Wrote {arguments.out}, the mean of {len(models)} models")


if __name__ == "__main__":
    main()
