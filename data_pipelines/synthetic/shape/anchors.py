"""Points of a synthetic head that are no landmarks: each keeps its distance from a landmark."""

from __future__ import annotations

import itertools

import numpy as np

# The outline of the ear on the image's right, from the face contour's point 30.
_EAR = np.array(
    [
        (-0.012, -0.092, -0.03), (0.008, -0.157, -0.06), (0.043, -0.192, -0.12), (0.073, -0.177, -0.19),
        (0.073, -0.102, -0.22), (0.053, -0.012, -0.19), (0.028, 0.063, -0.13), (0.010, 0.123, -0.08),
        (-0.004, 0.113, -0.04), (-0.012, 0.028, -0.03),
    ]
)  # fmt: skip
# By name: the landmark of each point, and the offset of the point from it, in head units.
_GROUPS = {
    # Where the nostrils' rims rise behind the wings.
    "rims": (
        [55, 55, 59, 59],
        [(-0.010, -0.036, 0.012), (0.022, -0.062, 0.020), (0.010, -0.036, 0.012), (-0.022, -0.062, 0.020)],
    ),
    # Where the nose ends below its tip, and where it begins between the brows.
    "under nose": ([54, 54], [(0, 0.028, -0.012), (0, 0.05, -0.05)]),
    "above nose": ([51], [(0, -0.12, 0.03)]),
    "left ear": ([2] * len(_EAR), _EAR * (-1, 1, 1)),
    "right ear": ([30] * len(_EAR), _EAR),
    # Where the neck leaves the head.
    "neck": ([51], [(0, 0.368, -0.55)]),
    # Glasses: the ends of the left and the right arm, and the bridge.
    "arms": ([2, 30], [(-0.01, -0.13, -0.02), (0.01, -0.13, -0.02)]),
    "bridge": ([51], [(0, -0.02, 0.045)]),
}
# For all points: the landmark [n], and the offset from it [n, 3].
LANDMARKS = np.concatenate([landmarks for landmarks, _ in _GROUPS.values()])
OFFSETS = np.concatenate([offsets for _, offsets in _GROUPS.values()]).astype(np.float32)
_ENDS = list(itertools.accumulate((len(landmarks) for landmarks, _ in _GROUPS.values()), initial=98))
# By name: the rows in a list of the 98 landmarks and then all of these points.
ROWS = {name: slice(*ends) for name, ends in zip(_GROUPS, itertools.pairwise(_ENDS), strict=True)}
