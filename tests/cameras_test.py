"""`predict --camera`: shown on a page, recorded with its points, and ended in order."""

import contextlib
import json
import os
import pathlib
import signal
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest

from jaxlm import Landmarker, predict
from jaxlm.prediction import detectors
from jaxlm.prediction.videos.live_page import LivePage
from jaxlm.prediction.videos.reading import Video
from tiny_landmarker import bright_spot, mean_face_model


class Capture:
    """A camera of OpenCV, whose bright spot moves; before frame number `at`, from 0, something happens."""

    act, at, count = staticmethod(lambda: None), -1, 6

    def __init__(self, number: int) -> None:
        self.frame = -1  # The first one is read to know its size.

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.frame == self.at:
            self.act()
        self.frame += 1
        return (True, bright_spot(60 + self.frame, 52)) if self.frame <= self.count else (False, None)

    def get(self, _: int) -> float:
        return 30.0

    def release(self) -> None:
        pass


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[Capture]:
    """A camera, whose every frame is one face."""
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    landmarker = Landmarker(mean_face_model(), detectors.WHOLE)
    monkeypatch.setattr(predict.Landmarker, "load", lambda *_, **__: landmarker)
    return Capture


def recorded(out: pathlib.Path) -> list[dict]:
    """The entries of the recording; its copy has as many frames."""
    entries = json.loads((out / "predictions.json").read_text())
    (copy,) = out.glob("camera_0_*_landmarks.mp4")
    assert {f"{entry['file']}_landmarks.mp4" for entry in entries} == {copy.name}
    with contextlib.closing(Video(copy)) as opened:
        assert len(list(opened.frames())) == len(entries)
    return entries


def test_a_camera_is_recorded_until_it_gives_no_more(
    tmp_path: pathlib.Path, capture: type[Capture], capsys: pytest.CaptureFixture[str]
):
    assert predict.main(["--camera", "--out", str(tmp_path)]) == 1
    entries = recorded(tmp_path)
    assert [entry["frame"] for entry in entries] == [*range(6)]
    assert all(len(entry["faces"]) == 1 for entry in entries)
    said = capsys.readouterr()
    assert "camera 0 is shown at http://127.0.0.1:" in said.out
    assert "camera 0 gives no more pictures" in said.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_recording_in_order(
    tmp_path: pathlib.Path, number: int, capture: type[Capture], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(capture, "act", staticmethod(lambda: os.kill(os.getpid(), number)))
    monkeypatch.setattr(capture, "at", 3)
    before = signal.getsignal(number)
    assert predict.main(["--camera", "0", "--out", str(tmp_path)]) == 0
    assert signal.getsignal(number) is before
    assert len(recorded(tmp_path)) == 4


def test_the_page_shows_what_comes():
    with LivePage() as page:
        shown = urllib.request.urlopen(page.address, timeout=30).read().decode()
        assert '<img src="pictures"' in shown
        images = [np.full((24, 32, 3), value, np.uint8) for value in (40, 200)]
        page.show(images[0])
        stream = urllib.request.urlopen(f"{page.address}pictures", timeout=30)
        for image in images:
            assert stream.readline() == b"--picture\r\n"
            assert stream.readline() == b"Content-Type: image/jpeg\r\n"
            length = int(stream.readline().partition(b": ")[2])
            assert stream.readline() == b"\r\n"
            decoded = cv2.imdecode(np.frombuffer(stream.read(length), np.uint8), cv2.IMREAD_COLOR)
            np.testing.assert_allclose(decoded, image, rtol=0, atol=2)  # JPEG rounds.
            assert stream.readline() == b"\r\n"
            page.show(images[1])
        # Only who knows the address sees it.
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(page.address.rsplit("/", 2)[0] + "/", timeout=30)
    stream.read()  # It has an end.
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(page.address, timeout=30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--camera", "--box", "1", "2", "3", "4"], "--box and --boxes are for files"),
        (["photo.jpg", "--camera"], "give photos, folders or videos, or --camera"),
        ([], "give photos, folders or videos, or --camera"),
        (["--camera", "7"], "camera 7 gives no picture; is it plugged in"),
        (["--camera", "-1"], "there is no camera -1; 0 is the first"),
    ],
)
def test_wrong_arguments_end_with_an_explanation(
    arguments: list[str], message: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        predict.main([*arguments, "--out", str(tmp_path / "out")])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
