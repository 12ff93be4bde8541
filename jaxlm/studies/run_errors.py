"""What studies do with each of their runs: judge its detector face by face, and tell how long the others will take."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm.checkpoints import Trained
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import box_sensitivity


def errors_of(trained: Trained, faces: Faces, shifts: Sequence[float] = (0.0,)) -> tuple[list[str], np.ndarray]:
    """Names of the faces that can be judged, and their NME [shifts, faces], fractions.

    Args:
      trained: The detector.
      faces: The faces, in its scheme.
      shifts: By how many of its sides the box of each face is off; the mean of four directions is taken.
    """
    errors = box_sensitivity.errors_by_face(trained, faces, list(map(box_sensitivity.shifted, shifts)), title="judging")
    judged = np.isfinite(errors[0])
    return [name for name, known in zip(faces.names, judged, strict=True) if known], errors[:, judged]


class Work(NamedTuple):
    """A piece of a study's work.

    Attributes:
      kind: Pieces of one kind take about the same time for the same amount.
      amount: How much it is: steps, pictures.
      finished: Whether it is done.
      seconds: The time that it took; None if that is not known.
    """

    kind: str
    amount: int
    finished: bool
    seconds: float | None


def time_left(works: Iterable[Work]) -> str:
    """How long the work that is not finished will take, at the rate of finished work of its kinds."""
    works = list(works)
    seconds = 0.0
    for kind in {work.kind for work in works if not work.finished}:
        timed = [work for work in works if work.kind == kind and work.seconds]
        if not timed:
            return "time left not known yet"
        rate = sum(work.seconds or 0.0 for work in timed) / sum(work.amount for work in timed)
        seconds += rate * sum(work.amount for work in works if work.kind == kind and not work.finished)
    return f"about {datetime.timedelta(seconds=round(seconds))} left"
