"""What a face detector is, and how its boxes become those that a model was trained on.

A box is (x1, y1, x2, y2), its first and its last pixel. A turned box has a fifth number, the roll: by how many degrees
the box, and the face in it, is turned clockwise about its centre, as one sees the picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from jaxlm.landmarks.geometry import turned_boxes


@dataclasses.dataclass(frozen=True)
class FaceDetector:
    """Finds faces in photos; several threads may use one at once.

    Attributes:
      name: Its name among the boxes of a calibrated model.
      find: RGB uint8 [H, W, 3] -> boxes [n, 4] or turned boxes [n, 5], by its own convention.
      version: Tells detectors of one name apart that find other boxes.
    """

    name: str
    find: Callable[[np.ndarray], np.ndarray]
    version: str = ""

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Turned boxes float32 [n, 5] of a photo, those that are empty or outside of it left out."""
        boxes = turned_boxes(self.find(photo)).astype(np.float32)
        height, width = photo.shape[:2]
        inside = (boxes[:, 2:4] >= 0).all(1) & (boxes[:, :2] <= (width - 1, height - 1)).all(1)
        return boxes[inside & (boxes[:, 2:4] > boxes[:, :2]).all(1)]


def fit_calibration(found: np.ndarray, wanted: np.ndarray) -> tuple[float, float, float, float]:
    """The calibration that takes boxes `found` [n, 4] to the boxes `wanted` [n, 4] of the same faces.

    Its four numbers are medians over the faces, so that some wrong pairs do not matter. Rolls are left out.
    """
    (centre, size), (wanted_centre, wanted_size) = (
        ((boxes[:, :2] + boxes[:, 2:4]) / 2, boxes[:, 2:4] - boxes[:, :2]) for boxes in (found, wanted)
    )
    scale = np.median(wanted_size / size, axis=0)
    shift = np.median((wanted_centre - centre) / size, axis=0)
    return float(scale[0]), float(scale[1]), float(shift[0]), float(shift[1])


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union [n] of a box [4] with boxes [n, 4]; rolls, where there are any, are left out."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:4], boxes[:, 2:4])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    return shared / (np.prod(box[2:4] - box[:2]) + np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) - shared)
