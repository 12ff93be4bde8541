"""A camera of this machine, read through OpenCV as a video without an end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction

import cv2

from jaxlm.landmarks import photos
from jaxlm.prediction.videos.reading import Frame

_USUAL_RATE = 30


class Camera:
    """An open camera; to be closed.

    Attributes:
      name: What it is called, as `camera 0`.
      shape: The shape of every frame [H, W, 3].
      rate: Frames a second in the mean, as the camera says, or a usual rate.
      time_base: Times are multiples of so many seconds.
      start: 0; times count from the first frame.
      aspect: Width of a pixel / its height.
      count: 0, since there is no end.
      sound: None; a camera has none.
      problem: Why no more frames came; "" while they come.
    """

    time_base, start, aspect, count, sound = Fraction(1, 1000), Fraction(0), Fraction(1), 0, None

    def __init__(self, number: int = 0) -> None:
        """Opens the camera of that number; raises PhotoError where there is none, or it gives no picture."""
        self.name, self.problem = f"camera {number}", ""
        self._stopped = False
        if number < 0:  # OpenCV ends the process at some of them.
            raise photos.PhotoError(f"there is no {self.name}; 0 is the first")
        self._capture = cv2.VideoCapture(number)
        good, first = self._capture.read()
        if not good:
            self._capture.release()
            raise photos.PhotoError(f"{self.name} gives no picture; is it plugged in, and used by no other program?")
        self.shape = first.shape
        said = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = Fraction(round(said)) if 1 <= said <= 1000 else Fraction(_USUAL_RATE)

    def close(self) -> None:
        self._capture.release()

    def stop(self, *_: object) -> None:
        """Ends the frames before the next one; also for what handles signals."""
        self._stopped = True

    def frames(self) -> Iterator[Frame]:
        """The frames from now on, RGB, at the times when they were read."""
        began = time.monotonic()
        while not self._stopped:
            good, image = self._capture.read()
            if not good:
                self.problem = f"{self.name} gives no more pictures"
                return
            yield Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), time.monotonic() - began)
