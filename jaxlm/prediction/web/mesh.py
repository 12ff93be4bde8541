"""The triangles between the points of a scheme."""

from __future__ import annotations

import cv2
import numpy as np

from jaxlm.landmarks import Scheme
from jaxlm.landmarks.scheme import Edges

# OpenCV drops points that lie as close as a small fraction of a pixel.
_SIDE = 1000.0


def mesh_of(scheme: Scheme) -> Edges:
    """The edges of the Delaunay triangulation of a scheme's mean face; none where it has no mean face.

    Points in one place count as the first of them.
    """
    if not scheme.mean_face:
        return ()
    face = np.asarray(scheme.mean_face, np.float32)
    face = (face - face.min(axis=0)) * (_SIDE / max(float(np.ptp(face, axis=0).max()), 1e-6)) + 1
    plane = cv2.Subdiv2D((0, 0, int(_SIDE) + 3, int(_SIDE) + 3))
    plane.insert(face.tolist())
    # Some edges lead to the corners of a triangle around all points, which are far away.
    ends = np.asarray(plane.getEdgeList(), np.float32).reshape(-1, 2, 2)
    distances = np.linalg.norm(ends[:, :, None] - face, axis=-1)
    inside = distances.min(axis=-1).max(axis=-1) < 0.5
    pairs = np.sort(distances[inside].argmin(axis=-1), axis=-1)
    return tuple(sorted({(int(start), int(end)) for start, end in pairs}))
