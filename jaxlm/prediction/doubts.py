"""Points and faces that a model is not sure of, where its confidences are probabilities."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

UNSURE_POINT, UNSURE_FACE = 0.5, 0.7
"""Below this confidence a point is unsure: it is off rather than near. Below this mean confidence a face is."""


@dataclasses.dataclass
class Doubts:
    """Counts faces and points, and those of them that a model is not sure of."""

    faces: int = 0
    points: int = 0
    unsure_faces: int = 0
    unsure_points: int = 0

    def count(self, confidences: Iterable[np.ndarray | None]) -> None:
        """Counts faces by the probabilities [N] of their points; those of None are not counted."""
        for confidence in confidences:
            if confidence is not None:
                self.faces += 1
                self.points += len(confidence)
                self.unsure_faces += is_unsure(confidence)
                self.unsure_points += int(unsure_points(confidence).sum())

    def sentence(self) -> str | None:
        """What the model is not sure of, for people; None where it is sure of all."""
        if not self.unsure_faces + self.unsure_points:
            return None
        return (
            f"Not sure of {self.unsure_faces:,} of {self.faces:,} faces and of {self.unsure_points:,} of"
            f" {self.points:,} points, which are hollow in the pictures"
        )


def unsure_points(confidence: np.ndarray) -> np.ndarray:
    """Which points are unsure, bool [N], by their probabilities [N]."""
    return np.asarray(confidence) < UNSURE_POINT


def is_unsure(confidence: np.ndarray) -> bool:
    """Whether the model is not sure of a face, by the probabilities [N] of its points."""
    return float(np.mean(confidence)) < UNSURE_FACE
