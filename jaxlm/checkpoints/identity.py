"""What faces are, in a few checksums: stored with checkpoints and evaluations, and compared with those at hand."""

from __future__ import annotations

import hashlib

import numpy as np

from jaxlm.data_pipelines.input import Faces

# Frames are many; so many of them, evenly spread, tell other photos.
_FRAMES = 16


def identity_of(faces: Faces) -> dict[str, str]:
    """Names, points and frames of some faces as checksums, by what each is about."""
    spread = np.unique(np.linspace(0, len(faces) - 1, _FRAMES).round().astype(int)) if len(faces) else np.arange(0)
    return {
        "number of faces": str(len(faces)),
        "names of faces": _checksum("\n".join(faces.names).encode()),
        "points": _checksum(np.ascontiguousarray(faces.points, np.float32).tobytes(), faces.visible.tobytes()),
        "photos": _checksum(*faces.read_encoded(spread)) if len(spread) else "",
    }


def _checksum(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]
