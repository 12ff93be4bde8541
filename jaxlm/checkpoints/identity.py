"""What faces and models are, in a few checksums: stored with checkpoints and evaluations, and compared later."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import numpy as np
from flax import traverse_util

from jaxlm.data_pipelines.input import Faces

if TYPE_CHECKING:
    from jaxlm.checkpoints.trained import Trained

TO_TRAIN_ON, HELD_OUT = "to train on", "held out"
"""What faces are to a run; see `identity_of`."""

# Frames are many; so many of them, evenly spread, tell other photos.
_FRAMES = 16


def identity_of(faces: Faces, role: str = "") -> dict[str, str]:
    """Names, points and frames of some faces as checksums, by what each is about, with `role` behind it."""
    spread = np.unique(np.linspace(0, len(faces) - 1, _FRAMES).round().astype(int)) if len(faces) else np.arange(0)
    checksums = {
        "number of faces": str(len(faces)),
        "names of faces": _checksum("\n".join(faces.names).encode()),
        "points": _checksum(np.ascontiguousarray(faces.points, np.float32).tobytes(), faces.visible.tobytes()),
        "photos": _checksum(*faces.read_encoded(spread)) if len(spread) else "",
    }
    return in_role(checksums, role)


def in_role(identity: Mapping[str, str], role: str) -> dict[str, str]:
    """The checksums of faces by what each is about and what the faces are to a run, such as `points held out`."""
    return {f"{about} {role}".rstrip(): checksum for about, checksum in identity.items()}


def changes(stored: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """What has changed between checksums; what was not stored has not."""
    return [about for about, checksum in found.items() if stored.get(about, checksum) != checksum]


def model_identity(trained: Trained) -> dict[str, str]:
    """Step, head and a checksum of the weights of a model."""
    arrays = traverse_util.flatten_dict(jax.device_get(dict(trained.variables)), sep="/")
    parts = [part for path in sorted(arrays) for part in (path.encode(), np.ascontiguousarray(arrays[path]).tobytes())]
    return {
        "step": str(trained.step),
        "head": trained.head.name if trained.head else "",
        "weights": _checksum(*parts),
    }


def _checksum(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]
