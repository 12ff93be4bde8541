"""The mean of the weights of several models: python -m jaxlm.average --workdir RUN RUN [RUN ...] --out MEAN.npz

A model soup (Wortsman et al., ICML 2022, arXiv 2203.05482): where runs went on from the same weights (`--init-from`),
with other data, seeds or augmentation, their mean often errs less than each, at the cost of one. Runs that began apart
have nothing in common to average. Batch statistics are averaged, too. The file is one of `python -m jaxlm.export
--format bundle`, with an empty card; judge it with `python -m jaxlm.evaluate --weights MEAN.npz --dataset SET`.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxlm.checkpoints import Bundle, Trained, bundle
from jaxlm.checkpoints.opening import add_models, open_models
from jaxlm.runtime.commands import told_errors


def average(detectors: Sequence[Bundle]) -> Trained:
    """The first detector with the mean of all their variables.

    Raises:
      ValueError: They are not of one model, task, crop, scheme and head.
    """
    first, *others = detectors
    for number, other in enumerate(others, start=2):
        for (field, ours), theirs in zip(_architecture(first).items(), _architecture(other).values(), strict=True):
            if ours != theirs:
                raise ValueError(f"model {number} has another {field} than the first: {theirs} in place of {ours}")
    trees = [jax.device_get(detector.trained.variables) for detector in detectors]
    mean = jax.tree.map(lambda *arrays: np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[0].dtype), *trees)
    return first.trained._replace(variables=mean)


def _architecture(detector: Bundle) -> dict[str, Any]:
    """What weights must agree in for their mean to be of use."""
    config, head = detector.trained.config, detector.trained.head
    return {
        "model": config.model,
        "task": config.task,
        "crop": config.data.crop,
        "scheme": detector.scheme.name,
        "place of the head": head and (head.start, head.stop, detector.trained.model.num_points),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxlm.average", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="MEAN.npz")
    arguments = parser.parse_args(argv)
    with told_errors():
        detectors = open_models(arguments)
        if len(detectors) < 2:
            raise ValueError("one model is its own mean; give two or more, with --weights, --workdir or both")
        bundle.save(arguments.out, average(detectors))
    print(f"Wrote {arguments.out}, the mean of {len(detectors)} models")


if __name__ == "__main__":
    main()
