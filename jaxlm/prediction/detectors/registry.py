"""The names of face detectors."""

from __future__ import annotations

from jaxlm.prediction.detectors import other_detectors, search
from jaxlm.prediction.detectors.face_detector import FaceDetector

_NAMES = "blazeface, dlib, yunet:MODEL.onnx or whole"


def build(name: str = "blazeface", smallest: float | None = None) -> FaceDetector:
    """The detector called `blazeface`, `dlib`, `yunet:MODEL.onnx` or `whole`.

    Args:
      name: The name.
      smallest: Of `blazeface`, the smallest faces to look for; see `search.Search`.

    Raises:
      ValueError: There is no such detector, it is not installed, or its model cannot be read; or `smallest` is given
        for another detector, or out of range.
      FileNotFoundError: The model's file does not exist.
    """
    if smallest is not None and name != "blazeface":
        raise ValueError(f"only blazeface looks for faces down to a size (--smallest), not {name}")
    kind, _, file = name.partition(":")
    if kind == "yunet" and file:
        return other_detectors.yunet(file)
    if name not in ("blazeface", "dlib", "whole"):
        raise ValueError(f"there is no face detector {name!r}; known: {_NAMES}")
    if name == "dlib":
        return other_detectors.dlib()
    return other_detectors.WHOLE if name == "whole" else search.blazeface(smallest)
