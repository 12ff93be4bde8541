"""Faces with the points of trained models: `jaxlm relabel --workdir RUN [RUN ...] --dataset SET --out NEW.npz`

Writes a pack of the same frames in which each face has the points that the models find, their mean, in place of those
it came with. A student then learns from them beside those made by hand (`--data.dataset 300w.npz+NEW.npz`). They may
be of faces whose labels follow another protocol, as in self-training (Xie et al., CVPR 2020, arXiv 1911.04252), or of
the very faces that the models learnt, which takes some of the chance out of labels (Furlanello et al., ICML 2018, arXiv
1805.04770). Boxes stay as they are. It prints how far the points have moved.

With `--follow-labels` faces with labels of fewer points get those of a model of more: 300-W's faces with 68 points get
the 98 of `--weights wflw98`, corrected face by face by their labels.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jaxlm.checkpoints import open_models
from jaxlm.evaluation import relabel_and_write
from jaxlm.runtime import allocation, commands


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of relabelling."""
    parser = commands.parser("relabel", __doc__)
    commands.add_model_arguments(parser, several=True)
    parser.add_argument("--dataset", required=True, help="a prepared set or a packed .npz file")
    parser.add_argument("--data-dir", default="data", help="where the set was prepared")
    parser.add_argument("--flip-test", action="store_true", help="average with the points of the mirrored crop")
    parser.add_argument(
        "--follow-labels",
        action="store_true",
        help="correct the points by the labels, which are of fewer points",
    )
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="NEW.npz", help="the pack to write")
    arguments = parser.parse_args(argv)
    allocation.keep_memory()
    with commands.told_errors():
        teachers = open_models(arguments.paths, step=arguments.step, head=arguments.head)
        relabel_and_write(
            teachers,
            arguments.dataset,
            arguments.data_dir,
            arguments.out,
            flip_test=arguments.flip_test,
            follow_labels=arguments.follow_labels,
        )


if __name__ == "__main__":
    main()
