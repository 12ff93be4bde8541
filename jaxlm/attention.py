"""Seeing SepBN: `python -m jaxlm.attention --workdir DIR` draws its affine sets and its attention for some faces."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from jaxlm import checkpoints
from jaxlm.evaluation import judging
from jaxlm.evaluation.sepbn_attention import look, plot_attention, plot_parameters
from jaxlm.runtime.commands import told_errors


def main(argv: Sequence[str] | None = None) -> None:
    """The command line that draws both pictures into the run's folder."""
    parser = argparse.ArgumentParser(prog="python -m jaxlm.attention", description=__doc__)
    parser.add_argument("--workdir", required=True, type=pathlib.Path, help="folder of a trained run")
    parser.add_argument("--dataset", help="a prepared set or a packed .npz file (default: the one trained on)")
    parser.add_argument("--split", help="default: the set's test splits, else the part held out from training")
    parser.add_argument("--data-dir", help="where the prepared sets are (default: the one trained from)")
    parser.add_argument("--faces", type=int, default=12, help="how many faces (default: %(default)s)")
    arguments = parser.parse_args(argv)
    with told_errors():
        trained = checkpoints.load_model(arguments.workdir)
        config = trained.config
        dataset, data_dir = arguments.dataset or config.data.dataset, arguments.data_dir or config.data.data_dir
        faces, _ = judging.open_evaluation(config, dataset, arguments.split, data_dir)
        crops, layers = look(trained, faces, arguments.faces)
    files = [arguments.workdir / "sepbn_parameters.png", arguments.workdir / "sepbn_attention.png"]
    plot_parameters(files[0], layers)
    plot_attention(files[1], crops, layers)
    print(f"wrote {files[0]} and {files[1]}: {len(crops)} faces of {dataset}, split {faces.split}")


if __name__ == "__main__":
    main()
