"""The faces in the frames of a file or of a camera, as they are read."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxlm.landmarks import photos
from jaxlm.prediction.face import Face
from jaxlm.prediction.videos import tracking
from jaxlm.prediction.videos.camera import Camera
from jaxlm.prediction.videos.reading import Video


class VideoFrame(NamedTuple):
    """A frame of a video, RGB uint8 [H, W, 3], when it is shown, in seconds, and the faces in it."""

    image: np.ndarray
    time: float
    faces: list[Face]


def follow(
    source: str | os.PathLike[str] | int, landmarker: tracking.Locator, boxes: Sequence[ArrayLike] | None = None
) -> Iterator[VideoFrame]:
    """The frames, with smoothed points; see `Landmarker.predict_video`."""
    opened = Camera(source) if isinstance(source, int) else Video(pathlib.Path(source))
    given = None if boxes is None else [np.asarray(box) for box in boxes]
    with contextlib.closing(opened):
        for frame, tracks in tracking.track(opened.frames(), landmarker, given):
            faces = [dataclasses.replace(one.face, points=one.state.points, track=one.number) for one in tracks]
            yield VideoFrame(frame.image, frame.time, faces)
    if opened.problem:
        raise photos.PhotoError(f"{source}: {opened.problem}")
