"""An overview of a prepared set: a table of counts and a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jaxlm.data_pipelines.faces import YAW_BINS, Faces, subset_masks
from jaxlm.data_pipelines.prepared import SPLIT_UNIONS
from jaxlm.data_pipelines.record import ATTRIBUTES
from jaxlm.data_pipelines.selection import join
from jaxlm.drawing import pictures

SHEET_FACES = 24


def contact_sheet(faces: Faces) -> np.ndarray:
    """A picture of up to 24 frames, evenly spaced over the faces, with their landmarks drawn; RGB uint8 [H, W, 3]."""
    chosen = np.linspace(0, len(faces) - 1, min(len(faces), SHEET_FACES)).astype(int)
    return pictures.contact_sheet(faces.images(chosen), faces.points[chosen], faces.scheme)


def count_table(splits: Mapping[str, Faces]) -> str:
    """The number of faces in each split and, where there are attributes or yaws, in each subset."""
    counted = dict(splits)
    for name, union in SPLIT_UNIONS.items():
        if all(split in splits for split in union.split("+")):
            counted[name] = join([splits[split] for split in union.split("+")])
    everything = subset_masks(join(list(splits.values())))
    groups = [group for group in (ATTRIBUTES, YAW_BINS) if any(everything[name].any() for name in group)]
    columns = [name for group in groups for name in group]
    table = [("split", "faces", *columns)]
    for split, faces in counted.items():
        masks = subset_masks(faces)
        table.append((split, str(len(faces)), *(str(masks[name].sum()) for name in columns)))
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    lines = []
    for line in table:
        cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("  ".join([line[0].ljust(widths[0]), *cells]))
    return "\n".join(lines)
