"""Folders of renders: faces that `jaxlm stylize` draws again in other styles.

A folder holds the pictures, `manifest.csv` with a row for each picture, and `renders.json` with what all have in
common. It holds no labels: a render has the labels of the face whose structure it shows, in that face's set.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import itertools
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.prepared import open_faces
from jaxlm.files import read_json, write_json, write_whole

FOLDER, MANIFEST, SETTINGS = "renders", "manifest.csv", "renders.json"

Kind = Literal["transfer", "self", "prior"]
FirstLatent = Literal["mean", "drawn"]

_LARGEST_CROP = 100.0
_FILE = re.compile(r"[^/\\\0]{1,200}")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that all renders of a folder have in common; with the photos, they determine the renders.

    Attributes:
      dataset: Set of the faces to draw, as `prepared.open_faces` takes it.
      split: Split of that set.
      data_dir: Folder of the prepared sets.
      crop: Side of a render in sides of the face box; both have one centre.
      run: Workdir of the translator.
      step: Step of the translator's checkpoint.
      weights: Fingerprint of the translator's weights.
      kind: Where styles come from: other photos (`transfer`), the face itself (`self`), or the prior (`prior`).
      styles: Number of renders of each face.
      style_photos: Folder or set of the photos that give styles; empty for the faces themselves.
      seed: Seed of the random styles.
      first_latent: What the second latent of a photo's style is given of the first one: its `mean`, or a draw for each
        render (`drawn`).
    """

    dataset: str
    split: str
    data_dir: str
    crop: float
    run: str
    step: int
    weights: int
    kind: Kind
    styles: int
    style_photos: str
    seed: int
    first_latent: FirstLatent = "mean"


class Render(NamedTuple):
    """A row of the manifest.

    Attributes:
      file: File of the picture, in the folder of the manifest.
      structure: Name of the face that is drawn; the render has its labels.
      style: Name of the photo that gives the style; empty for a style from the prior.
      kind, seed, run, step: See `Settings`.
    """

    file: str
    structure: str
    style: str
    kind: str
    seed: int
    run: str
    step: int


def open_photos(settings: Settings) -> Faces:
    """The faces that some renders show, in their set's own scheme.

    Raises:
      FileNotFoundError: The set is no longer there.
      ValueError: Two faces have one name, so a render does not say which of them it shows.
    """
    faces = open_faces(settings.dataset, settings.split, settings.data_dir)
    if len(set(faces.names)) < len(faces):
        twice = next(name for name, count in collections.Counter(faces.names).items() if count > 1)
        raise ValueError(f"{faces.dataset}, split {faces.split}: several faces are called {twice}; names must differ")
    return faces


def draw_styles(faces: int, sources: int, styles: int, seed: int, own: bool) -> np.ndarray:
    """Indices [faces, styles] of different random style photos for each face.

    Args:
      faces: Number of faces.
      sources: Number of style photos.
      styles: Number of style photos that each face gets.
      seed: Seed; the photos of a face depend on it, on the face's index, on `sources` and on `styles` alone.
      own: Whether the style photos are the faces themselves; then no face gets itself.

    Raises:
      ValueError: There are too few style photos.
    """
    others = sources - own
    if styles > others:
        raise ValueError(f"--styles {styles}: there are {others} photos that a face can take a style from")
    drawn = [np.random.default_rng((seed, face)).choice(others, styles, replace=False) for face in range(faces)]
    indices = np.asarray(drawn, np.int64).reshape(faces, styles)
    return indices + (indices >= np.arange(faces)[:, None]) if own else indices


def choose_styles(settings: Settings, faces: int, sources: int) -> np.ndarray | None:
    """The style photos [faces, styles] of all faces; None where styles are drawn from the prior."""
    if settings.kind == "prior":
        return None
    if settings.kind == "self":
        return np.arange(faces)[:, None]
    return draw_styles(faces, sources, settings.styles, settings.seed, own=not settings.style_photos)


def make_manifest(
    settings: Settings, structures: Sequence[str], styles: Sequence[str], chosen: np.ndarray | None
) -> list[Render]:
    """The manifest: a row for each face and style, face by face.

    Args:
      settings: What all renders have in common.
      structures: Names of the faces.
      styles: Names of the style photos.
      chosen: Index of the style photos of each face; see `choose_styles`.
    """

    def row(face: int, k: int) -> Render:
        style = "" if chosen is None else styles[chosen[face, k]]
        file = f"{face:06d}_{k}.png"
        return Render(file, structures[face], style, settings.kind, settings.seed, settings.run, settings.step)

    return [row(face, k) for face, k in itertools.product(range(len(structures)), range(settings.styles))]


def begin(folder: Path, settings: Settings, rows: Sequence[Render], overwrite: bool) -> None:
    """Writes the manifest, or checks that an existing one is the same.

    Args:
      folder: Folder of the renders; its parent is the folder of the set.
      settings: Settings that are asked for.
      rows: Manifest that is asked for.
      overwrite: Whether to delete a set of other renders.

    Raises:
      ValueError: The folder has another manifest, or its parent holds a set that has no renders.
    """
    if folder.parent.exists() and not folder.exists():
        raise ValueError(f"{folder.parent} is not a set of styled faces; give the new set another --name")
    if overwrite and folder.exists():
        shutil.rmtree(folder.parent)
    if (folder / MANIFEST).exists():
        stored, asked = (dataclasses.asdict(each) for each in (read_settings(folder), settings))
        # A folder of sets may move.
        different = [key for key in asked if asked[key] != stored[key] and key != "data_dir"]
        lines = [f"{key}: {stored[key]!r} there, {asked[key]!r} asked for" for key in different]
        if not lines and read_manifest(folder) != list(rows):
            lines = ["the faces to draw, or the photos that styles are from, have changed"]
        if lines:
            raise ValueError("\n  ".join([f"{folder} holds other renders; --overwrite starts anew:", *lines]))
    write_renders(folder, settings, rows)


def write_renders(folder: Path, settings: Settings, rows: Sequence[Render]) -> None:
    """Begins a folder of renders: writes `renders.json` and, last, `manifest.csv`, which makes it one."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SETTINGS, dataclasses.asdict(settings))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(Render._fields)
    writer.writerows(rows)
    write_whole(folder / MANIFEST, text.getvalue().encode(errors="surrogateescape"))


def read_settings(folder: Path) -> Settings:
    """The settings of a folder of renders.

    Raises:
      FileNotFoundError: The folder holds no renders.
      ValueError: The file is damaged.
    """
    path = folder / SETTINGS
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; --source is a folder that jaxlm stylize made")
    settings = read_json(path, Settings)
    if not 0 < settings.crop <= _LARGEST_CROP or settings.styles < 1 or settings.step < 0:
        raise ValueError(f"{path} is damaged: crop {settings.crop}, styles {settings.styles}, step {settings.step}")
    return settings


def read_manifest(folder: Path) -> list[Render]:
    """The rows of a manifest; see `read_settings` for errors."""
    path = folder / MANIFEST
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; --source is a folder that jaxlm stylize made")
    rows = []
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.reader(file)
        try:
            if tuple(next(reader, ())) != Render._fields:
                raise ValueError(f"the columns are {', '.join(Render._fields)}")
            rows += [_to_render(row) for row in reader]
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
    return rows


def _to_render(row: Sequence[str]) -> Render:
    """A row of a manifest; raises ValueError where it is none."""
    if len(row) != len(Render._fields):
        raise ValueError(f"{len(row)} values instead of {len(Render._fields)}")
    fields: dict[str, Any] = dict(zip(Render._fields, row, strict=True))
    if not _FILE.fullmatch(fields["file"]):
        raise ValueError(f"{fields['file'][:100]!r} is no picture beside the manifest")
    return Render(**fields | {"seed": int(fields["seed"]), "step": int(fields["step"])})
