"""The search for faces of all sizes and in all directions: `blazeface`, the detector that comes with jaxlm.

The network sees a photo as a square of 128 px. So the whole photo is looked at first, then tiles of it while that pays,
and where nothing is found, the photo turned by a quarter, a half and three quarters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from jaxlm.prediction.detectors.blazeface import SIZE, WEIGHTS, Found, Network, cut, find_in_squares
from jaxlm.prediction.detectors.face_detector import FaceDetector, overlap

# Sides of tiles, in longer sides of the photo.
_LEVELS = (1.0, 0.6, 0.4, 0.27, 0.18, 0.12, 0.08)
# The smallest faces that are found in a tile, in sides of the tile.
_SMALLEST_IN_TILE = 0.2
# By default tiles are not smaller than this ...
_DEFAULT_LEVELS = 3
# ... and not looked at where a face of this size is found in the whole photo, which then is a portrait.
_PORTRAIT = 0.3
# Tiles share at least this much of their sides, so that a face on a border is whole in one of them.
_SHARED = 0.25
# Fewer pixels of a photo are not worth a tile.
_LEAST_TILE = 64
# Upright faces score 0.84 to 0.95 (9 of 10 of 300-W's), upside down or lying ones less than 0.8, with a wrong roll.
_SURE = 0.8
# The roll of a face that is turned by more degrees is not precise.
_SURE_ROLL = 40
# The part of a photo where a face is looked at again, in sides of its box.
_AROUND = 2.0
# Two boxes show one face where they share so much of the smaller one.
_SAME_FACE = 0.5
# ... or this much, and one is on its head: its box then is moved by half of a face.
_SAME_HEAD = 0.2
# Their mean counts where their rolls differ by less.
_SAME_ROLL = 20


def blazeface(smallest: float | None = None) -> FaceDetector:
    """The detector.

    Args:
      smallest: The side of the smallest faces to look for, in longer sides of the photo; tiles are looked at until
        they would be found. By default, tiles are looked at while they show more faces, for faces down to 0.08; a
        photo with one face of 0.3 or more is taken for a portrait.

    Raises:
      ValueError: `smallest` is out of range.
    """
    if smallest is not None and not 0.016 <= smallest <= 1:
        raise ValueError(f"the smallest face is 0.016 to 1 of the photo's longer side, not {smallest:g}")
    network = Network()

    def find(photo: np.ndarray) -> np.ndarray:
        found = _find_upright(network, photo, smallest)
        if not (found.scores >= _SURE).any():  # Things that are no faces may be found in a photo on its head.
            in_turned = (_find_turned(network, photo, turns, smallest) for turns in (1, 2, 3))
            found = merge(_joined([found, max(in_turned, key=lambda one: one.scores.max(initial=0.0))]))
        unsure = np.flatnonzero((found.scores < _SURE) | (np.abs(found.boxes[:, 4]) > _SURE_ROLL))
        looks = [found, *(_look_again(network, photo, found.boxes[index]) for index in unsure)]
        return merge(_joined(looks)).boxes

    version = hashlib.sha256(WEIGHTS + repr((smallest, _LEVELS, _PORTRAIT)).encode()).hexdigest()
    return FaceDetector("blazeface", find, version)


def _find_upright(network: Network, photo: np.ndarray, smallest: float | None) -> Found:
    """The faces that are upright in the photo, or turned by less than 45 degrees or so."""
    longer = max(photo.shape[:2])
    found = Found(np.empty((0, 5)), np.empty(0))
    for index, level in enumerate(_LEVELS):
        side = round(level * longer)
        if index and side < _LEAST_TILE:
            break
        before = len(found.boxes)
        more = find_in_squares(network, photo, tiles(photo.shape[1], photo.shape[0], side))
        found = merge(_joined([found, more]))
        if smallest is not None:
            if level * _SMALLEST_IN_TILE <= smallest:
                break
        elif index + 1 == _DEFAULT_LEVELS or _is_enough(found.boxes, before, _PORTRAIT * longer):
            break
    return found


def _is_enough(boxes: np.ndarray, before: int, portrait: float) -> bool:
    """Whether smaller tiles need no look: the last ones showed no new face, or the whole photo is a portrait."""
    if before:
        return len(boxes) == before
    return bool(np.ptp(boxes[:, [0, 2]], axis=1).max(initial=0.0) >= portrait)


def _find_turned(network: Network, photo: np.ndarray, turns: int, smallest: float | None) -> Found:
    """The faces of a photo that are upright once it is turned counter-clockwise by quarters."""
    return _turn_back(_find_upright(network, np.rot90(photo, turns), smallest), photo.shape, turns)


def _look_again(network: Network, photo: np.ndarray, box: np.ndarray) -> Found:
    """The faces in the region around a box, as it is and turned by a quarter, a half and three quarters."""
    side = round(_AROUND * float((box[2:4] - box[:2]).max()))
    left, top = np.rint((box[:2] + box[2:4] - side) / 2).astype(int)
    region = cut(photo, left, top, side)
    whole = np.array([[0, 0, SIZE]])
    found = [
        _turn_back(find_in_squares(network, np.rot90(region, turns), whole), region.shape, turns) for turns in range(4)
    ]
    boxes, scores = _joined(found)
    places = (boxes[:, :4] + 0.5) * side / SIZE - 0.5 + np.tile([left, top], 2)
    return Found(np.concatenate([places, boxes[:, 4:]], axis=1), scores)


def tiles(width: int, height: int, side: int) -> np.ndarray:
    """Squares int [n, 3] (left, top, side) that cover a photo; one in the middle of each side shorter than theirs."""

    def starts(length: int) -> np.ndarray:
        if side >= length:
            return np.array([(length - side) // 2])
        shared = _SHARED * side
        return np.rint(np.linspace(0, length - side, math.ceil((length - shared) / (side - shared)))).astype(int)

    left, top = np.meshgrid(starts(width), starts(height))
    return np.stack([left.ravel(), top.ravel(), np.full(left.size, side)], axis=1)


def merge(found: Found) -> Found:
    """One box a face: the mean of those that overlap, weighted by their scores, from the surest face on."""
    order = np.argsort(-found.scores, kind="stable")
    boxes, scores = found.boxes[order], found.scores[order]
    kept = []
    while len(boxes):
        turn = (boxes[:, 4] - boxes[0, 4] + 180) % 360 - 180
        same = shared(boxes[0], boxes) > np.where(np.abs(turn) > 90, _SAME_HEAD, _SAME_FACE)
        same[0] = True
        close = same & (overlap(boxes[0], boxes) > _SAME_FACE) & (np.abs(turn) < _SAME_ROLL)
        boxes[close, 4] = boxes[0, 4] + turn[close]  # 179 and -179 degrees differ by 2.
        kept.append((np.average(boxes[close], axis=0, weights=scores[close]), scores[0]))
        boxes, scores = boxes[~same], scores[~same]
    return Found(np.reshape([box for box, _ in kept], (-1, 5)), np.array([score for _, score in kept]))


def shared(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """What part [n] of the smaller of two boxes they share."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:4], boxes[:, 2:4])
    areas = np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1)
    return np.prod(np.maximum(high - low, 0), axis=1) / np.minimum(np.prod(box[2:4] - box[:2]), areas)


def _joined(parts: Sequence[Found]) -> Found:
    return Found(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _turn_back(found: Found, shape: tuple[int, ...], turns: int) -> Found:
    """Faces of a photo turned counter-clockwise by quarters, in the photo as it is, of a shape [H, W, 3]."""
    boxes = found.boxes.copy()
    centre, half = (boxes[:, :2] + boxes[:, 2:4]) / 2, (boxes[:, 2:4] - boxes[:, :2]) / 2
    height, width = shape[:2]
    x, y = centre.T
    places = ((x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x))
    centre = np.stack(places[turns], axis=1)
    roll = boxes[:, 4:] + 90 * turns
    return Found(np.concatenate([centre - half, centre + half, (roll + 180) % 360 - 180], axis=1), found.scores)
