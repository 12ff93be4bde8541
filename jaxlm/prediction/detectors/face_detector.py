"""What a face detector is, and how its boxes become those that a model was trained on.

A box is (x1, y1, x2, y2), its first and its last pixel. A turned box has a fifth number, the roll: by how many degrees
the box, and the face in it, is turned clockwise about its centre, as one sees the picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike


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


def turned_boxes(boxes: ArrayLike) -> np.ndarray:
    """Turned boxes float64 [n, 5] from boxes [n, 4], [n, 5], [4] or [5], or none; a roll that is not given is 0.

    Raises:
      ValueError: The array has another shape.
    """
    array = np.asarray(boxes, np.float64)
    if not array.size:
        return np.empty((0, 5))
    if array.ndim > 2 or array.shape[-1] not in (4, 5):
        raise ValueError(f"boxes must be [n, 4] or [4], or with their roll [n, 5] or [5], not {list(array.shape)}")
    array = array.reshape(-1, array.shape[-1])
    return np.concatenate([array, np.zeros((len(array), 5 - array.shape[1]))], axis=1)


def calibrate_boxes(boxes: np.ndarray, calibration: Sequence[float] | None) -> np.ndarray:
    """Turned boxes float32 [n, 5] of a detector as boxes of a model's convention.

    Args:
      boxes: [n, 4] or [n, 5].
      calibration: (scale_x, scale_y, shift_x, shift_y): a box is scaled about its centre, which then moves by the
        shifts, in units of the box's width and height, along the turned box's own sides; None leaves boxes as they are.
    """
    scale, shift = np.reshape(calibration or (1, 1, 0, 0), (2, 2)).astype(np.float64)
    boxes = turned_boxes(boxes)
    centre, size, roll = (boxes[:, :2] + boxes[:, 2:4]) / 2, boxes[:, 2:4] - boxes[:, :2], np.deg2rad(boxes[:, 4])
    along, down = (shift * size).T
    moved = np.stack([along * np.cos(roll) - down * np.sin(roll), along * np.sin(roll) + down * np.cos(roll)], axis=1)
    centre, half = centre + moved, scale * size / 2
    return np.concatenate([centre - half, centre + half, boxes[:, 4:]], axis=1).astype(np.float32)


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
