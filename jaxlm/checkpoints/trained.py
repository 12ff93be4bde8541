"""A trained model, as whoever uses it sees it: with one head, whatever it learnt beside."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn

from jaxlm import tasks
from jaxlm.config import Config
from jaxlm.landmarks import Head, find_head, text_of
from jaxlm.models.dpr import GLSR, GSR


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

    @property
    def looks_at_photos(self) -> bool:
        """Whether the model looks at the photo itself through the box; the released ones of DPR, which no run made."""
        return isinstance(self.model, GSR | GLSR) and self.step == 0

    def require_crops(self) -> None:
        """Raises ValueError where the model does not look at crops, and prepared frames are not for it."""
        if self.looks_at_photos:
            raise ValueError(
                "the released models of DPR look at the photo itself, not at prepared frames;"
                " take python -m jaxlm.predict with --boxes"
            )

    def with_head(self, name: str | None) -> Trained:
        """The model of a whole run with one of its heads, by default the first.

        Raises:
          ValueError: There is no head of that name.
        """
        data = self.config.data
        head = find_head(data.dataset, data.scheme, name)
        data = dataclasses.replace(data, dataset=head.dataset, scheme=text_of(head.scheme))
        return self._replace(config=dataclasses.replace(self.config, data=data), head=head)
