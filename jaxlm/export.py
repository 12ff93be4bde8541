"""A trained detector for elsewhere: `jaxlm export --workdir DIR --format bundle|stablehlo|onnx|tflite|web --out FILE`

- `bundle`: weights, config and scheme, for jaxlm itself; see jaxlm/checkpoints/bundle.py.
- `stablehlo`: the whole program with its weights, for JAX on a CPU, GPU or TPU. JAX promises to read such a file for
  six months, so keep a bundle, too.
- `onnx`: the same for ONNX runtimes; it needs pip install "jaxlm[onnx]".
- `tflite`: the same for phones, one crop at a time; it needs pip install "jaxlm[tflite]".
- `web`: a folder with a page that finds faces and their points in a browser, by itself; it needs jaxlm[onnx] and npm.

Programs take crops uint8 [B, S, S, 3]. They give points [B, N, 2] in crop pixels and, where the model says, confidences
[B, N]. A .json file beside them tells how to cut the crops; beside ONNX and TFLite a page .md has code to copy, too.

Every file is read back. One of float32 must give our points to 0.01 crop pixels for 32 faces, of the run's validation
split where it can be opened, else rendered ones. With `--precision float16` or `int8` its NME may be 0.02 points worse
on up to 512 such faces; without labels the mean distance from our points counts. Otherwise nothing is written, and the
exit status is 1; `--accept` takes the cost.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jaxlm.interop import exporting
from jaxlm.prediction import web
from jaxlm.runtime import commands


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of exporting."""
    parser = commands.parser("export", __doc__)
    commands.add_model_arguments(parser)
    parser.add_argument("--format", required=True, choices=(*exporting.FORMATS, web.FORMAT), dest="kind")
    parser.add_argument(
        "--precision",
        choices=tuple(exporting.PRECISIONS),
        help="of the network and its weights (default: float32; of web float16)",
    )
    parser.add_argument(
        "--out", required=True, type=pathlib.Path, metavar="FILE", help="the file to write; of web the folder"
    )
    parser.add_argument(
        "--faces", metavar="SET", dest="dataset", help="prepared set or pack to compare points on (default: the run's)"
    )
    parser.add_argument("--accept", action="store_true", help="write the file whatever its precision costs in NME")
    parser.add_argument("--card", type=pathlib.Path, metavar="FILE.json", help="free text: data, recipe, licence, ...")
    parser.add_argument("--runtime", type=pathlib.Path, metavar="FILE.tgz", help="of web: npm's package of its runtime")
    arguments = vars(parser.parse_args(argv))
    kind, archive, precision = (arguments.pop(name) for name in ("kind", "runtime", "precision"))
    if archive is not None and kind != web.FORMAT:
        parser.error(f"--runtime is for --format {web.FORMAT}")
    with commands.told_errors():
        if kind == web.FORMAT:
            web.open_and_write(**arguments, precision=precision or "float16", archive=archive)
        else:
            exporting.open_and_export(**arguments, kind=kind, precision=precision or "float32")


if __name__ == "__main__":
    main()
