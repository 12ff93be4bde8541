"""What a set and a pack say of themselves and of their faces: one schema, and one check of all faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.record import ATTRIBUTES
from jaxlm.files import Archive, read_toml
from jaxlm.landmarks import Scheme, parse_tables, scheme_of_text
from jaxlm.landmarks.face_checks import find_faults

SCHEME_FILE = "scheme.toml"
"""Name of the file of a user's own scheme, in the folder of a set."""

MOST_FRAME = 8192
"""Side of the largest frame in pixels."""

# Names become parts of paths, such as the folder of an evaluation.
SafeName = Annotated[str, msgspec.Meta(pattern=r"^[^/\\\0-\x1f]{1,200}\Z")]
FrameSize = Annotated[int, msgspec.Meta(ge=1, le=MOST_FRAME)]
Margin = Annotated[float, msgspec.Meta(gt=0, le=100)]

_TURN = 360.0
# Labels are kept in float32; a face that was just large enough for its source stays so.
_SLACK = 1.001


class Description(msgspec.Struct):
    """What all faces of a set or pack have in common; see `Faces`. `scheme` is a name, tables, or a .toml beside."""

    scheme: str
    frame_size: FrameSize
    margin: Margin
    box: Annotated[str, msgspec.Meta(max_length=1000)]


def described_faces(
    description: Description,
    dataset: str,
    split: str,
    scheme: Scheme,
    labels: Mapping[str, Any],
    read_frames: Callable[[np.ndarray], list[bytes]],
    where: str,
) -> Faces:
    """The faces of a split, whose frames are checked when they are read.

    Args:
      description: What they have in common.
      dataset: Name of the set.
      split: Name of the split.
      scheme: Scheme of the points.
      labels: The fields that `read_labels` gives.
      read_frames: Function that returns the bytes of the frames at the given indices [k].
      where: File or folder, for messages.
    """

    def read_encoded(indices: np.ndarray) -> list[bytes]:
        return check_frames(read_frames(indices), indices, description.frame_size, f"{where}, split {split}")

    return Faces(
        dataset=dataset,
        split=split,
        scheme=scheme,
        frame_size=description.frame_size,
        margin=description.margin,
        box=description.box,
        **labels,
        read_encoded=read_encoded,
        where=where,
    )


def read_scheme(text: str, file: Path, where: Path) -> Scheme:
    """The scheme that a description names: built in, given by its tables, or in `file` where the text ends in .toml.

    `where` is the file of the description, for messages.

    Raises:
      ValueError, FileNotFoundError: See `landmarks.parse_tables`; no other file is opened.
    """
    if text.endswith(".toml"):
        if not file.exists():
            raise FileNotFoundError(f"{file}: no such scheme file")
        return parse_tables(read_toml(file, dict), str(file))  # Slips were allowed once; see `load_scheme`.
    try:
        return scheme_of_text(text)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def read_labels(archive: Archive, split: str, scheme: Scheme, frame_size: int, margin: float) -> dict[str, Any]:
    """The labels of a split, as the fields of `Faces`; all faces are checked.

    Args:
      archive: The file, with the arrays of `faces.pack_labels` under SPLIT/.
      split: Name of the split.
      scheme: Scheme of the points.
      frame_size: Width and height of a frame in pixels.
      margin: Side of a frame in sides of the face box.

    Raises:
      ValueError: An array is missing, damaged or of another kind or shape; or a face is impossible, see
        `face_checks.find_faults`.
    """

    def read(name: str, kinds: str, *shape: int | None) -> np.ndarray:
        return archive.read(f"{split}/{name}", kinds, shape)

    names = read("names", "U", None)
    count, points = len(names), scheme.num_points
    fields = {
        "points": read("points", "f", count, points, 2).astype(np.float32, copy=False),
        "visible": read("visible", "b", count, points),
        "attributes": read("attributes", "b", count, len(ATTRIBUTES)),
        "to_source": read("to_source", "f", count, 2, 3).astype(np.float32, copy=False),
        "yaw": read("yaw", "f", count).astype(np.float32, copy=False),
        "boxes": np.full((count, 4), np.nan, np.float32),
    }
    if f"{split}/boxes" in archive.members:  # Earlier versions stored none.
        fields["boxes"] = read("boxes", "f", count, 4).astype(np.float32, copy=False)
    if not count:
        raise ValueError(f"{archive.path}: split {split} has no faces")
    for face, fault in _faults(fields, frame_size, margin):
        where = f"{archive.path}: split {split}, face {face} ({str(names[face])[:100]})"
        raise ValueError(f"{where}: {fault}; prepare the set again, without such faces")
    groups = read("groups", "U", count)
    return fields | {"names": tuple(names.tolist()), "groups": tuple(groups.tolist())}


def find_impossible(faces: Faces) -> list[tuple[int, str]]:
    """The index of each face that no pack and no set may hold, and what is wrong with it."""
    fields = {"points": faces.points, "visible": faces.visible, "to_source": faces.to_source, "yaw": faces.yaw}
    return _faults(fields, faces.frame_size, faces.margin)


def _faults(fields: dict[str, np.ndarray], frame_size: int, margin: float) -> list[tuple[int, str]]:
    """Faces whose map or yaw is impossible, or whose points in the photo are; see `face_checks.find_faults`."""
    maps, yaw = fields["to_source"].astype(np.float64), fields["yaw"]
    scale = np.sqrt(np.abs(np.linalg.det(np.where(np.isfinite(maps), maps, 0)[:, :, :2])))
    wrong = ~((np.abs(maps) <= 1e6).all((1, 2)) & (scale > 1e-4) & (scale < 1e4))
    if wrong.any():
        return [(int(np.argmax(wrong)), "its map to the photo is impossible")]
    turned = ~(np.isnan(yaw) | (np.abs(yaw) <= _TURN))
    if turned.any():
        return [(int(np.argmax(turned)), f"its yaw is {yaw[np.argmax(turned)]:g} degrees")]
    points = np.einsum("nij,npj->npi", maps[:, :, :2], fields["points"]) + maps[:, None, :, 2]
    half, centre = frame_size / margin / 2, (frame_size - 1) / 2
    corners = np.array([(centre - half, centre - half), (centre + half, centre + half)])
    boxes = np.einsum("nij,pj->npi", maps[:, :, :2], corners) + maps[:, None, :, 2]
    boxes = np.concatenate([boxes.min(1), boxes.max(1)], axis=-1)
    faults = list(find_faults(points, fields["visible"], boxes))
    still = dict(find_faults(_SLACK * points, fields["visible"], _SLACK * boxes)) if faults else {}
    return [(face, fault) for face, fault in faults if face in still]


def check_frames(frames: Sequence[bytes], indices: np.ndarray, size: int, where: str) -> list[bytes]:
    """The frames as they are.

    Raises:
      ValueError: One is no JPEG image of `size` x `size` pixels; the message has `where` and its index.
    """
    for index, frame in zip(indices, frames, strict=True):
        found = jpeg_size(frame)
        if found != (size, size):
            what = "no JPEG image" if found is None else f"{found[0]} x {found[1]} pixels large"
            raise ValueError(f"{where}: the frame of face {index} is {what}, not a JPEG image of {size} x {size}")
    return list(frames)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG image by its header; None where it has none."""
    if data[:2] != b"\xff\xd8":
        return None
    start = 2
    while data[start : start + 1] == b"\xff" and start + 9 <= len(data):
        kind, length = data[start + 1], int.from_bytes(data[start + 2 : start + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[start + 7 : start + 9], "big"), int.from_bytes(
                data[start + 5 : start + 7], "big"
            )
        start += 2 + length
    return None


def description_of(faces: Faces, scheme: str) -> dict[str, Any]:
    """The fields of a `Description` of some faces, with the text that stands for their scheme."""
    return {"scheme": scheme, "frame_size": faces.frame_size, "margin": faces.margin, "box": faces.box}
