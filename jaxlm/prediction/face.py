"""A face whose landmarks were found."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxlm.drawing import pictures
from jaxlm.landmarks import Scheme, photos
from jaxlm.prediction.doubts import unsure_points


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Face:
    """The landmarks of a face.

    Attributes:
      box: float32 [4], (x1, y1, x2, y2), the first and the last pixel of the face as the model's convention has it.
      points: float32 [N, 2].
      confidence: How sure the model is of each point, float32 [N] in 0..1; None where it does not say. Where there is
        an expected error, it is a probability, see `ConfidenceMap`; else a raw score, whose size means nothing.
      scheme: The scheme of the points.
      roll: By how many degrees the box is turned clockwise about its centre; the crop showed the face upright.
      track: In a video, the number of the face that is followed.
      degenerate: Whether an affine map that the model predicts could not be used, and the box took its place.
      expected_error: How far each point is off in mean, in pixels of the photo, float32 [N]; None where that was not
        measured.
    """

    box: np.ndarray
    points: np.ndarray
    confidence: np.ndarray | None
    scheme: Scheme
    roll: float = 0.0
    track: int | None = None
    degenerate: bool = False
    expected_error: np.ndarray | None = None

    @property
    def unsure(self) -> np.ndarray | None:
        """Which points the model is not sure of, bool [N]: those that are off rather than near. None for raw scores."""
        return None if self.confidence is None or self.expected_error is None else unsure_points(self.confidence)

    @property
    def named(self) -> dict[str, np.ndarray]:
        """The points [2] by their names, in the scheme's order.

        Raises:
          ValueError: The scheme has no names for its points.
        """
        if not self.scheme.names:
            raise ValueError(f"the points of the scheme {self.scheme.name} have no names; `points` has them by number")
        return dict(zip(self.scheme.names, self.points, strict=True))

    def draw(self, image: photos.Photo) -> np.ndarray:
        """A copy of the photo, RGB uint8 [H, W, 3], with the points and the scheme's lines drawn; unsure points are
        hollow.
        """
        return pictures.draw_face(photos.as_photo(image), self.points, self.scheme, unsure=self.unsure)

    def to_dict(self) -> dict[str, Any]:
        """The face as JSON has it: scheme, track (in a video), box, roll, points, names (if any), confidence.

        `confidence_is` says what confidences are, "probability" or "raw"; `expected_error` is null where it is None.
        """
        raw = self.expected_error is None
        return {
            "scheme": self.scheme.name,
            **({} if self.track is None else {"track": self.track}),
            "box": self.box.tolist(),
            "roll": self.roll,
            "points": self.points.tolist(),
            **({"names": list(self.scheme.names)} if self.scheme.names else {}),
            "confidence": None if self.confidence is None else self.confidence.tolist(),
            **({} if self.confidence is None else {"confidence_is": "raw" if raw else "probability"}),
            "expected_error": None if self.expected_error is None else self.expected_error.tolist(),
        }

    def __repr__(self) -> str:
        """One line, since notebooks show lists of faces."""
        x1, y1, x2, y2 = np.rint(self.box).astype(int)
        kind = "raw confidence" if self.expected_error is None else "confidence"
        sure = "" if self.confidence is None else f", {kind} {self.confidence.mean():.2f}"
        roll = f", roll {self.roll:.0f} degrees" if round(self.roll) else ""
        return f"Face({self.scheme.num_points} points of {self.scheme.name}, box ({x1}, {y1}, {x2}, {y2}){roll}{sure})"
