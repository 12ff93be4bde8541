"""A model's error under conditions: turned faces, closed eyes, open mouths, and pictures that were made worse.

Errors are divided by the size of the face box, sqrt(width * height) of the true points, since eye distances vanish in
profile. Contour points stand apart: labels of 3-D sets follow the jaw of the hidden side, those of photos the edge
that is seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import jax
import numpy as np

from jaxlm.checkpoints import Trained
from jaxlm.data_pipelines.faces import Faces, subset_masks
from jaxlm.data_pipelines.record import decode_image
from jaxlm.evaluation import inference
from jaxlm.evaluation.photo_predictor import predictor_of
from jaxlm.landmarks import IBUG68, Scheme, conversion
from jaxlm.runtime import progress

FAILURE = 0.1
"""A face has failed where its NME, by the box, is more."""

_NORMALISER = "box"
CLOSED = 0.08
"""An eye is closed where its lids lie closer than this, in lengths from corner to corner."""
_OPEN = 0.6  # A mouth is open where its height over its width is more.
_EYES = ("left_eye", "right_eye")

# Changes a frame uint8 [F, F, 3] whose face box has sides of so many pixels, with draws of its own.
Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

# Finds the points [n, N, 2] of faces in their frames, in the scheme of the faces; calls the second as it goes on.
Find = Callable[[Faces, inference.Advance], np.ndarray]


@dataclasses.dataclass(frozen=True)
class ConditionRow:
    """One line of the table: NMEs and the share of failures in per cent.

    `contour` and `inner` are the means over the points of the contour and over the others; None without such points.
    """

    condition: str
    faces: int
    nme: float
    contour: float | None
    inner: float | None
    failures: float


def shrink(frame: np.ndarray, side: float, rng: np.random.Generator, *, pixels: int) -> np.ndarray:
    """The frame as an enlargement of one in which the face has `pixels` pixels."""
    del rng
    size = max(1, round(frame.shape[0] * pixels / side))
    small = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, frame.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def blur(frame: np.ndarray, side: float, rng: np.random.Generator, *, share: float) -> np.ndarray:
    """Blurred by a Gaussian whose deviation is a `share` of the face's side."""
    del rng
    return cv2.GaussianBlur(frame, (0, 0), share * side)


def compress(frame: np.ndarray, side: float, rng: np.random.Generator, *, quality: int) -> np.ndarray:
    """Stored and read as JPEG of that quality."""
    del side, rng
    stored = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return decode_image(stored.tobytes())


def darken(frame: np.ndarray, side: float, rng: np.random.Generator, *, light: float, noise: float) -> np.ndarray:
    """A `light` part of the brightness, and a sensor's `noise`, a deviation in grey levels of 255."""
    del side
    return np.clip(np.rint(light * frame + rng.normal(0, noise, frame.shape)), 0, 255).astype(np.uint8)


def cover(frame: np.ndarray, side: float, rng: np.random.Generator, *, share: float) -> np.ndarray:
    """A grey square over a `share` of the face box's area, anywhere within the box, which is in the frame's middle."""
    size = side * share**0.5
    left, top = (frame.shape[0] - side) / 2 + rng.uniform(0, side - size, 2)
    covered = frame.copy()
    covered[round(top) : round(top + size), round(left) : round(left + size)] = 128
    return covered


CHANGES: dict[str, Change] = {
    **{f"{pixels} px across": partial(shrink, pixels=pixels) for pixels in (64, 48, 32, 24)},
    "blurred": partial(blur, share=0.04),
    "JPEG quality 10": partial(compress, quality=10),
    "dark": partial(darken, light=0.1, noise=3.0),
    "a quarter covered": partial(cover, share=0.25),
}
ROLLS = (30, 45, 60, 90)
"""Degrees by which frames are turned."""


def changed(faces: Faces, change: Change) -> Faces:
    """The same faces in frames that are changed, by draws that belong to a face and not to the order of reading."""

    def read(indices: np.ndarray) -> list[bytes]:
        frames = zip(indices, faces.images(indices), strict=True)
        side = faces.frame_size / faces.margin
        return [_png(change(frame, side, np.random.default_rng(int(index)))) for index, frame in frames]

    return dataclasses.replace(faces, read_encoded=read, read_photo=None)  # Where there are photos, frames stand in.


def rolled(faces: Faces, degrees: float) -> Faces:
    """The same faces turned clockwise about the middle of their frames; corners that come in are black."""
    centre = (faces.frame_size - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), -degrees, 1.0)
    size = (faces.frame_size, faces.frame_size)
    turned = changed(faces, lambda frame, *_: cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR))
    points = faces.points @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
    return dataclasses.replace(turned, points=points)


def shape_masks(faces: Faces) -> dict[str, np.ndarray]:
    """Masks bool [n] of the faces with closed eyes and with an open mouth, by their points; none without such parts.

    Of a turned face the nearer eye counts, whose corners lie farther apart.
    """
    parts = faces.scheme.parts
    if not {*_EYES} <= parts.keys():
        return {}
    eyes = [faces.points[:, list(parts[part])] for part in _EYES]
    across = eyes[1].mean(1) - eyes[0].mean(1)
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    masks = {}
    with contextlib.suppress(ValueError):  # Of schemes that cannot be read as 68 points nobody knows the lids.
        points = faces.points[:, conversion(faces.scheme, IBUG68)]
        (left, left_gap), (right, right_gap) = (lids_of(points[:, list(IBUG68.parts[eye])]) for eye in _EYES)
        masks["eyes closed"] = np.where(left > right, left_gap, right_gap) < CLOSED
    if "mouth" in parts:
        masks["mouth open"] = height_over_width(faces.points[:, list(parts["mouth"])], across) > _OPEN
    return masks


def lids_of(eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Length [n] of eyes [n, 6, 2] from corner to corner, and the distance [n] of their lids in this length.

    The points go around from one corner, number 0; number 3 is the other. NaN of NaN.
    """
    length = np.linalg.norm(eye[:, 3] - eye[:, 0], axis=-1)
    gap = np.linalg.norm(eye[:, 1:3].mean(1) - eye[:, 4:].mean(1), axis=-1)
    return length, gap / np.maximum(length, 1e-6)


def height_over_width(points: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Height over width [n] of points [n, P, 2], with the unit vectors `across` [n, 2] along the width; NaN of NaN."""
    down = np.stack([-across[:, 1], across[:, 0]], axis=-1)
    width, height = (np.ptp(np.einsum("npi,ni->np", points, axis), axis=1) for axis in (across, down))
    return height / np.maximum(width, 1e-6)


def measure_model(trained: Trained, faces: Faces, predicted: np.ndarray) -> list[ConditionRow]:
    """The table of a model on some faces in its scheme; `predicted` [n, N, 2] are its points, in frame pixels."""
    predictor = predictor_of(trained, faces)
    return measure(lambda made, advance: predictor(trained.variables, made, advance).points, faces, predicted)


def measure(find: Find, faces: Faces, predicted: np.ndarray) -> list[ConditionRow]:
    """The table of what `find` finds in faces; `predicted` [n, N, 2] are its points for the faces as they are.

    First all faces and parts of them as they are, then all in frames that are changed or turned. Frames and boxes stay
    as they were, so what is measured is the network, not a face detector.
    """
    scheme = faces.scheme
    errors = inference.point_errors(predicted, faces, scheme, _NORMALISER)
    masks = {"as they are": np.ones(len(faces), bool), **subset_masks(faces), **shape_masks(faces)}
    rows = [row_of(name, errors[mask], scheme) for name, mask in masks.items() if mask.any()]
    others = {name: changed(faces, change) for name, change in CHANGES.items()}
    others |= {f"turned by {degrees}": rolled(faces, degrees) for degrees in ROLLS}
    with progress.counting(len(faces) * len(others), "conditions", silent=jax.process_index() > 0) as advance:
        for name, made in others.items():
            rows.append(row_of(name, inference.point_errors(find(made, advance), made, scheme, _NORMALISER), scheme))
    return rows


def row_of(condition: str, errors: np.ndarray, scheme: Scheme) -> ConditionRow:
    """A row from the errors of each point [n, N], fractions; NaN for points without a place."""
    nme = np.nanmean(errors, axis=1)
    contour = np.isin(np.arange(scheme.num_points), scheme.parts.get("contour", ()))

    def mean_of(points: np.ndarray) -> float | None:
        return 100 * float(np.nanmean(np.nanmean(errors[:, points], axis=1))) if points.any() else None

    return ConditionRow(
        condition=condition,
        faces=len(errors),
        nme=100 * float(np.nanmean(nme)),
        contour=mean_of(contour),
        inner=mean_of(~contour),
        failures=100 * float(np.mean(nme > FAILURE)),
    )


def print_conditions(rows: Sequence[ConditionRow]) -> None:
    """Prints the rows as aligned columns."""
    print("NME by the size of the face box (sqrt of width x height of the true points), in %")
    head = f"{'condition':20s}{'faces':>7s}{'NME %':>9s}{'contour':>9s}{'inner':>9s}{f'FR@{100 * FAILURE:g} %':>9s}"
    print(head)
    for row in rows:
        parts = "".join(f"{'':>9s}" if value is None else f"{value:9.3f}" for value in (row.contour, row.inner))
        print(f"{row.condition:20s}{row.faces:7d}{row.nme:9.3f}{parts}{row.failures:9.2f}")
    print()


def _png(frame: np.ndarray) -> bytes:
    return cv2.imencode(".png", frame[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
