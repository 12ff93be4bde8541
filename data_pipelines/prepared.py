"""Opens what `prepare` writes, sets of TensorFlow Datasets and packs (one .npz file each), and what it reads."""

from __future__ import annotations

import dataclasses
import difflib
import glob
import os
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines import sources
from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.record import VERSION
from jaxlm.data_pipelines.selection import join
from jaxlm.data_pipelines.stored.labels import SCHEME_FILE, find_impossible
from jaxlm.data_pipelines.stored.packs import check_pack_name, open_pack, pack_scheme, write_pack
from jaxlm.data_pipelines.stored.published import open_published
from jaxlm.data_pipelines.stored.sets import open_set, set_scheme, write_labels
from jaxlm.landmarks import Scheme

__all__ = [
    "SCHEME_FILE",
    "SPLIT_UNIONS",
    "check_pack_name",
    "find_impossible",
    "find_sets",
    "is_pack_called",
    "named_pack",
    "names_of_splits",
    "open_faces",
    "open_splits",
    "scheme_of",
    "set_folder",
    "variant_name",
    "write_labels",
    "write_pack",
]

SPLIT_UNIONS = {"full": "common+challenging"}
"""Names for several splits together: `full` is the full test set of 300-W."""

_SPLIT = re.compile(r"(.+?)(?:\[(\d{0,15}):(\d{0,15})\])?")
_SET = re.compile(r"[^/\\\0]+(/[^/\\\0]+)?")


def variant_name(frame_size: int, margin: float) -> str:
    """The name of a set's variant, for example `256px` or, where the margin is not 2, `384px_margin1.5`."""
    return f"{frame_size}px" if margin == 2.0 else f"{frame_size}px_margin{margin:g}"


def set_folder(data_dir: Path, name: str, frame_size: int, margin: float) -> Path:
    """The folder of the set `name` with frames of that size and margin; it need not exist."""
    return data_dir / name / variant_name(frame_size, margin) / VERSION


def find_sets(dataset: str, data_dir: Path) -> list[Path]:
    """The folders of the prepared variants of `NAME` or `NAME/VARIANT`."""
    name, _, variant = dataset.partition("/")
    found = data_dir.glob(f"{glob.escape(name)}/{glob.escape(variant) or '*'}/{VERSION}/dataset_info.json")
    return sorted(path.parent for path in found)


def all_sets(data_dir: Path) -> list[Path]:
    """The folders of all prepared sets."""
    return sorted(path.parent for path in data_dir.glob(f"*/*/{VERSION}/dataset_info.json"))


def named_pack(name: str, data_dir: Path) -> Path:
    """The pack that a set's name stands for where the set is not prepared."""
    return data_dir / f"{name}.npz"


def open_faces(dataset: str, split: str, data_dir: str | os.PathLike, source: Path | None = None) -> Faces:
    """Opens a split of a prepared set, of a packed file or of a published archive.

    Args:
      dataset: Name of a set, for example `wflw`; with its variant, as in `wflw/384px`, if several are prepared; or the
        path of a packed .npz file. Where the set is not prepared, its name stands for the pack DATA_DIR/NAME.npz.
      split: Name of a split, several joined with `+`, or `full` for 300-W's common and challenging. `train[:10000]`
        is the first 10,000 faces of a split, `train[10000:]` the others.
      data_dir: Folder of the prepared sets.
      source: Folder of the archive as it was published, in place of a prepared set; `dataset` is then the name of its
        format. See `open_published`.

    Raises:
      FileNotFoundError: The set is not prepared, or the pack does not exist.
      ImportError: TensorFlow Datasets is not installed, which sets need and packs do not.
      ValueError: The split does not exist or has fewer faces than asked for, a face is asked for twice, the file is no
        pack, or the set is prepared in several variants.
    """
    splits, read_split = _open(dataset, Path(data_dir), source)
    wanted = split if split in splits else SPLIT_UNIONS.get(split, split)
    parts = [(part, _SPLIT.fullmatch(part)) for part in wanted.split("+")]
    known = [(part, match) for part, match in parts if match and match[1] in splits]
    if unknown := [part for part, match in parts if not match or match[1] not in splits]:
        raise ValueError(f"{dataset} has no split {'+'.join(unknown)}; it has {', '.join(splits)}")
    found: list[Faces] = []
    taken: list[tuple[str, str, range]] = []
    for part, match in known:
        faces = read_split(match[1])
        chosen = _range_of(faces, match[2], match[3])
        for other, name, theirs in taken:
            if name == match[1] and max(chosen.start, theirs.start) < min(chosen.stop, theirs.stop):
                raise ValueError(f"{dataset}: {other} and {part} share faces; each may be there once")
        taken.append((part, match[1], chosen))
        found.append(faces if match[2] is None else faces.take(np.asarray(chosen)))
    return dataclasses.replace(join(found), split=split)


def _range_of(faces: Faces, start: str | None, stop: str | None) -> range:
    """The faces `start` to `stop` - 1, as the split's name gives both; '' is an end of the split, None the whole."""
    first, last = int(start or 0), int(stop or len(faces))
    if start is not None and not first < last <= len(faces):
        raise ValueError(f"{faces.split}[{start}:{stop}]: {faces.dataset} has {len(faces)} faces in {faces.split}")
    return range(first, last)


def open_splits(dataset: str, data_dir: str | os.PathLike) -> dict[str, Faces]:
    """All splits of a prepared set or pack; see `open_faces`."""
    splits, read_split = _open(dataset, Path(data_dir))
    return {split: read_split(split) for split in splits}


def is_pack_called(path: str | os.PathLike, ending: str) -> bool:
    """Whether a file is a pack of sets whose names end in `ending`, as those that were made of other sets have it.

    Raises:
      ValueError: It is no pack.
    """
    names, read_split = open_pack(Path(path))
    return bool(names) and all(read_split(name).dataset.endswith(ending) for name in names)


def names_of_splits(dataset: str, data_dir: str | os.PathLike, source: Path | None = None) -> list[str]:
    """The names of the splits of a prepared set, a pack or an archive; raises what `open_faces` raises."""
    return _open(dataset, Path(data_dir), source)[0]


def scheme_of(dataset: str, data_dir: str | os.PathLike) -> Scheme:
    """The scheme of the points of a prepared set or pack; no face is read, and nothing need be installed for it.

    Raises:
      FileNotFoundError, ValueError: See `open_faces`.
    """
    place = _find(dataset, Path(data_dir))
    return pack_scheme(place) if place.suffix == ".npz" else set_scheme(place)


def _open(dataset: str, data_dir: Path, source: Path | None = None) -> tuple[list[str], Callable[[str], Faces]]:
    """The names of the splits, and the function that reads one."""
    if source is not None:
        return open_published(dataset, source)
    place = _find(dataset, data_dir)
    return open_pack(place) if place.suffix == ".npz" else open_set(place, dataset.partition("/")[0])


def _find(dataset: str, data_dir: Path) -> Path:
    """The pack, which need not exist, or the folder of the set."""
    if dataset.endswith(".npz"):
        return Path(dataset)
    if not _SET.fullmatch(dataset) or ".." in dataset.split("/"):
        raise ValueError(f"{dataset!r} names no set: give NAME or NAME/VARIANT, or the path of a pack, FILE.npz")
    pack = named_pack(dataset, data_dir)
    return pack if pack.exists() and not find_sets(dataset, data_dir) else _find_set(dataset, data_dir)


def _how_to_prepare(name: str, data_dir: Path) -> str:
    """What to do where the set `name` is not there; a name that is nearly that of a format is taken for a slip."""
    formats = [module.name for module in pkgutil.iter_modules(sources.__path__)]
    near = difflib.get_close_matches(name, formats, n=1)
    if name in formats:
        return f"Prepare it first: jaxlm prepare {name} --data-dir {data_dir}; --help lists what else it needs"
    if not near:
        return "Prepare it first (jaxlm prepare --help lists the formats), or name a pack, FILE.npz"
    return f"Did you mean {near[0]}?"


def _find_set(dataset: str, data_dir: Path) -> Path:
    name = dataset.partition("/")[0]
    folders = find_sets(dataset, data_dir)
    if not folders:
        there = ", ".join(str(path.relative_to(data_dir).parent) for path in all_sets(data_dir))
        raise FileNotFoundError(
            f"{dataset} is not prepared in {data_dir} (there: {there or 'nothing'}). {_how_to_prepare(name, data_dir)}"
        )
    if len(folders) > 1:
        variants = ", ".join(f"{name}/{folder.parent.name}" for folder in folders)
        raise ValueError(f"{dataset} is prepared in several variants; name one of {variants}")
    return folders[0]
