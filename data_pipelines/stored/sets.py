"""Prepared sets: a folder of ArrayRecord files and the labels of all records, as TensorFlow Datasets writes them.

Nothing of TFDS reads them: it would import the classes that features.json names, and follow the paths that
dataset_info.json names. The layout of a record is known, so both are left alone but for the splits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from jaxlm.data_pipelines.faces import Faces, collect_labels
from jaxlm.data_pipelines.optional import load_array_records
from jaxlm.data_pipelines.record import Record
from jaxlm.data_pipelines.stored.examples import Example, parse_example
from jaxlm.data_pipelines.stored.labels import SCHEME_FILE, Description, described_faces, read_labels, read_scheme
from jaxlm.files import Archive, read_json, replacing
from jaxlm.landmarks import Scheme

LABELS_FILE = "labels.npz"
"""Name of the file with the labels of all splits, in the folder of the set; to open a set reads it and no record."""


class _Split(msgspec.Struct, rename="camel"):
    name: Annotated[str, msgspec.Meta(pattern=r"^\w{1,200}\Z")]
    shard_lengths: list[Annotated[str, msgspec.Meta(pattern=r"^\d{1,12}\Z")]]


class _Info(msgspec.Struct, rename="camel"):
    """What dataset_info.json says of a set's records."""

    file_format: Literal["array_record"]
    splits: list[_Split]


def open_set(folder: Path, name: str) -> tuple[list[str], Callable[[str], Faces]]:
    """The names of the splits of the set `name`, and the function that reads one.

    Args:
      folder: The folder of the set's variant and version.
      name: Name of the set.

    Raises:
      ImportError: ArrayRecord is not installed.
      ValueError: A file of the set is missing or damaged, or a face is impossible; the message names the file.
    """
    module = load_array_records(f"opening the prepared set {name}")
    info = read_json(folder / "dataset_info.json", _Info)
    described, scheme = _read_description(folder)
    labels_file = folder / LABELS_FILE
    if not labels_file.exists():
        raise ValueError(f"{labels_file} is missing; prepare the set again with --overwrite")
    archive = Archive(labels_file, "not the labels of a prepared set")

    def read_split(split: str) -> Faces:
        labels = read_labels(archive, split, scheme, described.frame_size, described.margin)
        records = _records(module, folder, info, split)
        if len(records) != len(labels["names"]):
            raise ValueError(f"{labels_file} has {len(labels['names'])} faces in {split}, and there are {len(records)}")

        def read_frames(indices: np.ndarray) -> list[bytes]:
            return [_read(records, int(i), folder, split).one("image") for i in indices]

        return described_faces(described, name, split, scheme, labels, read_frames, str(folder))

    return [split.name for split in info.splits], read_split


def set_scheme(folder: Path) -> Scheme:
    """The scheme of the points of the set in `folder`; raises ValueError where the file that says so is damaged."""
    return _read_description(folder)[1]


def _read_description(folder: Path) -> tuple[Description, Scheme]:
    """What a set says of its faces, and their scheme."""
    described = read_json(folder / "metadata.json", Description)
    return described, read_scheme(described.scheme, folder / SCHEME_FILE, folder / "metadata.json")


def write_labels(folder: Path) -> None:
    """Writes `LABELS_FILE`: the labels of all records of the set in `folder`."""
    module = load_array_records("writing a prepared set")
    info = read_json(folder / "dataset_info.json", _Info)
    arrays: dict[str, Any] = {}
    for split in (split.name for split in info.splits):
        records = _records(module, folder, info, split)
        labels = (_labels(_read(records, i, folder, split)) for i in range(len(records)))
        arrays |= {f"{split}/{key}": array for key, array in collect_labels(labels).items()}
    with replacing(folder / LABELS_FILE) as file:
        np.savez(file, **arrays)


def _records(module: Any, folder: Path, info: _Info, split: str) -> Sequence[bytes]:
    """The records of a split, read by index; files are found by their names in the folder."""
    lengths = next(found.shard_lengths for found in info.splits if found.name == split)
    files = sorted(folder.glob(f"*-{split}.array_record-*-of-{len(lengths):05d}"))
    if not files or len(files) != len(lengths):
        raise ValueError(f"{folder} has {len(files)} of the {len(lengths)} files of {split}; prepare the set again")
    try:
        records = module.ArrayRecordDataSource([str(file) for file in files])
        count = len(records)
    except Exception as error:  # RuntimeError for most damage; the library does not say what else.
        raise ValueError(f"{files[0]} cannot be read: {_first_line(error)}; prepare the set again") from None
    if count != sum(map(int, lengths)):
        raise ValueError(f"{files[0]} holds {count} faces, not {sum(map(int, lengths))}; prepare the set again")
    return records


def _read(records: Sequence[bytes], index: int, folder: Path, split: str) -> Example:
    try:
        return parse_example(records[index])
    except Exception as error:  # See `_records`.
        where = f"{folder}, split {split}, face {index}"
        raise ValueError(f"{where} is damaged: {_first_line(error)}; prepare the set again") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _labels(example: Example) -> Record:
    """The record in an example, without its image."""
    return Record(
        image=b"",
        points=example.floats("points").reshape(-1, 2),
        visible=example.integers("visible").astype(bool),
        attributes=example.integers("attributes").astype(bool),
        to_source=example.floats("to_source").reshape(2, 3),
        name=example.one("name").decode(),
        group=example.one("group").decode(),
        style=int(example.integers("style")[0]),
        yaw=float(example.floats("yaw")[0]),
        box=example.floats("box"),
    )
