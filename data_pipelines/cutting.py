"""From an annotated photo to a record: the photo is read, the frame is cut, the points move with it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.record import ATTRIBUTES, Origin, Record, encode_image
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.landmarks import Scheme, face_checks, geometry, photos
from jaxlm.landmarks.tables import shorten

BOX_SCALE = 1.1
LANDMARK_BOX = f"bounding box of the landmarks x {BOX_SCALE}, made square"
"""The face box of sets that come without one: `geometry.box_around` of the landmarks with `BOX_SCALE`."""

TURNED = (
    "its points lie in the photo as it is stored; EXIF data turn it, and points are pixels of the upright photo, as"
    " viewers show it"
)
"""What to say of a face whose points were set in a photo that was not turned upright."""


@dataclasses.dataclass(frozen=True, eq=False)
class Label:
    """One annotated face of a photo.

    Attributes:
      image: File of the photo, or file that holds the photo.
      points: Landmarks [N, 2], (x, y) in pixels of the photo, pixel centres at integers; NaN where a hidden one has no
        place.
      box: Face box [x1, y1, x2, y2], its first and its last pixel.
      where: File and line of the annotation, for error messages.
      name: Name of the face within its set.
      group: Name of the photo or person; see `Record`.
      attributes: bool [6], in the order of `record.ATTRIBUTES`.
      yaw: Yaw in degrees, NaN where it is not known; see `Record`.
      visible: bool [N], False where a landmark is hidden; None where all are visible.
    """

    image: Path
    points: np.ndarray
    box: np.ndarray
    where: str
    name: str
    group: str
    attributes: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(len(ATTRIBUTES), bool))
    yaw: float = math.nan
    visible: np.ndarray | None = None

    @property
    def seen(self) -> np.ndarray:
        """Whether each landmark is visible, bool [N]."""
        return np.ones(len(self.points), bool) if self.visible is None else self.visible


def parse_numbers(tokens: Sequence[str], where: str) -> np.ndarray:
    """The tokens as finite numbers, float64 [len(tokens)].

    Raises:
      BadFaceError: A token is not a finite number; the message starts with `where`.
    """
    numbers = np.empty(len(tokens))
    for i, token in enumerate(tokens):
        numbers[i] = _number(token, i, where)
        if not np.isfinite(numbers[i]):
            raise BadFaceError(f"{where}: value {i + 1} is {shorten(token)!r}, not a finite number")
    return numbers


def parse_places(tokens: Sequence[str], where: str, known: np.ndarray | None = None) -> np.ndarray:
    """The tokens as coordinates, float64 [len(tokens)]; NaN for an empty one, for `nan`, and where `known` is false.

    Raises:
      BadFaceError: Another token is not a finite number; the message starts with `where`.
    """
    chosen = np.ones(len(tokens), bool) if known is None else known
    chosen = chosen & [token.strip().lower() not in ("", "nan") for token in tokens]
    numbers = np.full(len(tokens), np.nan)
    for i in np.flatnonzero(chosen).tolist():
        numbers[i] = _number(tokens[i], i, where)
        if not np.isfinite(numbers[i]):
            raise BadFaceError(f"{where}: value {i + 1} is {shorten(tokens[i])!r}, not a finite number")
    return numbers


def check_all_are_places(points: np.ndarray, where: str) -> np.ndarray:
    """The points [N, 2] of a format that knows no hidden ones, as they are written.

    Raises:
      BadFaceError: A point is (-1, -1) or (0, 0), as others write a hidden one; the message starts with `where`.
    """
    marks = (points == -1).all(-1) | (points == 0).all(-1)
    if marks.any():
        index = int(np.argmax(marks))
        raise BadFaceError(
            f"{where}: point {index} is ({points[index][0]:g}, {points[index][1]:g}), as others mark a hidden one, and"
            " this format has none; jaxlm prepare points_table --hidden reads such points"
        )
    return points


def parse_flags(tokens: Sequence[str], where: str) -> np.ndarray:
    """The visibility of points as 0 and 1, or false and true, bool [len(tokens)].

    Raises:
      BadFaceError: A token is something else; the message starts with `where`.
      ValueError: One is 2, as in COCO's sets, where 1 means hidden; so the whole file means something else.
    """
    flags = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
    for i, token in enumerate(tokens):
        if token.strip() in ("2", "2.0"):
            raise ValueError(
                f"{where}: visibility {i + 1} is 2, as COCO has it; write 1 for a visible point, 0 for a hidden one"
            )
        if token.strip().lower() not in flags:
            raise BadFaceError(f"{where}: visibility {i + 1} is {shorten(token)!r}, not 0 or 1")
    return np.array([flags[token.strip().lower()] for token in tokens], bool)


def _number(token: str, index: int, where: str) -> float:
    try:
        return float(token.replace("_", "?"))  # Python reads 1_0 as 10.
    except ValueError:
        comma = "; write decimals with a point" if "," in token.rstrip(",") else "; leave out the commas"
        comma = comma if "," in token else ""
        raise BadFaceError(f"{where}: value {index + 1} is {shorten(token)!r}, not a number{comma}") from None


def check_face(
    points: np.ndarray, visible: np.ndarray, box: np.ndarray, where: str, scheme: Scheme | None = None
) -> None:
    """Raises BadFaceError where an annotated face is impossible; see `face_checks.find_faults`.

    Args:
      points: Landmarks [N, 2], (x, y) in pixels of the photo; NaN where a hidden one has no place.
      visible: bool [N], False where a landmark is hidden.
      box: Face box [x1, y1, x2, y2] in the same pixels.
      where: File and line, or the face's name; the message starts with it.
      scheme: Scheme of the points; None leaves the eye corners out.
    """
    for _, fault in face_checks.find_faults(points[None], visible[None], np.asarray(box)[None], scheme):
        raise BadFaceError(f"{where}: {fault}")


def make_record(label: Label, frame_size: int, margin: float) -> Record:
    """Reads the photo of one face and cuts its frame.

    Args:
      label: The annotated face.
      frame_size: Width and height of the frame in pixels.
      margin: Side of the region the frame shows, in sides of the face box made square.

    Raises:
      BadFaceError: The photo is missing or broken, the box has zero size, or the face is not in the photo.
    """
    return cut_face(label, read_image(label.image, label.where), frame_size, margin)


def make_sized_record(label: Label, frame_size: int, margin: float, size: tuple[int, int], said: str) -> Record:
    """`make_record` for a photo of that width and height in pixels, which the landmarks refer to, as `said` tells.

    Raises:
      BadFaceError: See `make_record`; or the photo has another size.
    """
    image = read_image(label.image, label.where)
    height, width = image.shape[:2]
    if (width, height) != size:
        turned = (height, width) == size and photos.is_turned(label.image)
        hint = "; EXIF data turn it, and points are pixels of the upright photo" if turned else ""
        raise BadFaceError(
            f"{label.where}: {label.image} is {width} x {height}, not {size[0]} x {size[1]} as {said} says{hint}"
        )
    return cut_face(label, image, frame_size, margin)


def cut_face(label: Label, image: np.ndarray, frame_size: int, margin: float) -> Record:
    """Cuts the frame of one face from its photo, RGB uint8 [H, W, 3]; see `make_record`.

    Raises:
      BadFaceError: The face is impossible (see `check_face`), or not in the photo.
    """
    check_face(label.points, label.seen, label.box, label.where)
    x1, y1, x2, y2 = label.box
    height, width = image.shape[:2]
    origin = _find_origin(label, image)
    if origin.outside == np.isfinite(label.points).all(-1).sum() or x2 < 0 or y2 < 0 or x1 >= width or y1 >= height:
        hint = f"; {TURNED}" if origin.turned else ""
        raise BadFaceError(
            f"{label.where}: the face lies wholly outside its image {label.image} ({width} x {height}){hint}"
        )
    square = geometry.square_box(label.box)
    region = geometry.widen(square, margin)
    if region.side > photos.MAX_SIDE_IN_PHOTOS * max(width, height):
        raise BadFaceError(f"{label.where}: the face box is far larger than its image {label.image}")
    to_frame = geometry.frame_affine(square, frame_size, margin)
    return Record(
        image=encode_image(photos.cut_region(image, region, frame_size)),
        points=geometry.transform(label.points, to_frame).astype(np.float32),
        visible=label.seen,
        attributes=label.attributes,
        to_source=geometry.invert(to_frame).astype(np.float32),
        name=label.name,
        group=label.group,
        yaw=label.yaw,
        box=geometry.transform(label.box.reshape(2, 2), to_frame).ravel().astype(np.float32),
        origin=origin,
    )


def _find_origin(label: Label, image: np.ndarray) -> Origin:
    """Where the face of a label is in its photo."""
    placed = label.points[np.isfinite(label.points).all(-1)]

    def outside(width: int, height: int) -> np.ndarray:
        return ~((placed > -0.5) & (placed < (width - 0.5, height - 0.5))).all(-1)

    height, width = image.shape[:2]
    beyond = outside(width, height)
    turned = bool(beyond.any() and not outside(height, width).any()) and photos.is_turned(label.image)
    pixels = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    pixels.update(np.ascontiguousarray(image).data)
    face = hashlib.blake2b(np.asarray(label.points, np.float64).tobytes(), digest_size=16)
    in_box = ((placed >= label.box[:2]) & (placed <= label.box[2:])).all(-1)
    return Origin(pixels.hexdigest(), face.hexdigest(), int(beyond.sum()), turned, bool(in_box.mean() < 0.5))


def read_image(path: Path, where: str) -> np.ndarray:
    """The photo as `photos.read_photo` gives it; its errors become a BadFaceError that starts with `where`."""
    try:
        return photos.read_photo(path)
    except photos.PhotoError as error:
        raise BadFaceError(f"{where}: {error}") from None


def decode_photo(data: bytes, path: Path, where: str) -> np.ndarray:
    """The photo as `photos.decode_photo` gives it; its errors become a BadFaceError that starts with `where`."""
    try:
        return photos.decode_photo(data, path)
    except photos.PhotoError as error:
        raise BadFaceError(f"{where}: {error}") from None
