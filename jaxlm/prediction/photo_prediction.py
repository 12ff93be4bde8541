"""Landmarks of one photo, with its picture: what several photos have done at once, so that all cores have work.

Reading, detecting, locating and drawing leave Python's lock to others for most of their time, so threads are enough.
"""

from __future__ import annotations

import collections
import concurrent.futures
import os
import pathlib
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from jaxlm.drawing import pictures
from jaxlm.evaluation import inference
from jaxlm.landmarks import photos
from jaxlm.prediction.face import Face
from jaxlm.prediction.landmarker import Landmarker
from jaxlm.prediction.tables.entries import Entry, FoundFace

_MOST_THREADS = 8  # Each may hold a photo of 100 megapixels and its picture.

Item = TypeVar("Item")
Result = TypeVar("Result")


class PhotoPrediction(NamedTuple):
    """What is found in a photo.

    Attributes:
      entry: Its faces.
      picture: The photo with their points drawn, which is reduced if it is huge, as the bytes of a JPEG file; None
        where that takes none of this size.
      problems: A line for each thing that is wrong.
      warnings: A line for each thing that is odd.
    """

    entry: Entry
    picture: bytes | None
    problems: list[str]
    warnings: list[str]


def predict_photo(
    path: pathlib.Path, landmarker: Landmarker, boxes: Sequence[np.ndarray] | None = None
) -> PhotoPrediction:
    """The faces of one photo, in given boxes or in those that the detector finds; several threads may call it.

    Raises:
      PhotoError: The photo cannot be read.
      ValueError: The points are no numbers.
    """
    problems: list[str] = []
    photo, factor = photos.read_reduced(path)
    shift = (factor - 1) / 2
    if boxes is None:
        faces = landmarker.predict(photo)
        if not faces:
            problems.append(f"{path}: {landmarker.detector.name} finds no face; give its box with --box or --boxes")
    else:
        found = []
        for box in boxes:
            try:
                photos.check_box(photo, (box - shift) / factor)
                found.append((box - shift) / factor)
            except photos.PhotoError as error:
                problems.append(f"{path}: {error}" + (f" once it is reduced by {factor}" if factor > 1 else ""))
        faces = landmarker.predict(photo, found)
    if not all(np.isfinite(face.points).all() for face in faces):
        raise ValueError("the model finds points that are no numbers; its weights are damaged, or do not fit it")
    rows = [_in_photo(face, factor) for face in faces]
    warnings = [f"{path}: {inference.DEGENERATE % (1, 1)}" for face in faces if face.degenerate]
    picture = None
    try:
        drawn = pictures.draw_faces(
            photo, [face.points for face in faces], landmarker.scheme, [face.unsure for face in faces]
        )
        picture = pictures.encode(".jpg", drawn)
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
    return PhotoPrediction(Entry(str(path), rows), picture, problems, warnings)


def _in_photo(face: Face, factor: int) -> FoundFace:
    """A face of a photo that was reduced by a factor, in pixels of the photo."""
    shift, error = (factor - 1) / 2, face.expected_error
    error = None if error is None else error * factor
    return FoundFace(
        face.box * factor + shift, face.points * factor + shift, face.confidence, face.roll, expected_error=error
    )


def ahead(
    items: Iterable[Item], job: Callable[[Item], Callable[[], Result] | None]
) -> Generator[tuple[Item, concurrent.futures.Future[Result] | None], None, None]:
    """The items in their order, with the results of their jobs, which threads begin a little earlier.

    Once it is closed, no further job begins, and those that have begun are waited for.

    Args:
      items: Any items, taken as they are needed.
      job: Gives what a thread does for an item; None where there is nothing to do.
    """
    threads = min(os.cpu_count() or 1, _MOST_THREADS)
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # Threads of threads would wait for each other.
    pool = concurrent.futures.ThreadPoolExecutor(threads, "photos")
    waiting: collections.deque[tuple[Item, concurrent.futures.Future[Result] | None]] = collections.deque()
    try:
        for item in items:
            work = job(item)
            waiting.append((item, pool.submit(work) if work else None))
            if len(waiting) > 2 * threads:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(before)
