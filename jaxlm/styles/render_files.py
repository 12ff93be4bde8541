"""The files of a folder of renders: pictures are drawn where they are missing, and shown on a contact sheet."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tqdm

from jaxlm.data_pipelines.input import Faces
from jaxlm.data_pipelines.renders import Render
from jaxlm.drawing import pictures
from jaxlm.landmarks.photo_decoding import is_truncated
from jaxlm.landmarks.photos import read_photo
from jaxlm.styles import translation
from jaxlm.styles.translation import Translator

BATCH = 64
"""How many rows of the manifest are drawn at a time. Draws from the prior depend on it."""

_SHEET_FACES = 8


def draw_missing(
    folder: pathlib.Path,
    rows: Sequence[Render],
    draw: Callable[[int], np.ndarray],
    process_index: int = 0,
    process_count: int = 1,
) -> int:
    """Draws this process's pictures that are missing or damaged, and returns how many those were.

    A picture takes its name only when it is whole, so a run can be killed at any time. The next run may have another
    number of processes.

    Args:
      folder: Folder of the renders.
      rows: All rows of the manifest.
      draw: Draws 64 rows, uint8 [64, S, S, 3], from the given one on.
      process_index: Number of this process; process p has every `process_count`-th batch of 64 rows from the p-th on.
      process_count: Number of processes.
    """
    batches = [range(start, min(start + BATCH, len(rows))) for start in range(0, len(rows), BATCH)]
    batches = batches[process_index::process_count]
    missing = [[i for i in batch if not _is_whole(folder / rows[i].file)] for batch in batches]
    total, absent = sum(map(len, batches)), sum(map(len, missing))
    with tqdm.tqdm(total=total, initial=total - absent, unit=" faces", disable=process_index > 0) as bar:
        for batch, wanted in zip(batches, missing, strict=True):
            drawn = draw(batch.start) if wanted else ()
            for i in wanted:
                unfinished = folder / f"incomplete-{rows[i].file}"
                pictures.save_image(unfinished, drawn[i - batch.start])
                unfinished.replace(folder / rows[i].file)
            bar.update(len(wanted))
    return absent


def _is_whole(file: pathlib.Path) -> bool:
    """Whether a PNG file is there to its end."""
    data = file.read_bytes() if file.exists() else b""
    return bool(data) and not is_truncated(data)


def contact_sheet(folder: pathlib.Path, rows: Sequence[Render], faces: Faces, translator: Translator) -> np.ndarray:
    """Up to 8 faces, evenly spaced, with their landmarks, each beside its renders; RGB uint8 [H, W, 3]."""
    styles = len(rows) // len(faces)
    shown = np.linspace(0, len(faces) - 1, min(len(faces), _SHEET_FACES)).astype(int)
    crops, points = translation.crops_of(faces, shown, translator)
    tiles, marks = [], []
    for face, crop, face_points in zip(shown, translation.to_uint8(crops), np.asarray(points), strict=True):
        files = [folder / row.file for row in rows[face * styles : (face + 1) * styles]]
        tiles += [crop, *(read_photo(file) for file in files)]
        marks += [face_points, *[np.full_like(face_points, np.nan)] * styles]
    return pictures.contact_sheet(tiles, marks, faces.scheme, columns=1 + styles, side=128)
