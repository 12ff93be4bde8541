"""Starts a run from other weights: arrays of equal path and shape are taken, all others stay as they were drawn."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxlm import checkpoints
from jaxlm.training.step import TrainState

Tree = Any


@dataclasses.dataclass(frozen=True)
class WeightMatch:
    """Which arrays of a model were found among other weights; paths are like `params/head/fc1/kernel`.

    Attributes:
      taken: Arrays of the model that were found by their own path.
      copied: Arrays of the model that were found by the path of another network.
      reshaped: Arrays of the model whose counterpart has another shape.
      new: Arrays of the model without a counterpart.
      left_over: Arrays of the other weights that nothing took.
    """

    taken: list[str]
    copied: list[str]
    reshaped: list[str]
    new: list[str]
    left_over: list[str]

    def __str__(self) -> str:
        """The number of arrays of each network, by what became of them."""
        lines = []
        for field in dataclasses.fields(self):
            networks = Counter("/".join(path.split("/")[:2]) for path in getattr(self, field.name))
            lines += [
                f"{field.name.replace('_', ' '):11}{network} ({count} arrays)" for network, count in networks.items()
            ]
        return "\n".join(lines)


def _pairs_of(sources: str | Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    return [(sources, "")] if isinstance(sources, str) else sources


def sources_of(sources: str | Sequence[tuple[str, str]] | None) -> list[str]:
    """The runs and files of weights that `start_from` opens; none for None."""
    return [source for source, _ in _pairs_of(sources or ())]


def start_from(
    state: TrainState, sources: str | Sequence[tuple[str, str]], copies: Sequence[tuple[str, str]] = ()
) -> tuple[TrainState, WeightMatch]:
    """`state` with the parameters and batch statistics of other runs, on the same devices; the optimiser's state stays.

    Args:
      state: The state before the first step.
      sources: A source, or pairs (source, path): the arrays of the source then belong below this path of the model;
        the path "" is the model itself. A source is the workdir of a run, whose best checkpoint is taken, or a file of
        weights. Of two that hold the same array the later one counts.
      copies: See `take`.

    Raises:
      FileNotFoundError: There is no such file.
      CheckpointError: There is no such run.
      ValueError: A file holds no weights, or nothing of a source fits.
    """
    ours = {"params": state.params, "batch_stats": state.batch_stats}
    pairs = _pairs_of(sources)
    theirs = [place(checkpoints.open_variables(source), path) for source, path in pairs]
    found, match = take(ours, _merged(theirs), copies)
    for (source, _), tree in zip(pairs, theirs, strict=True):
        if set(_flat(tree)) <= set(match.left_over):
            raise ValueError(f"{source} and the model have no array of equal path and shape in common:\n{match}")
    placed = jax.tree.map(lambda array, leaf: jax.device_put(array, leaf.sharding), found, ours)
    averaged = None if state.ema_params is None else jax.tree.map(jnp.copy, placed["params"])
    return dataclasses.replace(
        state, params=placed["params"], batch_stats=placed["batch_stats"], ema_params=averaged
    ), match


def place(variables: Mapping[str, Tree], path: str) -> Mapping[str, Tree]:
    """`variables` with every array of each collection below `path`: `params/fc1` at `head` is `params/head/fc1`."""
    for part in reversed(path.split("/") if path else []):
        variables = {collection: {part: tree} for collection, tree in variables.items()}
    return variables


def take(
    ours: Mapping[str, Tree], theirs: Mapping[str, Tree], copies: Sequence[tuple[str, str]] = ()
) -> tuple[Tree, WeightMatch]:
    """`ours` with the arrays of `theirs` in place of those of equal path and shape.

    Args:
      ours: Variables of a model, nested dicts: `params` and `batch_stats`.
      theirs: Variables of another model.
      copies: Pairs (path in `theirs`, path in `ours`) without the collection's name: where `theirs` lacks an array
        below the second path, the one below the first is taken.
    """
    own, other = _flat(ours), _flat(theirs)
    found, match, used = dict(own), WeightMatch([], [], [], [], []), set()
    for path, array in own.items():
        source = path if path in other else _copied_path(path, copies)
        if source not in other:
            match.new.append(path)
        elif np.shape(other[source]) != np.shape(array):
            match.reshaped.append(path)
        else:
            (match.taken if source == path else match.copied).append(path)
            used.add(source)
            found[path] = jnp.asarray(other[source], array.dtype)
    match.left_over.extend(path for path in other if path not in used)
    empty: dict[str, Any] = {collection: {} for collection, tree in ours.items() if not tree}
    return traverse_util.unflatten_dict(found, sep="/") | empty, match


def _copied_path(path: str, copies: Sequence[tuple[str, str]]) -> str | None:
    """The path that `copies` give for the array of `path`; None where they do not name its network."""
    collection, _, name = path.partition("/")
    for there, here in copies:
        if name.startswith(f"{here}/"):
            return f"{collection}/{there}{name.removeprefix(here)}"
    return None


def _flat(variables: Mapping[str, Tree]) -> dict[str, Any]:
    return traverse_util.flatten_dict(dict(variables), sep="/")


def _merged(trees: Sequence[Mapping[str, Tree]]) -> Mapping[str, Tree]:
    return traverse_util.unflatten_dict(functools.reduce(operator.or_, map(_flat, trees)), sep="/")
