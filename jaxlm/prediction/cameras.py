"""Predicts landmarks for a camera: shown while it runs, and recorded."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import signal
import threading
from collections.abc import Iterator

from jaxlm.files import check_place
from jaxlm.prediction.files import Done, Results, settings_of
from jaxlm.prediction.landmarker import Landmarker
from jaxlm.prediction.videos.camera import Camera
from jaxlm.prediction.videos.live_page import LivePage
from jaxlm.prediction.videos.predicting import VideoPrediction
from jaxlm.runtime.progress import say


def predict_camera(number: int, landmarker: Landmarker, out: pathlib.Path, coco: bool = False) -> list[str]:
    """Follows the faces before a camera until Ctrl-C or SIGTERM, or until it gives no more pictures.

    A page on this machine shows them. The folder `out` gets `camera_NUMBER_TIME_landmarks.mp4` and, as for videos, an
    entry for each frame.

    Returns:
      A line for each thing that was wrong.

    Raises:
      PhotoError: There is no such camera.
      OSError: The folder cannot be written, or the disk is full.
    """
    problems: list[str] = []

    def tell(problem: str) -> None:
        problems.append(problem)
        say(f"error: {problem}", error=True)

    with contextlib.ExitStack() as closing:
        camera = closing.enter_context(contextlib.closing(Camera(number)))
        results = closing.enter_context(Results(out, settings_of(landmarker), landmarker.scheme, coco))
        name = f"camera_{number}_{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}"
        copy = out / f"{name}_landmarks.mp4"
        check_place(out, copy)
        page = closing.enter_context(LivePage())
        closing.enter_context(_ended_by_signals(camera))
        say(f"{camera.name} is shown at {page.address} and recorded; Ctrl-C ends it")
        clip = VideoPrediction(camera, landmarker, None, copy, tell, name, page.show)
        with contextlib.closing(clip.entries()) as entries:
            for entry in entries:
                results.add(pathlib.Path(name), entry)
        say(clip.summary())
        if results.unfinished:
            results.finish(str(pathlib.Path(name).absolute()), Done(None, copy.name, not problems))
    return problems


@contextlib.contextmanager
def _ended_by_signals(camera: Camera) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the frames, so that the recording is whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, camera.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
