"""The mean of the weights of several models: a model soup (Wortsman et al., ICML 2022, arXiv 2203.05482)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxlm.checkpoints.trained import Trained
from jaxlm.landmarks import text_of


def average_weights(detectors: Sequence[Trained]) -> Trained:
    """The first detector with the mean of all their variables, batch statistics included, and with an empty card.

    What was measured of the first alone, its boxes and what its confidences mean, is left out, and so are the
    checksums of its faces where the others learnt from other faces.

    Raises:
      ValueError: There are fewer than two, or they differ in model, task, crop, scheme or head.
    """
    if len(detectors) < 2:
        raise ValueError("one model is its own mean; give two or more, with --weights, --workdir or both")
    first, *others = detectors
    for number, other in enumerate(others, start=2):
        for (field, ours), theirs in zip(_architecture(first).items(), _architecture(other).values(), strict=True):
            if ours != theirs:
                raise ValueError(f"model {number} has another {field} than the first: {theirs} in place of {ours}")
    trees = [jax.device_get(detector.variables) for detector in detectors]
    mean = jax.tree.map(lambda *arrays: np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[0].dtype), *trees)
    data = first.data if all(other.data == first.data for other in others) else {}
    return dataclasses.replace(
        first, variables=mean, card={}, boxes={}, least_confidence=0.0, confidence=None, data=data
    )


def _architecture(detector: Trained) -> dict[str, Any]:
    """What models must agree in for the mean of their weights to be of use."""
    config, head = detector.config, detector.head
    return {
        "model": config.model,
        "task": config.task,
        "crop": config.data.crop,
        "scheme": text_of(detector.scheme),
        "place of the head": head and (head.start, head.stop, detector.model.num_points),
    }
