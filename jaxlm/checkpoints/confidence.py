"""What a model's confidence means: the probability that a point is near, and the error to expect, by its raw score.

The raw score of a point is what its task gives, 0 to 1. Both maps are monotone, and have two numbers for each point:

    confidence = sigmoid(slope * logit(raw) + offset)
    expected error = exp(slope * logit(confidence) + offset)
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.landmarks import Scheme
from jaxlm.tasks import Reader

# Scores are kept so far from 0 and 1, where logits have an end in float32.
_CLIP = 1e-4


class Line(NamedTuple):
    """A straight line: slope * x + offset."""

    slope: float
    offset: float


@dataclasses.dataclass(frozen=True)
class ConfidenceMap:
    """What turns raw scores into probabilities, and these into expected errors.

    Attributes:
      within: The confidence of a point is the probability that its error is at most this, a fraction of `normaliser`.
      normaliser: What errors are divided by, `inter_ocular` or `box` of `metrics.NORMALISERS`.
      probability: Of each point, the line from the logit of its raw score to that of its confidence; it never falls.
      error: Of each point, the line from the logit of its confidence to the logarithm of the expected error, a fraction
        of `normaliser`; it never rises.
    """

    within: float
    normaliser: Literal["inter_ocular", "box"]
    probability: tuple[Line, ...]
    error: tuple[Line, ...]

    @property
    def meaning(self) -> str:
        """What the confidence of a point is, in words."""
        distance = "the distance of the outer eye corners" if self.normaliser == "inter_ocular" else "the face's size"
        return f"the probability that the point is within {100 * self.within:g} % of {distance}"

    def confidence(self, raw: jax.Array | np.ndarray) -> jax.Array:
        """Probabilities [B, N] by raw scores [B, N]; jittable."""
        slope, offset = np.asarray(self.probability, np.float32).T[:, None]
        return jax.nn.sigmoid(slope * _logit(raw, jnp) + offset)

    def expected_error(self, confidence: np.ndarray) -> np.ndarray:
        """Expected errors [..., N], fractions of the normaliser, by probabilities [..., N]; with NumPy alone."""
        slope, offset = np.asarray(self.error, np.float32).T
        return np.exp(slope * _logit(confidence, np) + offset)

    def distance(self, points: np.ndarray, scheme: Scheme) -> float:
        """The normaliser of one face by its points [N, 2], in their pixels; with NumPy alone, which is fast for one."""
        if self.normaliser == "inter_ocular" and scheme.eye_corners:
            left, right = scheme.eye_corners
            return float(np.hypot(*(points[left] - points[right])))
        return float(np.sqrt(np.prod(np.ptp(points, axis=0))))


def _logit(share: Any, library: Any) -> Any:
    """log(share / (1 - share)) by the functions of a library, NumPy's or JAX's."""
    clipped = library.clip(share, _CLIP, 1 - _CLIP)
    return library.log(clipped) - library.log(1 - clipped)


def logit(share: np.ndarray) -> np.ndarray:
    """log(share / (1 - share)) in float64, with shares kept off 0 and 1 as everywhere here."""
    return _logit(np.asarray(share, np.float64), np)


@dataclasses.dataclass(frozen=True)
class MappedReader:
    """Reads points as `reader` does, and what its confidences mean."""

    reader: Reader
    map: ConfidenceMap

    def points(self, outputs: Any) -> jax.Array:
        return self.reader.points(outputs)

    def confidence(self, outputs: Any) -> jax.Array | None:
        raw = self.reader.confidence(outputs)
        return None if raw is None else self.map.confidence(raw)

    def degenerate(self, outputs: Any) -> jax.Array | None:
        return self.reader.degenerate(outputs)
