"""NME, FR and AUC of a model, with their protocol: `jaxlm evaluate --workdir DIR --dataset wflw`

Every face counts exactly once, whatever the batch size and the number of devices. FR and AUC are computed over all
faces at once, never averaged over batches. Metrics, predictions and pictures go to DIR/evaluation/DATASET-SPLIT/; for
`--weights NAME.npz` DIR is runs/NAME.

`--dataset wflw --source WFLW` judges by an archive as it was published, without preparing it. Models that look at the
photo itself, the released ones of DPR, then see the photos, by which their published numbers are.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jaxlm.evaluation import evaluate_and_write
from jaxlm.runtime import allocation, commands, distributed
from jaxlm.tasks import metrics


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of evaluation."""
    parser = commands.parser("evaluate", __doc__)
    commands.add_model_arguments(parser)
    commands.add_data_arguments(parser)
    parser.add_argument(
        "--source",
        type=pathlib.Path,
        metavar="DIR",
        help="the folder of a published archive of the format --dataset, in place of a prepared set",
    )
    parser.add_argument("--normaliser", choices=metrics.NORMALISERS, help="default: inter_ocular, or box without eyes")
    parser.add_argument("--flip-test", action="store_true", help="average with the points of the mirrored crop")
    parser.add_argument(
        "--conditions",
        action="store_true",
        help="a second table: turned faces, closed eyes, and faces that are small, blurred, dark or covered",
    )
    arguments = parser.parse_args(argv)
    allocation.keep_memory()
    with commands.told_errors():
        distributed.start()
        distributed.require_agreement({"arguments": repr(sorted(vars(arguments).items()))})
        evaluate_and_write(**vars(arguments))


if __name__ == "__main__":
    main()
