"""PyTorch checkpoints to this project's weights: python -m jaxlm.convert CHECKPOINT... --model dpr_gsr --out FILE.npz

Several files make up one model. Every tensor used, left over and missing is reported, and the exit status is 1 where
anything is left over, missing or of the wrong shape. `--weights` and `Landmarker.load` take what becomes of a landmark
model, `--init-from` what becomes of any. PyTorch is needed to read checkpoints, and for nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from jaxlm.interop.torch_checkpoints import convert_state, likely_model, merge, read_checkpoint
from jaxlm.interop.torch_maps import MAPS
from jaxlm.models import save_weights
from jaxlm.runtime.commands import told_errors


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jaxlm.convert", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="PyTorch files that make up one model")
    parser.add_argument("--model", required=True, choices=sorted(MAPS))
    parser.add_argument("--out", required=True, metavar="FILE.npz")
    parser.add_argument("--scheme", default="wflw98", help="landmark scheme of the checkpoint (default: %(default)s)")
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="NETWORK",
        help="networks that are in none of the files, for example part_regressors; they stay untrained",
    )
    arguments = parser.parse_args(argv)
    with told_errors():
        state = merge({path: read_checkpoint(path) for path in arguments.checkpoints})
        converted = convert_state(state, arguments.model, arguments.scheme, arguments.without)
    print(converted.report)
    if not converted.report.ok:
        likely = likely_model(state, arguments.scheme)
        hint = f"; the tensors look like {likely}'s" if likely != arguments.model else ""
        print(f"this is not all of {arguments.model} and nothing else, so nothing is written{hint}", file=sys.stderr)
        return 1
    files = ", ".join(os.path.basename(path) for path in arguments.checkpoints)
    card = {"origin": f"converted from PyTorch: {files}", "licence": "that of the checkpoint"}
    save_weights(arguments.out, converted.variables, converted.metadata | {"card": card})
    print(f"wrote {arguments.out}: {arguments.model}, {card['origin']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
