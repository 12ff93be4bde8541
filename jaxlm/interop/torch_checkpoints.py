"""State dicts of PyTorch to variables of our models, with a report of every tensor: used, left over or missing."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence
from typing import Any

import numpy as np
from flax import traverse_util

from jaxlm.interop.torch_files import ConversionError
from jaxlm.interop.torch_layers import Entry
from jaxlm.interop.torch_maps import MAPS, NameMap, State, scheme_of


@dataclasses.dataclass(frozen=True)
class ConversionReport:
    """The fate of every tensor of a checkpoint and of every array of our model.

    Attributes:
      used: The tensors that made up each of our arrays, by the array's path.
      ignored: Tensors left out on purpose, and what they are: counters of batches, classifiers, layers never called.
      left_over: Tensors that the model has no place for.
      missing: Tensors that it needs and the checkpoint lacks.
      unfilled: Our arrays that got nothing.
      wrong: One line for each array that cannot be what its tensors hold.
    """

    used: dict[str, tuple[str, ...]]
    ignored: dict[str, str]
    left_over: list[str]
    missing: list[str]
    unfilled: list[str]
    wrong: list[str]

    @property
    def ok(self) -> bool:
        return not (self.left_over or self.missing or self.unfilled or self.wrong)

    def __str__(self) -> str:
        lines = [f"used        {', '.join(tensors)} -> {path}" for path, tensors in self.used.items()]
        lines += [f"ignored     {tensor}, {what}" for tensor, what in self.ignored.items()]
        for title in ("left_over", "missing", "unfilled", "wrong"):
            lines += [f"{title.replace('_', ' '):12}{item}" for item in getattr(self, title)]
        tensors = sum(map(len, self.used.values()))
        counts = f"{tensors} tensors used for {len(self.used)} arrays, {len(self.ignored)} ignored"
        counts += f", {len(self.left_over)} left over, {len(self.missing)} missing in the checkpoint"
        return "\n".join([*lines, f"{counts}, {len(self.unfilled)} arrays unfilled, {len(self.wrong)} wrong"])


@dataclasses.dataclass(frozen=True)
class Converted:
    """A converted model: its variables, nested dicts of float32 arrays, its metadata, and the report on all tensors."""

    variables: dict[str, Any]
    metadata: dict[str, Any]
    report: ConversionReport


def convert_state(state: State, model: str, scheme: str | None = None, without: Sequence[str] = ()) -> Converted:
    """Converts tensors by name to the variables of `model`; the report says whether all went well.

    Args:
      state: A PyTorch state dict as numpy arrays.
      model: A key of jaxlm.interop.torch_maps.MAPS.
      scheme: Landmark scheme of the checkpoint; by default the built-in one of as many points. Backbones have none.
      without: Networks of the model, for example `part_regressors`, to leave out: the checkpoint does not have them.

    Raises:
      ConversionError: The model has no network of `without`.
    """
    names = _leave_out(MAPS[model](state, scheme or scheme_of(state, model)), without)
    arrays: dict[str, np.ndarray] = {}
    used: dict[str, tuple[str, ...]] = {}
    wrong: list[str] = []
    for entry in names.entries:
        if any(name not in state for name in entry.sources):
            continue
        used[entry.target] = entry.sources
        try:
            arrays[entry.target] = _convert(entry, state, names.shapes.get(entry.target))
        except ValueError as error:
            wrong.append(f"{entry.target}: {error}")
    wanted = {name for entry in names.entries for name in entry.sources}
    rest = sorted(state.keys() - wanted)
    patterns = list(names.ignored.items())[::-1]  # Of several that fit the first one tells what a tensor is.
    ignored = {name: what for name in rest for pattern, what in patterns if fnmatch.fnmatch(name, pattern)}
    report = ConversionReport(
        used=used,
        ignored=ignored,
        left_over=sorted(set(rest) - ignored.keys()),
        missing=sorted(wanted - state.keys()),
        unfilled=sorted(names.shapes.keys() - used.keys()),
        wrong=wrong,
    )
    return Converted(traverse_util.unflatten_dict(arrays, sep="/"), names.metadata, report)


def likely_model(state: State) -> str:
    """The key of MAPS that shares most tensor names with a state dict; of several, the one that needs fewest."""

    def shared(model: str) -> tuple[int, int]:
        names = {name for entry in MAPS[model](state, scheme_of(state, model)).entries for name in entry.sources}
        return len(names & state.keys()), -len(names)

    return max(MAPS, key=shared)


def _leave_out(names: NameMap, without: Sequence[str]) -> NameMap:
    """The map without some networks, which are named by the second part of a path."""
    names = dataclasses.replace(names, metadata=names.metadata | {"without": list(without)})
    if not without:
        return names
    networks = {path.split("/")[1] for path in names.shapes}
    unknown = sorted(set(without) - networks)
    if unknown:
        raise ConversionError(
            f"there is no network {', '.join(unknown)} to leave out, only {', '.join(sorted(networks))}"
        )
    return dataclasses.replace(
        names,
        entries=[entry for entry in names.entries if entry.target.split("/")[1] not in without],
        trace=lambda: {path: shape for path, shape in names.shapes.items() if path.split("/")[1] not in without},
    )


def _convert(entry: Entry, state: State, shape: tuple[int, ...] | None) -> np.ndarray:
    """Raises ValueError where the tensors do not make an array of `shape`."""
    tensors = [state[name] for name in entry.sources]
    found = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in zip(entry.sources, tensors, strict=True))
    try:
        array = np.asarray(entry.convert(*tensors), np.float32, order="C")
    except (ValueError, IndexError) as error:
        raise ValueError(f"{found}: {error}") from error
    if array.shape != shape:
        wanted = f"and our model wants {list(shape)}" if shape is not None else "and our model has no such array"
        raise ValueError(f"{found} gives {list(array.shape)}, {wanted}")
    return array
