"""Opens what `prepare` writes: sets of TensorFlow Datasets, and packs, which are one .npz file each."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxlm.data_pipelines.faces import LABELS, Faces, collect_labels, pack_labels, unpack_labels
from jaxlm.data_pipelines.optional import load_tfds
from jaxlm.data_pipelines.record import VERSION, decode
from jaxlm.data_pipelines.selection import join
from jaxlm.landmarks import is_built_in, load_scheme
from jaxlm.landmarks.scheme import to_toml

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

SPLIT_UNIONS = {"full": "common+challenging"}
"""Names for several splits together: `full` is the full test set of 300-W."""

METADATA = ("scheme", "frame_size", "margin", "box")

SCHEME_FILE = "scheme.toml"
"""Name of the file of a user's own scheme, in the folder of the set."""

LABELS_FILE = "labels.npz"
"""Name of the file with the labels of all splits, in the folder of the set; to open a set reads it and no record."""

PACK_ARRAYS = ("encoded", "offsets", *LABELS)
NPZ_ERRORS = (ValueError, KeyError, EOFError, zipfile.BadZipFile)

_SPLIT = re.compile(r"(\w+)(?:\[(\d*):(\d*)\])?")


def variant_name(frame_size: int, margin: float) -> str:
    """The name of a set's variant, for example `256px` or, where the margin is not 2, `384px_margin1.5`."""
    return f"{frame_size}px" if margin == 2.0 else f"{frame_size}px_margin{margin:g}"


def set_folder(data_dir: Path, name: str, frame_size: int, margin: float) -> Path:
    """The folder of the set `name` with frames of that size and margin; it need not exist."""
    return data_dir / name / variant_name(frame_size, margin) / VERSION


def find_sets(dataset: str, data_dir: Path) -> list[Path]:
    """The folders of the prepared variants of `NAME` or `NAME/VARIANT`."""
    name, _, variant = dataset.partition("/")
    return sorted(path.parent for path in data_dir.glob(f"{name}/{variant or '*'}/{VERSION}/dataset_info.json"))


def named_pack(name: str, data_dir: Path) -> Path:
    """The pack that a set's name stands for where the set is not prepared."""
    return data_dir / f"{name}.npz"


def open_faces(dataset: str, split: str, data_dir: str | os.PathLike) -> Faces:
    """Opens a split of a prepared set or of a packed file.

    Args:
      dataset: Name of a set, for example `wflw`; with its variant, as in `wflw/384px`, if several are prepared; or the
        path of a packed .npz file. Where the set is not prepared, its name stands for the pack DATA_DIR/NAME.npz.
      split: Name of a split, several joined with `+`, or `full` for 300-W's common and challenging. `train[:10000]`
        is the first 10,000 faces of a split, `train[10000:]` the others.
      data_dir: Folder of the prepared sets.

    Raises:
      FileNotFoundError: The set is not prepared, or the pack does not exist.
      ImportError: TensorFlow Datasets is not installed, which sets need and packs do not.
      ValueError: The split does not exist or has fewer faces than asked for, the file is no pack, or the set is
        prepared in several variants.
    """
    splits, read_split = _open(dataset, Path(data_dir))
    wanted = split if split in splits else SPLIT_UNIONS.get(split, split)
    parts = {part: _SPLIT.fullmatch(part) for part in wanted.split("+")}
    unknown = [part for part, match in parts.items() if not match or match[1] not in splits]
    if unknown:
        raise ValueError(f"{dataset} has no split {'+'.join(unknown)}; it has {', '.join(splits)}")
    faces = [_take(read_split(match[1]), match[2], match[3]) for match in parts.values() if match]
    return dataclasses.replace(join(faces), split=split)


def _take(faces: Faces, start: str | None, stop: str | None) -> Faces:
    """The faces `start` to `stop` - 1, as the split's name gives both; '' is an end of the split, None the whole."""
    if start is None:
        return faces
    first, last = int(start or 0), int(stop or len(faces))
    if not first < last <= len(faces):
        raise ValueError(f"{faces.split}[{start}:{stop}]: {faces.dataset} has {len(faces)} faces in {faces.split}")
    return faces.take(np.arange(first, last))


def open_splits(dataset: str, data_dir: str | os.PathLike) -> dict[str, Faces]:
    """All splits of a prepared set or pack; see `open_faces`."""
    splits, read_split = _open(dataset, Path(data_dir))
    return {split: read_split(split) for split in splits}


def _open(dataset: str, data_dir: Path) -> tuple[list[str], Callable[[str], Faces]]:
    """The names of the splits, and the function that reads one."""
    if dataset.endswith(".npz"):
        return _open_pack(Path(dataset))
    pack = named_pack(dataset, data_dir)
    return _open_pack(pack) if pack.exists() and not find_sets(dataset, data_dir) else _open_set(dataset, data_dir)


def _open_set(dataset: str, data_dir: Path) -> tuple[list[str], Callable[[str], Faces]]:
    name = dataset.partition("/")[0]
    folders = find_sets(dataset, data_dir)
    if not folders:
        there = ", ".join(str(path.relative_to(data_dir).parent) for path in find_sets("*", data_dir))
        raise FileNotFoundError(
            f"{dataset} is not prepared in {data_dir} (there: {there or 'nothing'}). Prepare it first: "
            f"jaxlm prepare {name} --data-dir {data_dir}; --help lists what else it needs"
        )
    if len(folders) > 1:
        variants = ", ".join(f"{name}/{folder.parent.name}" for folder in folders)
        raise ValueError(f"{dataset} is prepared in several variants; name one of {variants}")

    builder = load_tfds(f"opening the prepared set {name}").builder_from_directory(folders[0])
    metadata, labels_file = _metadata(builder.info.metadata, folders[0] / SCHEME_FILE), folders[0] / LABELS_FILE
    try:
        labels = np.load(labels_file)
    except (OSError, *NPZ_ERRORS):
        raise ValueError(f"{labels_file} is missing or damaged; prepare the set again with --overwrite") from None

    def read_split(split: str) -> Faces:
        records = _data_source(builder, split)
        return Faces(
            dataset=name,
            split=split,
            **metadata,
            **unpack_labels(_arrays_of(split, LABELS, labels, labels_file)),
            read_encoded=lambda indices: [records[int(i)]["image"] for i in indices],
        )

    return list(builder.info.splits), read_split


def write_labels(folder: Path) -> None:
    """Writes `LABELS_FILE`: the labels of all records of the set in `folder`."""
    builder = load_tfds("writing a prepared set").builder_from_directory(folder)
    arrays: dict[str, np.ndarray] = {}
    for split in builder.info.splits:
        records = _data_source(builder, split)
        labels = (dataclasses.replace(decode(records[i]), image=b"") for i in range(len(records)))
        arrays |= {f"{split}/{key}": array for key, array in collect_labels(labels).items()}
    np.savez(folder / LABELS_FILE, **arrays)


def _data_source(builder: tfds.core.DatasetBuilder, split: str) -> Sequence[dict[str, Any]]:
    """The records of a split, read by index, their images still encoded."""
    tfds = load_tfds("reading a prepared set")
    return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})


def _arrays_of(split: str, keys: Iterable[str], arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """The arrays of a split in the .npz file `path`, by their keys."""
    try:
        return {key: arrays[f"{split}/{key}"] for key in keys}
    except NPZ_ERRORS as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _metadata(stored: Mapping[str, Any], scheme_file: Path) -> dict[str, Any]:
    """The fields of `Faces` that describe a set; a user's own scheme lies in a file beside it."""
    text = str(stored["scheme"])
    scheme = load_scheme(str(scheme_file) if text.endswith(".toml") else text)
    return {key: stored[key] for key in METADATA} | {"scheme": scheme}


def check_pack_name(path: Path) -> None:
    """Raises ValueError where a file has no name for a pack."""
    if path.suffix != ".npz":
        raise ValueError(f"{path}: the name of a pack ends in .npz")


def write_pack(file: str | os.PathLike, splits: Mapping[str, Faces]) -> None:
    """Writes the splits of a set as one .npz file, which appears only when it is whole.

    A user's own scheme goes to a file beside it, of the same name with the ending .toml.

    Raises:
      ValueError: The file's name does not end in .npz.
    """
    path = Path(file)
    check_pack_name(path)
    first = next(iter(splits.values()))
    metadata = {key: getattr(first, key) for key in METADATA} | {"scheme": first.scheme.name}
    metadata |= {"version": VERSION, "dataset": first.dataset, "splits": list(splits)}
    path.parent.mkdir(parents=True, exist_ok=True)
    if not is_built_in(first.scheme):
        scheme_file = path.with_suffix(".toml")
        scheme_file.write_text(to_toml(first.scheme))
        metadata["scheme"] = scheme_file.name
    arrays = {"metadata": np.array(json.dumps(metadata))}
    for split, faces in splits.items():
        arrays |= {f"{split}/{key}": array for key, array in _pack_arrays(faces).items()}
    unfinished = path.with_suffix(".incomplete")
    try:
        with unfinished.open("wb") as target:
            np.savez(target, **arrays)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _pack_arrays(faces: Faces) -> dict[str, np.ndarray]:
    frames = faces.read_encoded(np.arange(len(faces)))
    return {
        "encoded": np.frombuffer(b"".join(frames), np.uint8),
        "offsets": np.cumsum([0] + [len(frame) for frame in frames]),
        **pack_labels(faces),
    }


def _open_pack(path: Path) -> tuple[list[str], Callable[[str], Faces]]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; jaxlm prepare ... --pack {path} writes it")
    try:
        arrays = np.load(path)
        metadata = json.loads(str(arrays["metadata"]))
    except NPZ_ERRORS:
        raise ValueError(f"{path} is not a pack that `prepare --pack` wrote, or it is damaged") from None
    if metadata.get("version") != VERSION:
        raise ValueError(f"{path} is a pack of an earlier version; prepare the set again, with --pack {path}")

    described = _metadata(metadata, path.with_suffix(".toml"))

    def read_split(split: str) -> Faces:
        stored = _arrays_of(split, PACK_ARRAYS, arrays, path)
        encoded, offsets = stored["encoded"], stored["offsets"]
        return Faces(
            dataset=metadata["dataset"],
            split=split,
            **described,
            **unpack_labels(stored),
            read_encoded=lambda indices: [encoded[offsets[i] : offsets[i + 1]].tobytes() for i in indices],
        )

    return metadata["splits"], read_split
