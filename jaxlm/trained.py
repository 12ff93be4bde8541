"""A trained model, as whoever uses it sees it: with one head, whatever it learnt beside."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn

from jaxlm import tasks
from jaxlm.config import Config
from jaxlm.protocols import Head, find_head


class Trained(NamedTuple):
    """A trained model: a detector's `model.apply(variables, normalised crops, train=False)` gives raw outputs.

    Attributes:
      config: Of the run; of a run with several heads, data set and scheme are those of `head`.
      model: It has the points of all heads.
      variables: Of the model.
      step: Of the checkpoint.
      head: Whose points `task` reads; None for all.
    """

    config: Config
    model: nn.Module
    variables: Any
    step: int
    head: Head | None = None

    @property
    def task(self) -> tasks.Reader:
        """What reads points from a detector's raw outputs."""
        task = tasks.build(self.config.task, self.config.model)
        return tasks.OneHead(task, self.head) if self.head else task

    def with_head(self, name: str | None) -> Trained:
        """The model of a whole run with one of its heads, by default the first.

        Raises:
          ValueError: There is no head of that name.
        """
        data = self.config.data
        head = find_head(data.dataset, data.scheme, name)
        data = dataclasses.replace(data, dataset=head.dataset, scheme=head.scheme)
        return self._replace(config=dataclasses.replace(self.config, data=data), head=head)
