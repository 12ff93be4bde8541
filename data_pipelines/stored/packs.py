"""Packs: the frames and labels of all splits of a set in one .npz file, which needs no TensorFlow."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from jaxlm.data_pipelines.faces import Faces, pack_labels
from jaxlm.data_pipelines.record import VERSION
from jaxlm.data_pipelines.stored.labels import (
    Description,
    SafeName,
    described_faces,
    description_of,
    find_impossible,
    read_labels,
    read_scheme,
)
from jaxlm.files import Archive, as_schema, replacing
from jaxlm.landmarks import Scheme, text_of

_KIND = "not a pack that `prepare --pack` wrote"


class Metadata(Description):
    """The text `metadata` of a pack."""

    version: str
    dataset: SafeName
    splits: Annotated[list[SafeName], msgspec.Meta(min_length=1, max_length=1000)]


def check_pack_name(path: Path) -> None:
    """Raises ValueError where a file has no name for a pack."""
    if path.suffix != ".npz":
        raise ValueError(f"{path}: the name of a pack ends in .npz")


def write_pack(file: str | os.PathLike, splits: Mapping[str, Faces]) -> None:
    """Writes the splits of a set as one .npz file, which appears only when it is whole.

    A user's own scheme goes into the pack, too.

    Raises:
      ValueError: The file's name does not end in .npz; or `open_pack` would refuse what the pack holds.
    """
    path = Path(file)
    check_pack_name(path)
    for split, faces in splits.items():
        for face, fault in find_impossible(faces):
            raise ValueError(f"{path} is not written: split {split}, face {face} ({faces.names[face][:100]}): {fault}")
    first = next(iter(splits.values()))
    metadata = description_of(first, text_of(first.scheme))
    metadata |= {"version": VERSION, "dataset": first.dataset, "splits": list(splits)}
    as_schema(metadata, Metadata, f"{path} is not written: metadata")
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"metadata": np.array(json.dumps(metadata))}
    for split, faces in splits.items():
        arrays |= {f"{split}/{key}": array for key, array in _arrays(faces).items()}
    with replacing(path) as target:
        np.savez(target, **arrays)


def _arrays(faces: Faces) -> dict[str, np.ndarray]:
    frames = faces.read_encoded(np.arange(len(faces)))
    return {
        "encoded": np.frombuffer(b"".join(frames), np.uint8),
        "offsets": np.cumsum([0] + [len(frame) for frame in frames]),
        **pack_labels(faces),
    }


def pack_scheme(path: Path) -> Scheme:
    """The scheme of a pack's points; raises as `open_pack` does."""
    return _open_description(path)[2]


def open_pack(path: Path) -> tuple[list[str], Callable[[str], Faces]]:
    """The names of a pack's splits, and the function that reads one.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The file is no pack, damaged, or of an earlier version; or a face in it is impossible.
    """
    archive, metadata, scheme = _open_description(path)

    def read_split(split: str) -> Faces:
        labels = read_labels(archive, split, scheme, metadata.frame_size, metadata.margin)
        encoded = archive.read(f"{split}/encoded", "u", (None,))
        offsets = archive.read(f"{split}/offsets", "iu", (len(labels["names"]) + 1,)).astype(np.int64)
        if encoded.dtype != np.uint8 or offsets[0] != 0 or np.any(np.diff(offsets) <= 0) or offsets[-1] != len(encoded):
            raise ValueError(f"{path} is damaged: {split}/offsets are not the places of the frames in {split}/encoded")

        def read_frames(indices: np.ndarray) -> list[bytes]:
            return [encoded[offsets[i] : offsets[i + 1]].tobytes() for i in indices]

        return described_faces(metadata, metadata.dataset, split, scheme, labels, read_frames, str(path))

    return metadata.splits, read_split


def _open_description(path: Path) -> tuple[Archive, Metadata, Scheme]:
    """A pack, what it says of itself, and its scheme; no face is read."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; jaxlm prepare ... --pack {path} writes it")
    archive = Archive(path, _KIND)
    stored = archive.read_json("metadata", dict[str, Any])
    if isinstance(stored.get("model"), str):
        raise ValueError(f"{path} is {_KIND}, but weights of a {stored['model']}, as --weights takes it")
    if stored.get("version") != VERSION:
        raise ValueError(f"{path} is a pack of an earlier version; prepare the set again, with --pack {path}")
    metadata = as_schema(stored, Metadata, f"{path} is {_KIND}: metadata")
    scheme = read_scheme(metadata.scheme, path.with_suffix(".toml"), path)
    return archive, metadata, scheme
