"""Landmarks of one video, or of a camera: an entry for each frame, and a copy with the smoothed points drawn."""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Callable, Generator, Sequence

import numpy as np

from jaxlm.drawing import pictures
from jaxlm.landmarks import photos
from jaxlm.prediction.landmarker import Landmarker
from jaxlm.prediction.tables.entries import Entry, FoundFace
from jaxlm.prediction.videos import tracking
from jaxlm.prediction.videos.camera import Camera
from jaxlm.prediction.videos.reading import Frame, Video
from jaxlm.prediction.videos.writing import Writer
from jaxlm.runtime import progress


class VideoPrediction:
    """What is found in a video, as it is read.

    Attributes:
      name: The video's path, or what else it is called.
      file: Its copy with the points drawn, which is there once all entries were taken.
      frames: How many frames were read.
      faces: How many faces were followed.
    """

    def __init__(
        self,
        video: pathlib.Path | Camera,
        landmarker: Landmarker,
        boxes: Sequence[np.ndarray] | None,
        out: pathlib.Path,
        tell_problem: Callable[[str], object],
        name: str | None = None,
        show: Callable[[np.ndarray], object] = lambda _: None,
    ) -> None:
        """Nothing is read before the entries are asked for.

        Args:
          video: The file, or an open camera, which is closed at the end.
          landmarker: Finds the points.
          boxes: The boxes of the faces in the first frame; None: the detector's.
          out: The copy, an .mp4.
          tell_problem: Is called with a line that names the video, for each thing that is wrong with it.
          name: What it is called; by default its path.
          show: Is called with each frame [H, W, 3] once its points are drawn.
        """
        self.name, self.file, self.frames = str(video) if name is None else name, out, 0
        self._video, self._show = video, show
        self._landmarker, self._boxes, self._tell_problem = landmarker, boxes, tell_problem
        # The points [N, 2] of each face by its number, frame by frame, as found and as smoothed.
        self._raw: dict[int, list[np.ndarray]] = {}
        self._smooth: dict[int, list[np.ndarray]] = {}
        # The boxes that were given for faces of which the model is not sure in the first frame, by their numbers.
        self._unsure: dict[int, np.ndarray] = {}

    @property
    def faces(self) -> int:
        return len(self._raw)

    def entries(self) -> Generator[Entry, None, None]:
        """The faces of each frame, once; a frame is drawn before its entry is given.

        Where the video ends early or is damaged, what could be read has its entries and its copy, and it is told.

        Raises:
          PhotoError: It cannot be read.
          OSError: The copy cannot be written.
        """
        with (
            contextlib.closing(self._opened()) as opened,
            Writer(self.file, opened) as writer,
            progress.counting(opened.count or None, pathlib.Path(self.name).name, unit="frames") as advance,
        ):
            boxes = self._fitting(opened)
            for frame, tracks in tracking.track(opened.frames(), self._landmarker, boxes):
                self._tell_unused(boxes or [], tracks)
                drawn = self._drawn(frame, tracks)
                self._show(drawn)
                writer.write(frame._replace(image=drawn))
                yield Entry(self.name, [_as_found(one) for one in tracks], self.frames, frame.time)
                self.frames += 1
                advance(1)
        if opened.problem:
            self._tell_problem(f"{self.name}: {opened.problem}")
        if writer.silent:
            self._tell_problem(f"{self.name}: its sound could not be copied: {writer.silent}")
        if not self.faces:
            self._tell_problem(f"{self.name}: no face is found in it")

    def summary(self) -> str:
        """What was found, in a line."""
        said = f"{self.name}: {_count(self.faces, 'face')}, {_count(self.frames, 'frame')}"
        before, after = (100 * tracking.motion([*points.values()]) for points in (self._raw, self._smooth))
        if not math.isnan(before):
            said += (
                f"; points move by {before:.2f} % of the face's size from frame to frame, smoothed {after:.2f} %, the"
                " faces' own motion included"
            )
        return f"{said} -> {self.file}"

    def _opened(self) -> Video | Camera:
        return Video(self._video) if isinstance(self._video, pathlib.Path) else self._video

    def _fitting(self, opened: Video | Camera) -> list[np.ndarray] | None:
        """The boxes that were given without those that do not fit the frames, which are told."""
        if self._boxes is None:
            return None
        fitting = []
        for box in self._boxes:
            try:
                photos.check_box(np.broadcast_to(np.uint8(0), opened.shape), box)
                fitting.append(box)
            except photos.PhotoError as error:
                self._tell_problem(f"{self.name}: {error}")
        return fitting

    def _tell_unused(self, boxes: Sequence[np.ndarray], tracks: Sequence[tracking.Track]) -> None:
        """Tells of given boxes whose face is not followed from the first frame, or no further than there."""
        if self.frames == 0:
            for box in boxes:
                if not any(np.array_equal(np.float32(box), np.float32(one.face.box)) for one in tracks):
                    self._tell_unused_box(
                        box, "most of its points are outside of the frame, or it is that of another box"
                    )
            self._unsure = {one.number: one.face.box for one in tracks if boxes and not self._landmarker.sees(one.face)}
        elif self.frames == 1:
            for number in self._unsure.keys() - {one.number for one in tracks}:
                self._tell_unused_box(self._unsure[number], "the model is not sure that there is one")

    def _tell_unused_box(self, box: np.ndarray, why: str) -> None:
        shown = ", ".join(f"{value:g}" for value in box)
        self._tell_problem(f"{self.name}: the face in box ({shown}) is not followed: {why}")

    def _drawn(self, frame: Frame, tracks: Sequence[tracking.Track]) -> np.ndarray:
        """The frame [H, W, 3] with the smoothed points; keeps the points for the summary."""
        image = frame.image
        for one in tracks:
            self._raw.setdefault(one.number, []).append(one.face.points)
            self._smooth.setdefault(one.number, []).append(one.state.points)
            image = pictures.draw_face(image, one.state.points, self._landmarker.scheme, unsure=one.face.unsure)
        return image


def _as_found(one: tracking.Track) -> FoundFace:
    face = one.face
    return FoundFace(face.box, one.state.points, face.confidence, face.roll, one.number, face.expected_error)


def _count(number: int, of: str) -> str:
    return f"{number} {of}{'s' * (number != 1)}"
