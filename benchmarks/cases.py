"""What `benchmarks.models` times: networks at fixed sizes, and the noise that they are fed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np


@dataclasses.dataclass(frozen=True)
class Network:
    """A network in two forms, ours and PyTorch's.

    Attributes:
      name: What the table calls it.
      model: A key of jaxlm.models.MODELS, and of benchmarks.torch_runs.NETWORKS with `options`.
      size: Side of the images in pixels.
      num_points: Landmarks that it predicts.
      options: Of our model.
      forward: Batches to run it on.
      step: Batches to train it on.
    """

    name: str
    model: str
    size: int
    num_points: int
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    forward: tuple[int, ...] = (1, 8, 32)
    step: tuple[int, ...] = (8, 32)


NETWORKS = (
    Network("vanilla CNN", "cnn", 128, 98),
    Network("vanilla CNN, batch norm", "cnn", 128, 98, {"norm": "batch"}),
    Network("SepBN", "cnn", 128, 98, {"norm": "sepbn"}),
    Network("ShuffleNetV2 heat-map", "shufflenetv2_heatmap", 384, 68, forward=(1, 16), step=(16,)),
    Network("DPR GSR, photo to points", "dpr_gsr", 450, 98, forward=(1, 8), step=()),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    network: Network
    what: Literal["forward", "step"]
    batch: int

    @property
    def name(self) -> str:
        return f"{self.network.name}, {'training step' if self.what == 'step' else 'forward'}, batch {self.batch}"


CASES = tuple(
    Case(network, what, batch)
    for network in NETWORKS
    for what in ("forward", "step")
    for batch in getattr(network, what)
)


def images(case: Case) -> np.ndarray:
    """Noise [B, S, S, 3] float32 of the range of normalised images."""
    network = case.network
    return np.random.default_rng(0).uniform(-1, 1, (case.batch, network.size, network.size, 3)).astype(np.float32)


def photos_and_boxes(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Noise uint8 [B, S, S, 3], and a box [B, 4] in the middle of each."""
    side = case.network.size
    photos = np.random.default_rng(0).integers(0, 256, (case.batch, side, side, 3), np.uint8)
    return photos, np.tile(np.float32([0.25, 0.25, 0.75, 0.75]) * side, (case.batch, 1))
