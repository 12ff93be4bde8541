"""Other face detectors: dlib's, OpenCV's YuNet, and the whole photo as one face."""

from __future__ import annotations

import hashlib
import os
import pathlib
import threading

import cv2
import numpy as np

from jaxlm.prediction.detectors.face_detector import FaceDetector

# Larger photos are looked at reduced to this many pixels, and where nothing is found in smaller ones, twice as large.
_MAX_PIXELS = 4_000_000


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
