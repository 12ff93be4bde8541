"""Opens what `prepare` wrote: TFDS sets, and packs, which hold a whole set in one .npz file."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from data_pipelines.faces import Faces, join
from data_pipelines.record import VERSION, decode

SPLIT_UNIONS = {"full": "common+challenging"}
"""Names that stand for several splits: the full test set of 300-W."""

METADATA = ("scheme", "frame_size", "margin", "box")

SCHEME_FILE = "scheme.toml"
"""A user's own scheme, in the folder of the set."""

PACK_ARRAYS = ("encoded", "offsets", "points", "visible", "attributes", "to_source", "names", "groups")
PACK_ERRORS = (ValueError, KeyError, EOFError, zipfile.BadZipFile)


def variant_name(frame_size: int, margin: float) -> str:
    """The name of a set's variant, for example `256px` or `384px_margin1.5`; a margin of 2 goes without saying."""
    return f"{frame_size}px" if margin == 2.0 else f"{frame_size}px_margin{margin:g}"


def set_folder(data_dir: Path, name: str, frame_size: int, margin: float) -> Path:
    """Where the set `name` with frames of that size and margin lies, or will."""
    return data_dir / name / variant_name(frame_size, margin) / VERSION


def find_sets(dataset: str, data_dir: Path) -> list[Path]:
    """The folders of the prepared variants of `NAME` or `NAME/VARIANT`."""
    name, _, variant = dataset.partition("/")
    return sorted(path.parent for path in data_dir.glob(f"{name}/{variant or '*'}/{VERSION}/dataset_info.json"))


def open_faces(dataset: str, split: str, data_dir: str | os.PathLike) -> Faces:
    """Opens a split of a prepared set or of a packed file.

    Args:
      dataset: Name of a set, for example `wflw`; with its variant, as in `wflw/384px`, if several are prepared; or the
        path of a packed .npz file.
      split: Name of a split, several joined with `+`, or `full` for 300-W's common and challenging.
      data_dir: Folder of the prepared sets.

    Raises:
      FileNotFoundError: The set is not prepared, or there is no such file.
      ValueError: There is no such split, the file is no pack, or the name fits several variants.
    """
    splits, read_split = _open(dataset, Path(data_dir))
    wanted = split if split in splits else SPLIT_UNIONS.get(split, split)
    unknown = [part for part in wanted.split("+") if part not in splits]
    if unknown:
        raise ValueError(f"{dataset} has no split {'+'.join(unknown)}; it has {', '.join(splits)}")
    parts = [read_split(part) for part in wanted.split("+")]
    return dataclasses.replace(join(parts), split=split)


def open_splits(dataset: str, data_dir: str | os.PathLike) -> dict[str, Faces]:
    """All splits of a prepared set or pack; see `open_faces`."""
    splits, read_split = _open(dataset, Path(data_dir))
    return {split: read_split(split) for split in splits}


def _open(dataset: str, data_dir: Path) -> tuple[list[str], Callable[[str], Faces]]:
    """The names of the splits, and the function that reads one."""
    return _open_pack(Path(dataset)) if dataset.endswith(".npz") else _open_set(dataset, data_dir)


def _open_set(dataset: str, data_dir: Path) -> tuple[list[str], Callable[[str], Faces]]:
    name = dataset.partition("/")[0]
    folders = find_sets(dataset, data_dir)
    if not folders:
        there = ", ".join(str(path.relative_to(data_dir).parent) for path in find_sets("*", data_dir))
        raise FileNotFoundError(
            f"{dataset} is not prepared in {data_dir} (there: {there or 'nothing'}). Prepare it first: "
            f"python -m data_pipelines.prepare {name} --data-dir {data_dir}; --help lists what else it needs"
        )
    if len(folders) > 1:
        variants = ", ".join(f"{name}/{folder.parent.name}" for folder in folders)
        raise ValueError(f"{dataset} is prepared in several variants; name one of {variants}")

    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folders[0])

    def read_split(split: str) -> Faces:
        records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        labels = [dataclasses.replace(decode(records[i]), image=b"") for i in range(len(records))]
        return Faces(
            dataset=name,
            split=split,
            **_metadata(builder.info.metadata, folders[0] / SCHEME_FILE),
            points=np.stack([label.points for label in labels]),
            visible=np.stack([label.visible for label in labels]),
            attributes=np.stack([label.attributes for label in labels]),
            to_source=np.stack([label.to_source for label in labels]),
            names=tuple(label.name for label in labels),
            groups=tuple(label.group for label in labels),
            read_encoded=lambda indices: [records[int(i)]["image"] for i in indices],
        )

    return list(builder.info.splits), read_split


def _metadata(stored: Mapping[str, str | int | float], scheme_file: Path) -> dict:
    """The fields of `Faces` that describe a set; a user's own scheme is kept in a file that travels with the set."""
    fields = {key: stored[key] for key in METADATA}
    return fields | {"scheme": str(scheme_file)} if fields["scheme"].endswith(".toml") else fields


def write_pack(file: str | os.PathLike, splits: Mapping[str, Faces]) -> None:
    """Writes the splits of a set as one .npz file, which takes its place only when it is whole.

    A user's own scheme is written beside it, under the same name with the ending .toml.

    Raises:
      ValueError: The file's name does not end in .npz.
    """
    path = Path(file)
    if path.suffix != ".npz":
        raise ValueError(f"{path}: the name of a pack ends in .npz")
    first = next(iter(splits.values()))
    metadata = {key: getattr(first, key) for key in METADATA} | {"dataset": first.dataset, "splits": list(splits)}
    path.parent.mkdir(parents=True, exist_ok=True)
    if first.scheme.endswith(".toml"):
        shutil.copyfile(first.scheme, path.with_suffix(".toml"))
    arrays = {"metadata": np.array(json.dumps(metadata))}
    for split, faces in splits.items():
        arrays |= {f"{split}/{key}": array for key, array in _pack_arrays(faces).items()}
    unfinished = path.with_suffix(".incomplete")
    with unfinished.open("wb") as target:
        np.savez(target, **arrays)
    unfinished.replace(path)


def _pack_arrays(faces: Faces) -> dict[str, np.ndarray]:
    frames = faces.read_encoded(np.arange(len(faces)))
    return {
        "encoded": np.frombuffer(b"".join(frames), np.uint8),
        "offsets": np.cumsum([0] + [len(frame) for frame in frames]),
        "points": faces.points,
        "visible": faces.visible,
        "attributes": faces.attributes,
        "to_source": faces.to_source,
        "names": np.array(faces.names),
        "groups": np.array(faces.groups),
    }


def _open_pack(path: Path) -> tuple[list[str], Callable[[str], Faces]]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; python -m data_pipelines.prepare ... --pack {path} writes it")
    try:
        arrays = np.load(path)
        metadata = json.loads(str(arrays["metadata"]))
    except PACK_ERRORS:
        raise ValueError(f"{path} is not a pack that `prepare --pack` wrote, or it is damaged") from None

    def read_split(split: str) -> Faces:
        try:
            stored = {key: arrays[f"{split}/{key}"] for key in PACK_ARRAYS}
        except PACK_ERRORS as error:
            raise ValueError(f"{path} is damaged: {error}") from None
        encoded, offsets = stored.pop("encoded"), stored.pop("offsets")
        names, groups = (tuple(stored.pop(key).tolist()) for key in ("names", "groups"))
        return Faces(
            dataset=metadata["dataset"],
            split=split,
            **_metadata(metadata, path.with_suffix(".toml")),
            **stored,
            names=names,
            groups=groups,
            read_encoded=lambda indices: [encoded[offsets[i] : offsets[i + 1]].tobytes() for i in indices],
        )

    return metadata["splits"], read_split
