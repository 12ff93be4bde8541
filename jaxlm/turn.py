"""Turned and closed-eyed training faces: `jaxlm turn --dataset 300w.npz --out turned.npz`

Turns the heads of photos with 68 points further to the side, by the idea of 300W-LP (Zhu et al., CVPR 2016): a head is
fitted to the points, gives the photo depth, and is turned with it, up to a yaw of 75 degrees. The contour's points lie
on the edge that is seen, as 300-W has them. A share of the new faces has its eyes shut. Mix them into a training by
`--data.styled turned.npz`.

Faces held out from training are never turned, but with --held-out, which turns them alone, to judge by. The same
command makes the same faces.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jaxlm import config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines.prepared import check_pack_name, is_pack_called
from jaxlm.data_pipelines.turning import TURNED, Plan, turn_faces
from jaxlm.files import check_output
from jaxlm.runtime import commands, progress


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of turning faces."""
    parser = commands.parser("turn", __doc__)
    data = config.DataConfig()
    parser.add_argument("--dataset", required=True, help="a prepared set or a packed .npz file of 68 points")
    parser.add_argument("--data-dir", default=data.data_dir, help="where the set was prepared")
    parser.add_argument("--split", default=data.train_split, help="split whose faces are turned")
    parser.add_argument(
        "--validation-percent",
        type=commands.within(int, 0, 99),
        default=data.validation_percent,
        help="share of the photos that training holds out, as its --data.validation-percent says",
    )
    parser.add_argument("--held-out", action="store_true", help="turn the faces held out from training, to judge by")
    parser.add_argument("--copies", type=commands.count, default=Plan.copies, help="new faces of each photo")
    parser.add_argument(
        "--closed", type=commands.within(float, 0, 1), default=Plan.closed, help="share of them whose eyes are shut"
    )
    parser.add_argument(
        "--seed", type=commands.within(int, 0, 2**31 - 1), default=Plan.seed, help="number from which turns are drawn"
    )
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="NEW.npz", help="the pack to write")
    arguments = parser.parse_args(argv)
    with commands.told_errors():
        turn(**vars(arguments))


def turn(
    dataset: str,
    data_dir: str,
    split: str,
    validation_percent: int,
    held_out: bool,
    copies: int,
    closed: float,
    seed: int,
    out: pathlib.Path,
) -> None:
    """Writes the pack of turned faces; see the command's help for the arguments.

    Raises:
      FileNotFoundError: The set is not prepared.
      FileExistsError: `out` is the set itself, or there and no pack of turned faces.
      ValueError: The set has no such split or other points than those of ibug68, or no face can be turned.
    """
    check_pack_name(out)
    ours = "a pack of turned faces"  # Of others the photos would be lost.
    check_output(out, ours, lambda file: is_pack_called(file, TURNED), [pathlib.Path(dataset)])
    photos = input_lib.open_faces(dataset, split, data_dir)
    chosen = input_lib.hold_out(photos, validation_percent)[held_out]
    if not len(chosen):
        raise ValueError(f"{dataset}, {split}: no face is {'held out' if held_out else 'left to train on'}")
    plan = Plan(copies=copies, closed=closed, seed=seed)
    with progress.counting(len(chosen), "turning") as advance:
        outcome = turn_faces(chosen, plan, "test" if held_out else "train", advance)
    made = outcome.faces
    input_lib.write_pack(out, {made.split: made})
    kind = "held-out photos" if held_out else "photos to train on"
    print(f"{len(made)} faces of {len(chosen)} {kind}, {outcome.closed} with shut eyes")
    incomplete = f"{outcome.incomplete} photos that lack points, " if outcome.incomplete else ""
    unfit = f"{outcome.bad_fits} photos that the head does not fit"
    print(f"Left out: {incomplete}{unfit}, {outcome.folded} faces that turning hides")
    print(f"Wrote {out}")


if __name__ == "__main__":
    main()
