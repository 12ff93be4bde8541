"""PyTorch's side of `benchmarks.models`: functions that run a case once and return when it is done."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks import cases, torch_networks
from benchmarks.cases import Case, Network
from jaxlm.runtime import allocation

Run = Callable[[], object]

_NORMS = {"none": None, "batch": nn.BatchNorm2d, "sepbn": torch_networks.SepBatchNorm}


def build(case: Case, dtype: str, compiled: bool = False, keep_memory: bool = False) -> Run:
    """A case on fixed inputs on the GPU if there is one, in PyTorch's default layout.

    Args:
      case: What to run.
      dtype: `bfloat16` computes by autocast.
      compiled: By `torch.compile` instead of eagerly.
      keep_memory: As we do on CPUs.
    """
    if keep_memory:
        allocation.keep_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = make(case.network).to(device)
    forward = torch.compile(network) if compiled else network
    inputs = [array.to(device) for array in _inputs(case)]
    optimiser = torch.optim.SGD(network.parameters(), 1e-4, momentum=0.9)
    network.train(case.what == "step")

    def run() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            if case.what == "forward":
                with torch.inference_mode():
                    forward(*inputs)
            else:
                optimiser.zero_grad()
                forward(*inputs).float().square().mean().backward()
                optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def make(network: Network) -> nn.Module:
    """The PyTorch form of a network."""
    if network.model == "cnn":
        return torch_networks.vanilla_network(network.num_points, _NORMS[network.options.get("norm", "none")])
    if network.model == "dpr_gsr":
        return torch_networks.GSR(network.num_points)
    return torch_networks.heatmap_network(network.num_points)


def _inputs(case: Case) -> list[torch.Tensor]:
    if case.network.model != "dpr_gsr":
        return [torch.from_numpy(cases.images(case).transpose(0, 3, 1, 2).copy())]
    photos, boxes = cases.photos_and_boxes(case)
    scale = 127 / (boxes[:, 2:] - boxes[:, :2])
    to_crop = np.tile(np.eye(3, dtype=np.float32), (len(boxes), 1, 1))
    to_crop[:, [0, 1], [0, 1]] = scale
    to_crop[:, :2, 2] = -scale * boxes[:, :2]
    return [torch.from_numpy(photos.transpose(0, 3, 1, 2).astype(np.float32)), torch.from_numpy(to_crop)]
