"""A trained detector as one file: python -m jaxlm.export --workdir RUN --format bundle|stablehlo|onnx --out FILE

- `bundle`: weights, config and scheme, for jaxlm itself; see jaxlm/checkpoints/bundle.py.
- `stablehlo`: the whole program with its weights, for JAX on a CPU, GPU or TPU. JAX promises to read such a file for
  six months, so keep a bundle, too.
- `onnx`: the same for ONNX runtimes; it needs jax2onnx: pip install "jaxlm[onnx]".

Programs take crops uint8 [B, S, S, 3] and give points [B, N, 2] in crop pixels and, where the model says, confidences
[B, N]; a .json file beside them tells how to cut the crops. Every file is read back and must give our points for 32
faces, of the run's validation split where it can be opened and else rendered; nothing is written where a point is off
by more than 0.01 crop pixels, and the exit status is 1. The model is that of a run or of a bundle (`--weights`).
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from jaxlm.checkpoints import bundle
from jaxlm.interop.exporting import FORMATS, export, of_run
from jaxlm.runtime.commands import told_errors


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m jaxlm.export", description=__doc__.splitlines()[0])
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--workdir", help="of a training run")
    model.add_argument("--weights", metavar="FILE", help="a bundle, or what python -m jaxlm.convert wrote")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="FILE")
    parser.add_argument("--head", help="of a run on several data sets: the name of one (default: the first)")
    parser.add_argument("--faces", metavar="SET", help="prepared set or pack to compare points on (default: the run's)")
    parser.add_argument("--card", type=pathlib.Path, metavar="FILE.json", help="free text: data, recipe, licence, ...")
    arguments = parser.parse_args(argv)
    if arguments.weights and arguments.head:
        parser.error("--head is for a run; a file of weights has one head")
    with told_errors():
        card = bundle.read_card(arguments.card) if arguments.card else {}
        if arguments.weights:
            detected = bundle.load(arguments.weights)
            detected = detected._replace(card=detected.card | card)
        else:
            detected = of_run(arguments.workdir, arguments.head, card)
        export(detected, arguments.format, arguments.out, arguments.faces)


if __name__ == "__main__":
    main()
