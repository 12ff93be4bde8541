"""DPR on photos of any size, as the released code has it: crops are cut on the host, from the photo itself.

So the networks see crops of two sizes alone, and whatever computes them is compiled for these once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm.images import cropping
from jaxlm.landmarks import geometry
from jaxlm.models.dpr import coordinates
from jaxlm.models.dpr.networks import GLSR, GSR, regress_face

_CORNERS = np.array([(0, 0), (1, 0), (0, 1), (1, 1)], np.float64)


class Reinitialised(NamedTuple):
    """What global reinitialisation gives.

    Attributes:
      theta: Theta [B, 2, 3]; the identity, which leaves the box as it is, in place of a degenerate one.
      degenerate: Whether it was degenerate, [B].
    """

    theta: Any
    degenerate: Any


class InFace(NamedTuple):
    """Points [B, N, 2] in pixels of the face frame."""

    points: Any


class Networks(NamedTuple):
    """The networks of a model, with their weights.

    Attributes:
      reinitialise: Crops of boxes uint8 [B, 128, 128, 3] -> `Reinitialised`.
      in_face: Images of the face frame uint8 [B, 256, 256, 3] -> `InFace`.
    """

    reinitialise: Callable[..., Reinitialised]
    in_face: Callable[..., InFace]


def networks_of(model: nn.Module, variables: Mapping[str, Any]) -> Networks:
    """The networks of a GSR or a GLSR as functions of JAX, not compiled."""
    both = (functools.partial(model.apply, variables, method=method) for method in (_reinitialise, _in_face))
    return Networks(*cast(Any, both))


def _reinitialise(model: GSR | GLSR, crops: jax.Array) -> Reinitialised:
    theta = model.global_reinit(cropping.normalise(crops))
    degenerate = coordinates.is_degenerate(theta)
    return Reinitialised(jnp.where(degenerate[:, None, None], jnp.eye(2, 3)[None], theta), degenerate)


def _in_face(model: GSR | GLSR, faces: jax.Array) -> InFace:
    points = regress_face(model, faces, train=False)[1]
    return InFace(model.locate_parts(faces, points, train=False)[0])


def find_in_photo(
    networks: Networks, photo: np.ndarray, box: np.ndarray, flip: Sequence[int] | None = None
) -> tuple[np.ndarray, bool]:
    """The points of a face in a photo.

    Args:
      networks: What computes them.
      photo: RGB uint8 [H, W, 3].
      box: [4], the pixels (x1, y1, x2, y2) that become the corners of the first network's crop, whatever the box's
        shape; or [5] with the roll, by how many degrees the box is turned clockwise about its centre.
      flip: The scheme's flip permutation [N], to average the points with those of the mirrored photo.

    Returns:
      The points float32 [N, 2] in pixels of the photo, and whether the theta of the first network was degenerate, so
      that the box took its place.
    """
    to_crop = box_to_crop(np.asarray(box, np.float64))
    theta, degenerate = networks.reinitialise(cut(photo, to_crop, coordinates.CROP_SIZE)[None])
    to_face = geometry.compose(crop_to_face(np.asarray(theta[0], np.float64)), to_crop)
    found = networks.in_face(cut(photo, to_face, coordinates.FACE_SIZE)[None])
    points = geometry.transform(np.asarray(found.points[0], np.float64), geometry.invert(to_face))
    if flip is None:
        return points.astype(np.float32), bool(degenerate[0])
    last = photo.shape[1] - 1
    x1, y1, x2, y2, *roll = box
    mirrored_box = np.array([last - x2, y1, last - x1, y2, *(-degrees for degrees in roll)], np.float64)
    mirrored, beside = find_in_photo(networks, photo[:, ::-1], mirrored_box)
    points += np.array([last, 0]) + mirrored[np.asarray(flip)] * [-1, 1]
    return (points / 2).astype(np.float32), bool(degenerate[0]) or beside


def box_to_crop(box: np.ndarray) -> np.ndarray:
    """The map float64 [2, 3] from the photo to the upright crop of a box [4] or [5]; see `coordinates.box_to_crop`."""
    low, high = box[:2], box[2:4]
    scale = (coordinates.CROP_SIZE - 1) / (high - low)
    upright = np.concatenate([np.diag(scale), (-scale * low)[:, None]], axis=1)
    roll = box[4] if len(box) == 5 else 0.0
    return geometry.compose(upright, geometry.rotation(-roll, (low + high) / 2)) if roll else upright


def crop_to_face(theta: np.ndarray) -> np.ndarray:
    """The map float64 [2, 3] from a box's crop to the face frame; see `coordinates.crop_to_face`."""
    in_pixels = theta * [1, 1, coordinates.CROP_SIZE]
    return coordinates.FACE_SIZE / coordinates.CROP_SIZE * in_pixels


def cut(photo: np.ndarray, to_crop: np.ndarray, size: int) -> np.ndarray:
    """The crop uint8 [size, size, 3] of a photo by the map [2, 3]: bilinear, black outside, as in the released code."""
    # The part that the crop shows is enough. OpenCV's warp takes no image of 32768 columns.
    corners = geometry.transform((size - 1) * _CORNERS, geometry.invert(to_crop))
    first, last = np.floor(corners.min(0)) - 1, np.ceil(corners.max(0)) + 1
    height, width = photo.shape[:2]
    (left, right), (top, bottom) = (
        (math.floor(np.clip(low, 0, length - 1)), math.ceil(np.clip(high, 0, length - 1)) + 1)
        for low, high, length in zip(first, last, (width, height), strict=True)
    )
    part = np.ascontiguousarray(photo[top:bottom, left:right])
    moved = to_crop.copy()
    moved[:, 2] += to_crop[:, :2] @ [left, top]
    return cv2.warpAffine(part, moved, (size, size), flags=cv2.INTER_LINEAR)
