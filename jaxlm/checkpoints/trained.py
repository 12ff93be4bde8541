"""A trained model, seen through one of its heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from jaxlm import tasks
from jaxlm.checkpoints.confidence import ConfidenceMap, MappedReader
from jaxlm.config import Config
from jaxlm.landmarks import Head, Scheme, find_head, text_of
from jaxlm.models.dpr import GLSR, GSR

Calibration = tuple[float, float, float, float]

LANDMARKS = "landmarks"
"""The name, among a model's calibrated boxes, of the tight bounding box of a face's points."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A trained model and what belongs to it, whether it was read from a run or from a file of weights.

    `model.apply(variables, normalised crops, train=False)` of a detector gives raw outputs, which `task` reads.

    Attributes:
      config: The run's config. Its data set and scheme are those of `head`, where the run has several heads. In a file
        of weights it holds the tables of a user's own scheme in place of a path.
      model: The network, with the points of all heads.
      variables: The network's parameters and batch statistics, nested dicts.
      step: The checkpoint's step.
      scheme: The scheme of the points that are read.
      head: The head whose points are read; None for all points.
      card: What people should know, free text by field: data, recipe, protocol, numbers, licence. A run has none.
      boxes: By the name of a face detector, (scale_x, scale_y, shift_x, shift_y): the detector's box is scaled about
        its centre, which then moves by the shifts, in units of the detector's box's width and height. The result is
        the box of the model's convention. A run has none.
      least_confidence: A detector's box holds no face where the mean confidence of its points is less; 0 where that
        was not measured.
      confidence: What its confidences mean. None where that was not measured: they are the raw scores of its task.
      data: Checksums of the faces that the run learnt from and of those that it held out, see `identity.identity_of`.
        None for the head of another set than the first, and where they were not stored.
    """

    config: Config
    model: nn.Module
    variables: Any
    step: int
    scheme: Scheme
    head: Head | None = None
    card: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    boxes: Mapping[str, Calibration] = dataclasses.field(default_factory=dict)
    least_confidence: float = 0.0
    confidence: ConfidenceMap | None = None
    data: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def task(self) -> tasks.Reader:
        """What reads points from a detector's raw outputs."""
        task = tasks.build(self.config.task, self.config.model)
        reader: tasks.Reader = tasks.OneHead(task, self.head) if self.head else task
        return MappedReader(reader, self.confidence) if self.confidence else reader

    @property
    def looks_at_photos(self) -> bool:
        """Whether the model looks at the whole photo through the box. Only the released models of DPR do (step 0)."""
        return isinstance(self.model, GSR | GLSR) and self.step == 0

    def with_head(self, name: str | None) -> Trained:
        """The model of a whole run, seen through the head of that name, by default the first.

        Raises:
          ValueError: There is no head of that name.
        """
        data = self.config.data
        head = find_head(data.dataset, data.scheme, name)
        held_out = self.data if head == find_head(data.dataset, data.scheme) else {}
        data = dataclasses.replace(data, dataset=head.dataset, scheme=text_of(head.scheme))
        config = dataclasses.replace(self.config, data=data)
        return dataclasses.replace(self, config=config, scheme=head.scheme, head=head, data=held_out)
