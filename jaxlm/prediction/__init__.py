"""A trained model on anybody's photos and videos.

In: photos uint8 [H, W, 3], boxes or a face detector. Out: `Face`, with points in pixels of the photo.
`Landmarker` is the Python interface; predicting.py does what the command `predict` asks.
"""

from jaxlm.prediction.detectors import FaceDetector
from jaxlm.prediction.landmarker import Face, Landmarker

__all__ = [
    "Face",
    "FaceDetector",
    "Landmarker",
]
