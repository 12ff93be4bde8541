"""Face detectors: dlib's, OpenCV's YuNet, the whole photo as one face.

A detector's boxes follow a convention of its own, which differs from that of the boxes a model was trained on;
`calibrate_boxes` brings one to the other, by the numbers of `fit_calibration`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import logging
import os
import pathlib
import threading
from collections.abc import Callable, Sequence

import cv2
import numpy as np

# Larger photos are looked at reduced to this many pixels, and where nothing is found in smaller ones, twice as large.
_MAX_PIXELS = 4_000_000
_NAMES = "dlib, yunet:MODEL.onnx or whole"


@dataclasses.dataclass(frozen=True)
class FaceDetector:
    """Finds faces in photos; several threads may use one at once.

    Attributes:
      name: Its name among the boxes of a calibrated model.
      find: RGB uint8 [H, W, 3] -> boxes [n, 4], the first and the last pixel (x1, y1, x2, y2), by its own convention.
      version: Tells detectors of one name apart that find other boxes.
    """

    name: str
    find: Callable[[np.ndarray], np.ndarray]
    version: str = ""

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Boxes float32 [n, 4] of a photo, those that are empty or outside of it left out."""
        boxes = np.asarray(self.find(photo), np.float32).reshape(-1, 4)
        height, width = photo.shape[:2]
        inside = (boxes[:, 2:] >= 0).all(1) & (boxes[:, :2] <= (width - 1, height - 1)).all(1)
        return boxes[inside & (boxes[:, 2:] > boxes[:, :2]).all(1)]


def build(name: str) -> FaceDetector:
    """The detector called `dlib`, `yunet:MODEL.onnx` or `whole`.

    Raises:
      ValueError: There is no such detector, it is not installed, or its model cannot be read.
      FileNotFoundError: The model's file does not exist.
    """
    kind, _, file = name.partition(":")
    if kind == "yunet" and file:
        return yunet(file)
    if name not in ("dlib", "whole"):
        raise ValueError(f"there is no face detector {name!r}; known: {_NAMES}")
    return dlib() if name == "dlib" else WHOLE


def default() -> FaceDetector:
    """The detector of dlib where it is installed, else the whole photo, with a warning."""
    if importlib.util.find_spec("dlib"):
        return dlib()
    logging.warning(
        'no face detector is installed (pip install "jaxlm[detect]"), so each photo is taken for one face;'
        " give boxes, or name a detector: %s",
        _NAMES,
    )
    return WHOLE


def dlib() -> FaceDetector:
    """The frontal detector of dlib, on histograms of oriented gradients, for faces of 80 pixels or more.

    A photo in which it finds none is looked at once more at twice its size.

    Raises:
      ValueError: dlib is not installed.
    """
    try:
        import dlib
    except ImportError:
        raise ValueError('dlib is not installed: pip install "jaxlm[detect]"') from None
    find_faces, lock = dlib.get_frontal_face_detector(), threading.Lock()

    def find(photo: np.ndarray) -> np.ndarray:
        reduced, scale = _reduce(photo)
        with lock:
            found = find_faces(reduced, 0)
            if not found and scale == 1:
                found = find_faces(reduced, 1)
        boxes = np.array([[box.left(), box.top(), box.right(), box.bottom()] for box in found], np.float64)
        return boxes.reshape(-1, 4) / scale

    return FaceDetector("dlib", find)


def yunet(file: str | os.PathLike[str], score: float = 0.7) -> FaceDetector:
    """OpenCV's FaceDetectorYN with the model YuNet (Wu, Peng, Yu, 2023) in an ONNX file of the user's.

    Raises:
      FileNotFoundError: The file does not exist.
      ValueError: OpenCV cannot read it.
    """
    if not pathlib.Path(file).is_file():
        raise FileNotFoundError(f"{file}: there is no such model of YuNet")
    try:
        # OpenCV takes the content: it opens no names that are not UTF-8.
        content = np.fromfile(file, np.uint8)
        network = cv2.FaceDetectorYN.create("onnx", content, np.empty(0, np.uint8), (320, 320), score)
    except cv2.error as error:
        raise ValueError(f"{file} is no model of YuNet that OpenCV can read ({error.err})") from None
    lock = threading.Lock()

    def find(photo: np.ndarray) -> np.ndarray:
        reduced, scale = _reduce(photo)
        with lock:
            network.setInputSize((reduced.shape[1], reduced.shape[0]))
            _, found = network.detect(cv2.cvtColor(reduced, cv2.COLOR_RGB2BGR))
        if found is None:
            return np.empty((0, 4))
        corner, size = found[:, :2], found[:, 2:4]
        return np.concatenate([corner, corner + size - 1], axis=1) / scale

    return FaceDetector("yunet", find, hashlib.sha256(content.tobytes()).hexdigest())


def _whole(photo: np.ndarray) -> np.ndarray:
    height, width = photo.shape[:2]
    return np.array([[0, 0, width - 1, height - 1]], np.float64)


WHOLE = FaceDetector("whole", _whole)
"""Takes each photo for one face."""


def _reduce(photo: np.ndarray) -> tuple[np.ndarray, float]:
    """The photo of at most `_MAX_PIXELS`, and its size in sizes of the photo."""
    height, width = photo.shape[:2]
    scale = min(1.0, (_MAX_PIXELS / (height * width)) ** 0.5)
    if scale == 1:
        return np.ascontiguousarray(photo), scale
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA), scale


def calibrate_boxes(boxes: np.ndarray, calibration: Sequence[float] | None) -> np.ndarray:
    """Boxes float32 [n, 4] of a detector as boxes of a model's convention.

    Args:
      boxes: [n, 4].
      calibration: (scale_x, scale_y, shift_x, shift_y): a box is scaled about its centre, which then moves by the
        shifts, in units of the box's width and height; None leaves boxes as they are.
    """
    scale, shift = np.reshape(calibration or (1, 1, 0, 0), (2, 2)).astype(np.float64)
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    centre, half = centre + shift * size, scale * size / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def fit_calibration(found: np.ndarray, wanted: np.ndarray) -> tuple[float, float, float, float]:
    """The calibration that takes boxes `found` [n, 4] to the boxes `wanted` [n, 4] of the same faces.

    Its four numbers are medians over the faces, so that some wrong pairs do not matter.
    """
    (centre, size), (wanted_centre, wanted_size) = (
        ((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]) for boxes in (found, wanted)
    )
    scale = np.median(wanted_size / size, axis=0)
    shift = np.median((wanted_centre - centre) / size, axis=0)
    return float(scale[0]), float(scale[1]), float(shift[0]), float(shift[1])


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union [n] of a box [4] with boxes [n, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    return shared / (np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared)
