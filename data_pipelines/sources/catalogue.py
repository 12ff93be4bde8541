"""AFLW2000-3D and 300W-LP as the TFDS catalogue stores them, downloaded before: `tfds build aflw2k3d`.

Both hold images of 450 x 450 pixels and landmarks divided by 450. The TFRecord files are read at their own offsets, so
that neither TensorFlow nor room in memory for all images is needed.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import typing
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.frames import BOX_SCALE, LANDMARK_BOX, Label, cut_face, decode_photo
from jaxlm.data_pipelines.record import Record
from jaxlm.data_pipelines.source import BadFaceError, OnBad
from jaxlm.data_pipelines.sources.aflw2000 import split_validation, wrap_degrees
from jaxlm.landmarks.geometry import box_around

if typing.TYPE_CHECKING:
    import tensorflow_datasets as tfds

IMAGE_SIZE = 450


class Example(typing.NamedTuple):
    """Where an example of a set lies: its number in the set, its file, and its bytes in there."""

    number: int
    path: Path
    offset: int
    length: int


@dataclasses.dataclass(frozen=True)
class AFLW2K3D:
    """AFLW2000-3D from the TFDS catalogue; it knows no yaws, so prefer `aflw2000` where the .mat files are at hand.

    Attributes:
      source: The data_dir of TFDS, often ~/tensorflow_datasets.
    """

    source: Path

    name: typing.ClassVar[str] = "aflw2k3d"
    scheme: typing.ClassVar[str] = "ibug68"
    box: typing.ClassVar[str] = LANDMARK_BOX

    def read(self, on_bad: OnBad) -> dict[str, list[Example]]:
        """The faces of `validation` and `test`, the same in each as those of `aflw2000`.

        Raises:
          FileNotFoundError: The set has not been downloaded.
          ValueError: Its files are damaged, or not TFRecords.
        """
        examples, images = [], []
        for example in find_examples(self.source, self.name):
            try:
                images.append(parse(example)["image"])
            except BadFaceError as error:
                on_bad(error)
                continue
            examples.append(example)
        return split_validation(examples, images)

    def to_record(self, label: Example, frame_size: int, margin: float) -> Record:
        """Cuts the frame of one example; see `frames.cut_face`."""
        features = parse(label)
        face = face_label(label, f"{self.name}/{label.number:06d}", features["landmarks_68_3d_xy_normalized"])
        return cut_face(face, decode_photo(features["image"], face.image, face.where), frame_size, margin)


@dataclasses.dataclass(frozen=True)
class The300WLP:
    """300W-LP (Zhu et al., CVPR 2016) from the TFDS catalogue: photos of 300-W, turned to large poses by a 3-D model.

    Attributes:
      source: The data_dir of TFDS, often ~/tensorflow_datasets.
    """

    source: Path

    name: typing.ClassVar[str] = "the300w_lp"
    scheme: typing.ClassVar[str] = "ibug68"
    box: typing.ClassVar[str] = LANDMARK_BOX

    def read(self, on_bad: OnBad) -> dict[str, list[Example]]:
        """All faces in `train`.

        Raises:
          FileNotFoundError: The set has not been downloaded.
          ValueError: Its files are damaged, or not TFRecords.
        """
        del on_bad
        return {"train": find_examples(self.source, self.name)}

    def to_record(self, label: Example, frame_size: int, margin: float) -> Record:
        """Cuts the frame of one example; see `frames.cut_face`.

        The landmarks are the projected 3-D ones, like those of AFLW2000-3D. The catalogue drops the names that tell
        the renderings of one photo; a group are the faces of one fitted shape, which these share. INFERRED.
        """
        features = parse(label)
        face = dataclasses.replace(
            face_label(label, f"{self.name}/{label.number:06d}", features["landmarks_3d"]),
            group=hashlib.sha256(features["shape_params"].tobytes()).hexdigest()[:16],
            yaw=wrap_degrees(np.rad2deg(features["pose_params"][1])),
        )
        return cut_face(face, decode_photo(features["image"], face.image, face.where), frame_size, margin)


def face_label(example: Example, name: str, landmarks: np.ndarray) -> Label:
    """The face of an example, a group by itself, with `landmarks` [68, 2] in parts of the image's side.

    Raises:
      BadFaceError: A landmark is not finite.
    """
    where = f"{example.path}, example {example.number}"
    points = landmarks.astype(np.float64) * IMAGE_SIZE
    if not np.isfinite(points).all():
        raise BadFaceError(f"{where}: a landmark is not finite")
    return Label(
        image=example.path, points=points, box=box_around(points, BOX_SCALE), where=where, name=name, group=name
    )


def find_examples(data_dir: Path, name: str) -> list[Example]:
    """The examples in the `train` split of a catalogue set, in the order of its files.

    Raises:
      FileNotFoundError: The set has not been downloaded.
      ValueError: Its files are not TFRecords, or one is truncated.
    """
    folders = sorted(path.parent for path in data_dir.glob(f"{name}/*/dataset_info.json"))
    if not folders:
        raise FileNotFoundError(f"{data_dir} holds no {name}; download it: tfds build {name} --data_dir {data_dir}")
    info = _builder(folders[-1]).info
    if info.file_format.value != "tfrecord":
        raise ValueError(f"{folders[-1]} is stored as {info.file_format.value}; only tfrecord can be read")
    spans = [(Path(path), *span) for path in info.splits["train"].filepaths for span in scan_tfrecords(Path(path))]
    return [Example(number, *span) for number, span in enumerate(spans)]


def scan_tfrecords(path: Path) -> Iterator[tuple[int, int]]:
    """The offset and the length in bytes of each record in a TFRecord file.

    A record is its length as 8 bytes, a checksum of that in 4, the data, and a checksum of the data in 4.

    Raises:
      ValueError: The file is truncated.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        while header := file.read(12):
            length = int.from_bytes(header[:8], "little")
            offset = file.tell()
            if len(header) < 12 or offset + length + 4 > size:
                raise ValueError(f"{path} is truncated")
            yield offset, length
            file.seek(length + 4, os.SEEK_CUR)


def parse(example: Example) -> dict[str, typing.Any]:
    """The features of an example as numpy arrays; `image` is left encoded, as bytes.

    Raises:
      BadFaceError: The example is damaged.
    """
    import tensorflow_datasets as tfds

    with example.path.open("rb") as file:
        file.seek(example.offset)
        data = file.read(example.length)
    features = _builder(example.path.parent).info.features
    try:
        return features.deserialize_example_np(data, decoders={"image": tfds.decode.SkipDecoding()})
    except Exception as error:  # A damaged example raises nearly anything, from protobuf's errors to KeyError.
        raise BadFaceError(f"{example.path}, example {example.number} is damaged: {error}") from None


@functools.cache
def _builder(folder: Path) -> tfds.core.DatasetBuilder:
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(folder)
