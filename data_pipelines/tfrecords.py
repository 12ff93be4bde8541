"""The TFRecord files of AFLW2000-3D and 300W-LP, as the TFDS catalogue stores both sets.

Both hold images of 450 x 450 pixels and landmarks divided by 450. Examples are read one by one at their offsets, which
needs neither TensorFlow nor memory for all images.
"""

from __future__ import annotations

import functools
import os
import typing
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import BOX_SCALE, Label
from jaxlm.data_pipelines.optional import load_tfds
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.landmarks.geometry import box_around

if typing.TYPE_CHECKING:
    import tensorflow_datasets as tfds

IMAGE_SIZE = 450

_PURPOSE = "reading a set of the TFDS catalogue"


class Example(typing.NamedTuple):
    """The position of an example of a set.

    Attributes:
      number: Number of the example in the set.
      path: File of the example.
      offset: First byte of the example in the file.
      length: Number of its bytes.
    """

    number: int
    path: Path
    offset: int
    length: int


def face_label(example: Example, name: str, landmarks: np.ndarray) -> Label:
    """The face of an example, in a group of its own; `landmarks` [68, 2] are fractions of the image's side.

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
      ImportError: TensorFlow Datasets is not installed.
      ValueError: The set's files are not TFRecords, or one is truncated.
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

    A record is 8 bytes of length, 4 bytes of the length's checksum, the data, and 4 bytes of the data's checksum.

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
    """The features of an example as numpy arrays; `image` stays encoded, as bytes.

    Raises:
      BadFaceError: The example is damaged.
    """
    tfds = load_tfds(_PURPOSE)
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
    return load_tfds(_PURPOSE).builder_from_directory(folder)
