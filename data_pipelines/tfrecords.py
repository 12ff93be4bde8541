"""The TFRecord files of AFLW2000-3D and 300W-LP, as the TFDS catalogue stores both sets.

Both hold images of 450 x 450 pixels and landmarks divided by 450. Examples are read one by one at their offsets, which
needs neither TensorFlow nor memory for all images.
"""

from __future__ import annotations

import contextlib
import os
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from jaxlm.data_pipelines.cutting import BOX_SCALE, Label, check_all_are_places
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.stored import examples
from jaxlm.files import read_json
from jaxlm.landmarks.geometry import box_around

IMAGE_SIZE = 450
NUM_POINTS = 68


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
    """The face of an example, in a group of its own; `landmarks` [136], x and y in turn, are fractions of the image.

    Raises:
      BadFaceError: There is another number of landmarks, one is not finite, or marked as hidden.
    """
    where = f"{example.path}, example {example.number}"
    if landmarks.shape != (2 * NUM_POINTS,):
        raise BadFaceError(f"{where}: {len(landmarks)} values instead of {2 * NUM_POINTS}")
    points = landmarks.astype(np.float64).reshape(NUM_POINTS, 2) * IMAGE_SIZE
    if not np.isfinite(points).all():
        raise BadFaceError(f"{where}: a landmark is not finite")
    check_all_are_places(points.round(3), where)  # They were divided in float32.
    return Label(
        image=example.path, points=points, box=box_around(points, BOX_SCALE), where=where, name=name, group=name
    )


class _Info(msgspec.Struct, rename="camel"):
    """What dataset_info.json of a catalogue set says; paths and classes in it are not followed."""

    file_format: str = "tfrecord"


def find_examples(data_dir: Path, name: str) -> list[Example]:
    """The examples in the `train` split of a catalogue set, in the order of its files.

    Raises:
      FileNotFoundError: The set has not been downloaded, or files of it are missing.
      ValueError: The set's files are not TFRecords, or one is truncated.
    """
    folders = sorted(path.parent for path in data_dir.glob(f"{name}/*/dataset_info.json"))
    if not folders:
        raise FileNotFoundError(f"{data_dir} holds no {name}; download it: tfds build {name} --data_dir {data_dir}")
    info = read_json(folders[-1] / "dataset_info.json", _Info)
    if info.file_format != "tfrecord":
        raise ValueError(f"{folders[-1]} is stored as {info.file_format[:40]}; only tfrecord can be read")
    files = sorted(folders[-1].glob(f"{name}-train.tfrecord-*-of-*"))
    count = int(files[0].name.rpartition("-")[2]) if files and files[0].name.rpartition("-")[2].isdecimal() else 0
    if not files or len(files) != count:
        raise FileNotFoundError(f"{folders[-1]} holds {len(files)} of the {count} files of train; download it again")
    spans = [(path, *span) for path in files for span in scan_tfrecords(path)]
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


def parse(example: Example) -> examples.Example:
    """The features of an example; its image stays encoded.

    Raises:
      BadFaceError: The example is damaged.
    """
    with example.path.open("rb") as file:
        file.seek(example.offset)
        data = file.read(example.length)
    with told(example):
        return examples.parse_example(data)


@contextlib.contextmanager
def told(example: Example) -> Iterator[None]:
    """Turns a ValueError about an example into a BadFaceError that names it."""
    try:
        yield
    except ValueError as error:
        raise BadFaceError(f"{example.path}, example {example.number} is damaged: {error}") from None
