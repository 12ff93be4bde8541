"""Whether a file gives our points: how far apart they are, and what smaller numbers than float32 cost in NME."""

from __future__ import annotations

import statistics
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlm.interop.parity_faces import ParityFaces
from jaxlm.interop.programs import Detect, ExportError
from jaxlm.landmarks import Scheme
from jaxlm.tasks import metrics

TOLERANCE = 1e-2
"""The largest distance in crop pixels between a point of a float32 file and ours."""

ALLOWED = 0.02
"""By how many percentage points the NME of a file of another precision may be above ours."""

_BATCH = 32
_REPEATS = 15


class Parity(NamedTuple):
    """Points of a file beside ours.

    Attributes:
      faces: The set the faces come from, in words.
      largest: The largest distance between two points in crop pixels; NaN where a point is none.
      normaliser: What errors are divided by, one of `metrics.NORMALISERS`.
      ours: The NME of our points in %; None where no face has labels.
      theirs: The NME of the file's points in %. Without labels that from our points, and so the most by which the NME
        of those faces can have changed, whatever their labels are.
    """

    faces: str
    largest: float
    normaliser: str
    ours: float | None
    theirs: float

    @property
    def cost(self) -> float:
        """By how many points NME rises, or without labels the most by which it can have risen."""
        return self.theirs - (self.ours or 0.0)

    def __str__(self) -> str:
        by = self.normaliser.replace("_", "-")
        if self.ours is None:
            return f"those faces have no labels; points are off by {self.theirs:.3f} % of the {by} distance on average"
        return f"NME {self.ours:.3f} % by {by} distance, and {self.theirs:.3f} % from the file"

    def to_table(self, precision: str) -> dict[str, Any]:
        """What the description of a program says of it, which JSON can hold."""
        table = {"faces": self.faces, "largest_difference_in_crop_pixels": self.largest}
        if precision != "float32":
            name = "mean_difference_percent" if self.ours is None else "nme_percent"
            table |= {name: self.theirs, "normaliser": self.normaliser}
            if self.ours is not None:
                table["nme_percent_in_float32"] = self.ours
        return table


def compare(ours: np.ndarray, theirs: np.ndarray, faces: ParityFaces, scheme: Scheme) -> Parity:
    """Points of a file beside ours, both [n, N, 2] in crop pixels.

    Errors are divided by the scheme's usual distance between labels, or between our points where there are none. Faces
    whose distance is 0 or unknown have no NME, and points without a place do not count.
    """
    normaliser = metrics.default_normaliser(scheme)
    largest = float(np.linalg.norm(theirs - ours, axis=-1).max())
    if faces.truth is not None:
        nme = [_nme(points, faces.truth, scheme, normaliser) for points in (ours, theirs)]
        if np.isfinite(nme[0]):
            return Parity(faces.description, largest, normaliser, *nme)
    return Parity(faces.description, largest, normaliser, None, _nme(theirs, ours, scheme, normaliser))


def _nme(points: np.ndarray, truth: np.ndarray, scheme: Scheme, normaliser: str) -> float:
    """The mean in % over the faces that have an NME; NaN where a point is none or no face has one."""
    distance = np.asarray(metrics.normaliser_distance(truth, scheme, normaliser))
    placed = np.isfinite(truth).all(-1)
    judged = (distance > 0) & placed.any(axis=1)
    if not judged.any():
        return float("nan")
    nme = metrics.face_nme(points[judged], truth[judged], distance[judged], placed[judged])
    return 100 * float(np.asarray(nme).mean(dtype=np.float64))


def check(parity: Parity, precision: str, accept: bool, out: str) -> None:
    """Raises ExportError where the file that was to become `out` must not be written: its points are too far off.

    Args:
      parity: Its points beside ours.
      precision: What it computes in or holds its weights in.
      accept: Whether any cost is accepted; not that points are none, or those of a float32 file are others than ours.
      out: Its name, for messages.
    """
    if not np.isfinite([parity.largest, parity.theirs]).all():
        raise ExportError(f"some are not numbers, so {out} is not written")
    if precision == "float32":
        if parity.largest > TOLERANCE:
            raise ExportError(f"that is more than {TOLERANCE:g} pixels, so {out} is not written")
    elif parity.cost > ALLOWED and not accept:
        if parity.ours is None:
            raise ExportError(
                f"no labels show that NME rises by {ALLOWED} points at most, so {out} is not written:"
                " name faces with labels by --faces SET, or give --accept"
            )
        raise ExportError(
            f"{precision} costs {parity.cost:.3f} points of NME, more than {ALLOWED}, so {out} is not written;"
            " --accept writes it all the same"
        )


def points_of(detect: Detect, crops: np.ndarray) -> np.ndarray:
    """The points float32 [n, N, 2] that a program finds, called with one crop, with many, and with what remains.

    Args:
      detect: Crops -> points, and perhaps more.
      crops: uint8 [n, S, S, 3].
    """
    parts = np.split(crops, range(1, len(crops), _BATCH - 1))
    return np.concatenate([np.asarray(detect(part)[0]) for part in parts])


def print_times(ours: Detect, theirs: Detect, runtime: str, crops: np.ndarray) -> None:
    """Prints what a face takes in JAX and in another runtime, alone and together with all others."""
    for count in (1, len(crops)):
        in_jax, elsewhere = (milliseconds(detect, crops[:count]) for detect in (ours, theirs))
        device = jax.default_backend().upper()
        print(f"batch {count}: {in_jax:.2f} ms a face in JAX ({device}), {elsewhere:.2f} in {runtime} (CPU)")


def milliseconds(detect: Detect, crops: np.ndarray) -> float:
    """Median time of a call divided by its number of faces, from crops on the host to points on the host."""
    jax.device_get(detect(crops))  # Compiles.
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.device_get(detect(crops))
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times) / len(crops)
