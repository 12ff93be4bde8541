"""What evaluation and training ask of a detector's task."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple, Protocol

import jax


class Reader(Protocol):
    """What evaluation asks. Points are (x, y) in pixels of the crop, pixel centres at integers."""

    def points(self, outputs: Any) -> jax.Array:
        """Points [B, N, 2] that raw outputs stand for."""

    def confidence(self, outputs: Any) -> jax.Array | None:
        """How sure the model is of each point, [B, N] in 0..1; None where raw outputs do not say."""

    def degenerate(self, outputs: Any) -> jax.Array | None:
        """Whether an affine map that the model predicts cannot be used, [B]; None where it predicts none."""


class Alarm(NamedTuple):
    """A value that is 0 while training goes well. The run stops at the first step in which it is not.

    Attributes:
      name: The value's name among those that the objective logs.
      problem: What is wrong, a format string for the value: "{:.0%} of the faces are ...".
      remedy: What to try then.
    """

    name: str
    problem: str
    remedy: str


class Task(abc.ABC):
    """What raw outputs of a detector mean; a frozen dataclass, whose fields are the options of `TaskConfig`.

    A field without a default is no option, but the model's: `tasks.build` fills `input_size` from the model's config,
    and all others, such as `scheme` or `stride`, from the options of the model that have these names.

    Attributes:
      alarms: Values that stop the run where they are not 0.
      needs_all_places: Whether its loss needs a place for every point; else points that are NaN do not count.
    """

    alarms: ClassVar[tuple[Alarm, ...]] = ()
    needs_all_places: ClassVar[bool] = False

    @abc.abstractmethod
    def loss(self, outputs: Any, points: jax.Array, visible: jax.Array) -> jax.Array:
        """Losses [B] of raw outputs for true points [B, N, 2], visible [B, N].

        Points of other heads are NaN, and so are hidden ones without a place.
        """

    @abc.abstractmethod
    def points(self, outputs: Any) -> jax.Array:
        """See `Reader`."""

    def confidence(self, outputs: Any) -> jax.Array | None:
        """See `Reader`. By default None: a regressed coordinate says nothing about its error."""
        del outputs
        return None

    def degenerate(self, outputs: Any) -> jax.Array | None:
        """See `Reader`. By default None. What it gives is logged as `degenerate`, the share of the faces."""
        del outputs
        return None
