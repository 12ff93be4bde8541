"""The released six-convolution network of SepBN."""

from __future__ import annotations

from jaxlm.config import Config, DataConfig, ModelConfig
from jaxlm.interop import torch_layers as layers
from jaxlm.interop.torch_layers import Entry
from jaxlm.interop.torch_maps.name_map import UNKNOWN, NameMap, State, of_model, outputs


def cnn(state: State, scheme: str) -> NameMap:
    """The network plain, with batch normalisation, or with SepBN, as its tensors say.

    The K whole normalisations of the released SepBN have equal statistics; one set of them is kept. Where they differ,
    the conversion reports an error.
    """
    norm = "sepbn" if not state or "bn1.bn.0.weight" in state else "batch" if "bn1.weight" in state else "none"
    sets = max(1, sum(name.startswith("bn1.bn.") and name.endswith(".weight") for name in state))
    entries: list[Entry] = []
    for i in range(1, 7):
        entries += layers.conv(f"conv{i}", f"block{i}/conv", bias=True)
        if norm == "sepbn":
            entries += layers.separable_norm(f"bn{i}", f"block{i}/norm", sets)
        elif norm == "batch":
            entries += layers.norm(f"bn{i}", f"block{i}/norm")
    entries += layers.dense("fc1", "fc1", cells=4) + layers.dense("fc2", "fc2")
    widths = [outputs(state, f"conv{i}.weight", default=64 * 2 ** (i - 1)) for i in range(1, 7)]
    head_width = outputs(state, "fc1.weight", default=2048)
    options = {"norm": norm, "widths": widths, "head_width": head_width} | ({"sets": sets} if norm == "sepbn" else {})
    data = DataConfig(dataset=UNKNOWN, scheme=scheme, crop=1.0)
    return of_model(entries, Config(model=ModelConfig("cnn", 128, options), data=data))
