"""Tries every detector in every format and precision of ONNX and TFLite, and writes a table.

python -m benchmarks.exports [--only san] [--out benchmarks/results/exports.md]

Weights are random, some networks are narrower than in their experiments, and crops are small. So what is shown is
whether a format takes the operators, and how exactly they are computed; what a precision costs in NME is a question of
trained weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import experiment, models
from jaxlm.checkpoints import Trained
from jaxlm.files import write_whole
from jaxlm.interop import ExportError, exporting, parity, parity_faces, programs
from jaxlm.landmarks import load_scheme

_NARROW = {"widths": (16, 32, 64, 128), "head_width": 256}
# A row's experiment, options that make its network narrow, and the side of its crops in pixels.
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "cnn": ("wing_300w", _NARROW, 64),
    "cnn, batch norm": ("cnn_bn_300w", _NARROW, 64),
    "cnn, SepBN": ("sepbn_300w", _NARROW, 64),
    "dpr_glsr": ("dpr_glsr_300w", {}, 256),
    "dpr_gsr": ("dpr_gsr_300w", {}, 256),
    "fan": ("fan_300w", {"width": 64}, 64),
    "lab": ("lab_300w", {"width": 64, "stacks": 1}, 128),
    "mobilenetv2_small": ("mobilenet_300w", {}, 64),
    "resnet18": ("resnet18_300w", {}, 64),
    "resunet": ("resunet_300w", {}, 64),
    "san": ("san_300w", {"width": 16}, 64),
    "san_style": ("san_style_300w", {"width": 16}, 64),
    "shufflenetv2_heatmap": ("shufflenet_300w", {}, 64),
}
COLUMNS = [(kind, precision) for kind in ("onnx", "tflite") for precision in exporting.PRECISIONS]
_FACES = 8


def untrained(name: str, options: Mapping[str, Any], size: int) -> Trained:
    """The detector of an experiment with other options and random weights, for crops of `size` pixels."""
    config = experiment.load(name)
    options = {**config.model.options, **options}
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, input_size=size, options=options))
    scheme = load_scheme(config.data.scheme)
    model = models.build(config.model.name, scheme.num_points, config.model.options, jnp.float32)
    images = jnp.zeros((1, size, size, 3))
    variables = jax.jit(lambda key: model.init(key, images, train=False))(jax.random.key(0))
    return Trained(config, model, jax.tree.map(_drawn, variables), 0, scheme)


def _drawn(array: jax.Array) -> jax.Array:
    """Small random numbers for weights that a network begins with as zeros; its points would show nothing."""
    if array.ndim < 2 or jnp.any(array):
        return array
    return 0.001 * jax.random.normal(jax.random.key(1), array.shape)


def outcomes(detector: Trained) -> Iterator[tuple[str, str | None]]:
    """For each of COLUMNS the cell, and why there is no file, if so.

    A cell is the size of the file and how far points are off: in float32 the one that is off most, otherwise the
    median, as the highest cell of a map that was drawn at random may be another one for a small difference.
    """
    crops = parity_faces.load(detector.config).crops[:_FACES]
    ours = np.asarray(jax.jit(programs.detect_function(detector))(crops)[0])
    for kind, precision in COLUMNS:
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "file")
            try:
                theirs = parity.points_of(exporting.write_and_read(detector, kind, file, precision), crops)
            except ExportError as error:
                yield "no", str(error)
                continue
            distances = np.linalg.norm(theirs - ours, axis=-1)
            off = distances.max() if precision == "float32" else np.median(distances)
            yield f"{file.stat().st_size / 1e6:.1f} MB, {off:.2g} px", None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of the names of the rows")
    parser.add_argument("--out", type=pathlib.Path, help="a Markdown file for the table")
    arguments = parser.parse_args()
    lines = [
        f"| model | px | {' | '.join(f'{kind}, {precision}' for kind, precision in COLUMNS)} |",
        "|---|---|" + len(COLUMNS) * "---|",
    ]
    print(*lines, sep="\n", flush=True)
    reasons = []
    for name, case in CASES.items():
        if arguments.only not in name:
            continue
        cells, why = zip(*outcomes(untrained(*case)), strict=True)
        lines.append(f"| {name} | {case[-1]} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
        reasons += [reason for reason in why if reason]
    lines += ["", *(f"- {reason}" for reason in dict.fromkeys(reasons))]
    print(*lines[-len(dict.fromkeys(reasons)) - 1 :], sep="\n")
    if arguments.out:
        write_whole(arguments.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
