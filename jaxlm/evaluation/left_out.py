"""What a table of errors leaves out: faces that cannot be judged, and points without a place."""

from __future__ import annotations

import numpy as np

from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import inference
from jaxlm.landmarks import Scheme

_NAMED = 10  # Faces that a line names.


def notes_on(faces: Faces, scheme: Scheme, normaliser: str) -> dict[str, str]:
    """The lines of a protocol about faces that cannot be judged and points that do not count, where there are any.

    Raises:
      ValueError: Not one face can be judged.
    """
    notes = {}
    bad = np.flatnonzero(np.isnan(inference.face_errors(faces.points, faces, scheme, normaliser)))
    if len(bad):
        names = ", ".join(faces.names[face] for face in bad[:_NAMED]) + (", ..." if len(bad) > _NAMED else "")
        notes["left out"] = f"{len(bad)} faces, {normaliser.replace('_', '-')} distance 0 or unknown: {names}"
        if len(bad) == len(faces):
            raise ValueError(f"{faces.dataset}, {faces.split}: left out are all {notes['left out']}")
    hidden = np.isnan(faces.points).any(-1)
    if hidden.any():
        count = f"{hidden.sum()} of {hidden.size} points, in {hidden.any(-1).sum()} faces"
        notes["hidden"] = f"{count}, have no place; errors are those of the {(~hidden).sum()} visible points"
    return notes
