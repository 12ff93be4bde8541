"""Heads for cross-protocol training: one model for several data sets, each annotated by a protocol of its own.

`data.dataset` names the sets, joined with +. `data.scheme` names one scheme, and then all sets are mixed into it; or
the scheme of each set, joined with +, and then each set has a head of its own, even where two schemes are equal. A
model predicts the points of all heads side by side: separate last layers on one trunk are one last layer for all. A
face has the points of its own head, and NaN for those of the other heads, which the losses weigh with 0. So a head
learns from its own set alone, and the trunk learns from all.

This is the cross-protocol network training (CNT) that the first abstract of SepBN names (arXiv 2101.06663), without
code. INFERRED: trunk and heads are as above; every set counts by its number of faces, since batches are drawn from all
faces alike; batch statistics are those of the mixed batch.
"""

from __future__ import annotations

import itertools
import pathlib
from typing import NamedTuple

from jaxlm.landmarks.loading import load_scheme, split_names
from jaxlm.landmarks.scheme import Scheme


class Head(NamedTuple):
    """The points of one data set among those of a model.

    Attributes:
      name: Name of the set without its variant, or of a pack's file without its ending.
      dataset: Name of the set or path of the pack, as `data_pipelines.input.open_faces` takes it.
      scheme: Scheme that the set's points are read in.
      start: Its first point among those of the model.
      stop: One past its last point.
    """

    name: str
    dataset: str
    scheme: Scheme
    start: int
    stop: int

    @property
    def points(self) -> slice:
        """Slice of the head's points among those of the model."""
        return slice(self.start, self.stop)


def heads_of(dataset: str, scheme: str) -> tuple[Head, ...]:
    """The head of each set of `data.dataset`; sets that are mixed into one scheme share their points.

    Raises:
      ValueError: A set is named twice, a scheme is unknown, or there are neither one scheme nor one for each set.
      FileNotFoundError: A scheme's .toml file does not exist.
    """
    datasets, schemes = split_names(dataset), split_names(scheme)
    names = [_name(one) for one in datasets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"data.dataset names {', '.join(twice)} more than once: {dataset}")
    if len(schemes) not in (1, len(datasets)):
        raise ValueError(
            f"data.scheme names {len(schemes)} schemes ({scheme}) and data.dataset {len(datasets)} sets ({dataset});"
            " give one scheme, to mix all sets into one head, or one for each set, joined with +"
        )
    loaded = [load_scheme(one) for one in schemes]
    bounds = list(itertools.pairwise(itertools.accumulate((one.num_points for one in loaded), initial=0)))
    if len(loaded) == 1:
        loaded, bounds = loaded * len(datasets), bounds * len(datasets)
    rows = zip(names, datasets, loaded, bounds, strict=True)
    return tuple(Head(name, one, its_scheme, *ends) for name, one, its_scheme, ends in rows)


def find_head(dataset: str, scheme: str, name: str | None = None) -> Head:
    """The head called `name` among those of `heads_of`; by default, the first.

    Raises:
      ValueError: No head has that name, or `heads_of` refuses the sets and schemes.
    """
    heads = heads_of(dataset, scheme)
    if name is None:
        return heads[0]
    for head in heads:
        if head.name == name:
            return head
    raise ValueError(f"there is no head {name!r}; the run learnt {', '.join(head.name for head in heads)}")


def _name(dataset: str) -> str:
    """The short name of a set."""
    return pathlib.Path(dataset).stem if dataset.endswith(".npz") else dataset.partition("/")[0]
