"""BlazeFace (Bazarevsky et al., 2019, arXiv 1907.05047), short range: the face detector that comes with jaxlm.

The network sees a square of 128 px. It finds faces of about a fifth of its side and more, turned by up to 60 degrees.
search.py finds others with it. Where the network comes from: blazeface.md.
"""

from __future__ import annotations

import functools
import importlib.resources
import threading
from typing import NamedTuple

import cv2
import numpy as np

WEIGHTS = importlib.resources.files(__package__).joinpath("blazeface_short_range.onnx").read_bytes()
"""The network, as a file of ONNX; see blazeface.md."""

SIZE = 128
"""Side of the square that the network sees, in pixels."""

# Anchors: cells of 8 px with two boxes each, then cells of 16 px with six. Sizes are relative to the whole square.
_GRIDS = ((16, 2), (8, 6))
_LEAST_SCORE = 0.6


class Found(NamedTuple):
    """Faces in pixels, pixel centres at integers.

    Attributes:
      boxes: Turned boxes float64 [n, 5]; their roll is that of the line through the eyes.
      scores: float64 [n], 0 to 1.
    """

    boxes: np.ndarray
    scores: np.ndarray


class Network:
    """The network, run by OpenCV, which takes one call at a time: each thread that uses it has its own."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def __call__(self, square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the anchors see in a square RGB uint8 [128, 128, 3].

        Returns:
          Scores [896] in 0..1, and values [896, 8, 2] (x, y) in sides of the square: the box's centre and its width and
          height, then the right eye, the left eye (of the person), the nose, the mouth and the ears.
        """
        planes = square.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        if not hasattr(self._of_thread, "network"):
            self._of_thread.network = cv2.dnn.readNetFromONNX(np.frombuffer(WEIGHTS, np.uint8))
        self._of_thread.network.setInput(planes)
        logits, values = self._of_thread.network.forward(["classificators", "regressors"])
        values = values.reshape(-1, 8, 2).astype(np.float64) / SIZE
        values[:, [0, *range(2, 8)]] += _anchors()[:, None]
        return 1 / (1 + np.exp(-np.clip(logits.ravel(), -80, 80).astype(np.float64))), values


@functools.cache
def _anchors() -> np.ndarray:
    """Centres [896, 2] of the anchors."""
    grids = []
    for cells, boxes in _GRIDS:
        line = (np.arange(cells) + 0.5) / cells
        grids.append(np.repeat(np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2), boxes, axis=0))
    return np.concatenate(grids)


def find_in_squares(network: Network, photo: np.ndarray, squares: np.ndarray) -> Found:
    """The faces in square regions of a photo; one face may be found several times.

    Args:
      network: The network.
      photo: RGB uint8 [H, W, 3].
      squares: int [n, 3], left, top and side in pixels; what lies outside of the photo is black.
    """
    # One at a time: several in a batch take as long, and OpenCV plans anew whenever their number changes.
    found = [_find_in_square(network, photo, *square) for square in squares]
    return Found(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def _find_in_square(network: Network, photo: np.ndarray, left: int, top: int, side: int) -> Found:
    scores, values = network(cut(photo, left, top, side))
    sure = scores > _LEAST_SCORE
    values, low = values[sure], np.array([left, top]) - 0.5
    half = values[:, 1:2] / 2
    corners = np.concatenate([values[:, :1] - half, values[:, :1] + half], axis=1) * side + low
    corners += [[0.5], [-0.5]]  # From the edges of pixels to the first and the last pixel.
    eyes = values[:, 3] - values[:, 2]
    roll = np.rad2deg(np.arctan2(eyes[:, 1], eyes[:, 0]))
    return Found(np.concatenate([corners.reshape(-1, 4), roll[:, None]], axis=1), scores[sure])


def cut(photo: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """A square of a photo, black outside of it, as the network sees it: RGB uint8 [128, 128, 3]."""
    region = photo[max(top, 0) : top + side, max(left, 0) : left + side]
    height, width = (max(round(length * SIZE / side), 1) for length in region.shape[:2])
    square = np.zeros((SIZE, SIZE, 3), np.uint8)
    y, x = round(max(-top, 0) * SIZE / side), round(max(-left, 0) * SIZE / side)
    reduced = cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA if side > SIZE else cv2.INTER_LINEAR)
    square[y : y + height, x : x + width] = reduced[: SIZE - y, : SIZE - x]
    return square
