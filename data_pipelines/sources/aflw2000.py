"""AFLW2000-3D (Zhu et al., 3DDFA, CVPR 2016): 2,000 faces in all poses with 68 landmarks of a fitted 3-D model."""

from __future__ import annotations

import dataclasses
import hashlib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.io

from jaxlm.data_pipelines.cutting import BOX_SCALE, LANDMARK_BOX, Label, check_all_are_places, make_record
from jaxlm.data_pipelines.source import BadFaceError, OnBad, passing_bad
from jaxlm.data_pipelines.sources.ibug300w import find_image, images_by_stem
from jaxlm.files import read_array
from jaxlm.landmarks import IBUG68, Scheme
from jaxlm.landmarks.geometry import box_around
from jaxlm.landmarks.tables import files_with_ending

NUM_POINTS = 68
VALIDATION_SHARE = 0.1
SPLIT_SEED = b"0"
"""Hashed with each image; another seed gives another split."""

Angle = typing.TypeVar("Angle", np.ndarray, float)
_WHOLE_TURN = 360.0
_HALF_TURN_IN_RADIANS, _CLEARLY_TURNED = 3.2, 10.0
_MOST_BYTES = 2 << 20  # A file holds some hundred numbers; what is compressed grows a thousandfold at most.


@dataclasses.dataclass(frozen=True)
class AFLW2000:
    """The official folder of AFLW2000-3D: image00002.jpg with image00002.mat, and so on.

    Attributes:
      source: Folder of the .jpg and .mat files.
      poses: A .npy file of better yaws in degrees, one for each .mat file in the order of their names, such as the
        published AFLW2000-3D-new.pose.npy, which holds |yaw|. By default, yaws are the fitted ones of the .mat files.
    """

    source: Path
    poses: Path | None = None

    name: typing.ClassVar[str] = "aflw2000"
    scheme: typing.ClassVar[Scheme] = IBUG68
    box: typing.ClassVar[str] = LANDMARK_BOX

    to_record = staticmethod(make_record)

    def read(self, on_bad: OnBad) -> dict[str, list[Label]]:
        """The faces of `validation` and `test`, by name; see `split_validation`.

        Raises:
          FileNotFoundError: The folder holds no .mat files, or the file `poses` does not exist.
          ValueError: The `poses` are not one number for each .mat file.
        """
        paths = files_with_ending(self.source, ".mat")
        if not paths:
            raise FileNotFoundError(f"{self.source} holds no .mat files; --source is the folder of image00002.mat")
        yaws = [None] * len(paths) if self.poses is None else read_poses(self.poses, len(paths))
        by_stem = images_by_stem(self.source)
        labels, images, fitted = [], [], []
        for path, yaw in zip(paths, yaws, strict=True):
            with passing_bad(on_bad):
                label = read_label(path, by_stem)
                images.append(label.image.read_bytes())
                fitted.append(label.yaw)
                labels.append(label if yaw is None else dataclasses.replace(label, yaw=yaw))
        if self.poses is not None:
            _check_degrees(self.poses, np.asarray(yaws), np.asarray(fitted))
        return split_validation(labels, images)


def _check_degrees(path: Path, yaws: np.ndarray, fitted: np.ndarray) -> None:
    """Raises ValueError where yaws seem to be in radians: all are small, and those fitted in degrees are not."""
    if np.abs(yaws).max() < _HALF_TURN_IN_RADIANS and np.abs(fitted).max(initial=0) > _CLEARLY_TURNED:
        raise ValueError(
            f"{path}: no yaw is larger than {np.abs(yaws).max():.3g}, and by Pose_Para faces are turned by up to"
            f" {np.abs(fitted).max():.0f} degrees; the file seems to hold radians: save numpy.rad2deg of it"
        )


def split_validation(labels: Sequence[typing.Any], images: Sequence[bytes]) -> dict[str, list[typing.Any]]:
    """Holds out a tenth of the faces as `validation`; the others are `test`.

    The faces of `validation` are those whose image files have the smallest hashes: 200 of the 2,000. They are the same
    200 in the official folder and in the TFDS catalogue, which has no names of images.

    Args:
      labels: Label of each face; both splits keep the order.
      images: The bytes of each face's image file.
    """
    hashes = [hashlib.sha256(SPLIT_SEED + image).digest() for image in images]
    chosen = set(sorted(range(len(labels)), key=hashes.__getitem__)[: round(VALIDATION_SHARE * len(labels))])
    splits = {
        "validation": [label for index, label in enumerate(labels) if index in chosen],
        "test": [label for index, label in enumerate(labels) if index not in chosen],
    }
    return {split: part for split, part in splits.items() if part}


def read_label(path: Path, images: Mapping[str, Sequence[Path]]) -> Label:
    """The face of a .mat file and its image among `images`, see `ibug300w.images_by_stem`.

    The landmarks are the first two rows of `pt3d_68` [3, 68], in pixels, as they are stored; they may lie outside the
    image. 3DDFA does the same, while H3R subtracts 1; this pixel is worth about 0.75 points of NME. The yaw is the
    second value of `Pose_Para` [1, 7], in radians. One fitted yaw is 351 degrees, which is wrapped to -9. The usual
    counts of faces by yaw, 1312, 383 and 305, take that face for one turned away.

    Raises:
      BadFaceError: The file is no such .mat file, a point is marked as hidden, or its image is missing.
    """
    points = check_all_are_places(read_matrix(path, "pt3d_68", (3, NUM_POINTS))[:2].T, str(path))
    yaw = float(np.rad2deg(read_matrix(path, "Pose_Para", (1, 7))[0, 1]))
    if abs(yaw) > _WHOLE_TURN:
        raise BadFaceError(f"{path}: the yaw in Pose_Para is {yaw:g} degrees, more than a whole turn")
    return Label(
        image=find_image(path, images),
        points=points,
        box=box_around(points, BOX_SCALE),
        where=str(path),
        name=path.stem,
        group=path.stem,
        yaw=wrap_degrees(yaw),
    )


def read_matrix(path: Path, name: str, shape: tuple[int, int]) -> np.ndarray:
    """The matrix `name` of a .mat file, float64 of that shape.

    Raises:
      BadFaceError: The file cannot be read, or it has no such matrix of finite numbers.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise BadFaceError(f"{path} has more than {_MOST_BYTES >> 20} MB, which no file of AFLW2000-3D has")
    try:
        # The headers alone; a damaged one may promise more than memory holds.
        found = [(size, kind) for known, size, kind in scipy.io.whosmat(path) if known == name]
        if any(size != shape for size, _ in found):
            size, kind = found[0]
            raise BadFaceError(f"{path}: {name} is {kind} {list(size)}, not {list(shape)} finite numbers")
        matrix = scipy.io.loadmat(path, variable_names=[name]).get(name) if found else None
    except BadFaceError:
        raise
    except Exception as error:  # Damaged files raise nearly anything: OSError, zlib.error, TypeError, IndexError.
        raise BadFaceError(f"{path} is not a readable .mat file: {error}") from None
    if matrix is None:
        raise BadFaceError(f"{path} has no {name}; the files of AFLW2000-3D hold pt3d_68 and Pose_Para")
    if matrix.shape != shape or matrix.dtype.kind not in "iuf" or not np.isfinite(matrix).all():
        raise BadFaceError(f"{path}: {name} is {matrix.dtype} {list(matrix.shape)}, not {list(shape)} finite numbers")
    return matrix.astype(np.float64)


def read_poses(path: Path, count: int) -> np.ndarray:
    """The yaws [count] of a .npy file, in -180 to 180 degrees.

    Raises:
      ValueError: The file holds something else.
    """
    yaws = read_array(path, "iuf").astype(np.float64)
    if yaws.shape != (count,):
        raise ValueError(f"{path} holds {yaws.dtype} {list(yaws.shape)}, not a yaw for each of the {count} .mat files")
    wrong = np.flatnonzero(~(np.abs(yaws) <= _WHOLE_TURN))
    if len(wrong):
        worst = wrong[0]
        raise ValueError(f"{path}: yaw {worst} is {yaws[worst]:g}, and yaws are -360 to 360 degrees")
    return wrap_degrees(yaws)


def wrap_degrees(angle: Angle) -> Angle:
    """The same angle in degrees between -180 and 180: 351 becomes -9."""
    return (angle + 180) % 360 - 180
