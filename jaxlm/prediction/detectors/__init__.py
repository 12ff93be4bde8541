"""Face detectors.

In: photos RGB uint8 [H, W, 3]. Out: turned boxes [n, 5], each by its detector's own convention, and what brings them to
a model's.
"""

from jaxlm.landmarks.geometry import calibrate_boxes, turned_boxes
from jaxlm.prediction.detectors.face_detector import FaceDetector, fit_calibration, overlap
from jaxlm.prediction.detectors.other_detectors import WHOLE
from jaxlm.prediction.detectors.registry import build

__all__ = [
    "WHOLE",
    "FaceDetector",
    "build",
    "calibrate_boxes",
    "fit_calibration",
    "overlap",
    "turned_boxes",
]
