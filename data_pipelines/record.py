"""The record: one face as every prepared set stores it. It is defined here only."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import math
import os
import typing
from collections.abc import Sequence

import cv2
import numpy as np

from jaxlm.data_pipelines.optional import load_tfds

if typing.TYPE_CHECKING:
    import tensorflow_datasets as tfds

ATTRIBUTES = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")
"""The attributes of WFLW, in the order of every array of attributes."""

VERSION = "1.1.0"
"""Version of the record's layout; prepared sets of another version are not found."""

JPEG_QUALITY = 95

_DECODERS = min(os.cpu_count() or 1, 8)


class Origin(typing.NamedTuple):
    """Where a face was found, as `prepare` tells of it; it is not stored.

    Attributes:
      photo: Digest of the photo's pixels.
      face: Digest of the points in the photo.
      outside: Number of points beyond the borders of the photo.
      turned: Whether all points lie in the photo as it is stored, and not as its EXIF data turn it.
      astray: Whether most points lie outside of the face box.
    """

    photo: str
    face: str
    outside: int = 0
    turned: bool = False
    astray: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One face.

    Attributes:
      image: The frame, RGB, `frame_size` x `frame_size` pixels, encoded as JPEG; see `encode_image`.
      points: Landmarks float32 [N, 2], (x, y) in pixels of the frame, pixel centres at integers; NaN where a hidden one
        has no place.
      visible: bool [N], False where a landmark is hidden.
      attributes: bool [6], in the order of `ATTRIBUTES`.
      to_source: Affine map float32 [2, 3] from frame pixels to pixels of the source photo.
      name: Name of the face within its set.
      group: Name of the photo or person; faces of one group stay together when a set is split.
      style: Number of the style that the frame was rendered in; -1 is the photo itself.
      yaw: Angle in degrees by which the head is turned to the side, -180 to 180; NaN where it is not known. Sources
        differ in its sign, and some give |yaw| alone.
      box: Face box float32 [4] as annotated, (x1, y1, x2, y2) in pixels of the frame: where the centres of its first
        and its last pixel in the photo lie. NaN where there is none but the frame's central square.
      origin: Where the face was found, while it is prepared; None for faces of no photo.
    """

    image: bytes
    points: np.ndarray
    visible: np.ndarray
    attributes: np.ndarray
    to_source: np.ndarray
    name: str
    group: str
    style: int = -1
    yaw: float = math.nan
    box: np.ndarray = dataclasses.field(default_factory=lambda: np.full(4, np.nan, np.float32))
    origin: Origin | None = None


def features(frame_size: int, num_points: int) -> tfds.features.FeaturesDict:
    """The TFDS features of a record."""
    tfds = load_tfds("writing a prepared set")
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(frame_size, frame_size, 3), encoding_format="jpeg"),
            "points": tfds.features.Tensor(shape=(num_points, 2), dtype=np.float32),
            "visible": tfds.features.Tensor(shape=(num_points,), dtype=np.bool_),
            "attributes": tfds.features.Tensor(shape=(len(ATTRIBUTES),), dtype=np.bool_),
            "to_source": tfds.features.Tensor(shape=(2, 3), dtype=np.float32),
            "name": tfds.features.Text(),
            "group": tfds.features.Text(),
            "style": np.int32,
            "yaw": np.float32,
            "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
        }
    )


def encode(record: Record) -> dict[str, typing.Any]:
    """The record as the example that TFDS writes."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record) if field.name != "origin"}


def encode_image(image: np.ndarray) -> bytes:
    """JPEG bytes of an RGB image uint8 [H, W, 3], at quality 95 and with full colour resolution (4:4:4)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return encoded.tobytes()


def decode_image(encoded: bytes) -> np.ndarray:
    """The RGB image uint8 [H, W, 3] of JPEG bytes; raises ValueError where they are damaged."""
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError("the JPEG bytes of a frame are damaged; prepare the set again")
    return image


def decode_images(encoded: Sequence[bytes], size: int) -> np.ndarray:
    """The RGB images uint8 [k, size, size, 3] of k JPEG images of that size, decoded by several threads."""
    images = np.empty((len(encoded), size, size, 3), np.uint8)

    def decode(part: np.ndarray) -> None:
        for i in part:
            images[i] = decode_image(encoded[i])

    # A thread that frees one image before it decodes the next gets the same memory again.
    list(_threads().map(decode, np.array_split(np.arange(len(encoded)), _DECODERS)))
    return images


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
