"""How a face detector's boxes become a model's: `jaxlm calibrate --weights FILE.npz --out NEW.npz`

A model is trained on boxes of one convention, and a face detector gives boxes of another. The detector looks at the
frames of the faces that the model was validated on. Where it finds the face, the box found and the true one are a pair,
and the medians over all pairs are written to a copy of the model's file, for `jaxlm predict` and `jaxlm.Landmarker`.
The released models of DPR, which look at the photo itself, learnt rectangles of WFLW. Of other sets, whose faces may
have points of any scheme, the true box is made from the landmarks, as such rectangles lie about them.

More is measured: how the tight bounding box of the landmarks becomes the true box, by which faces are followed in
videos, and what the model's confidences mean. From then on the confidence of a point is the probability that it is
within 5 % of the distance of the outer eye corners (of the face's size, where the scheme names none), and the model
gives the error to expect. That takes ten faces, and none that the model learnt from: with `--split train` of its own
set, confidences are left as they are.
Detections below the calibrated confidence are dropped; it is half of the least mean confidence of any of these faces,
and three quarters where confidences are raw scores.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jaxlm.checkpoints import check_bundle_output
from jaxlm.prediction import calibration
from jaxlm.runtime import commands


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of calibration."""
    parser = commands.parser("calibrate", __doc__)
    commands.add_model_arguments(parser)
    commands.add_data_arguments(parser)
    parser.add_argument(
        "--detector", default="blazeface", help="blazeface, dlib or yunet:MODEL.onnx (default: %(default)s)"
    )
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="NEW.npz", help="the file to write")
    arguments = parser.parse_args(argv)
    with commands.told_errors():
        check_bundle_output(arguments.out, [arguments.path])
        calibration.calibrate_and_write(**vars(arguments))


if __name__ == "__main__":
    main()
