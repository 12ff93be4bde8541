"""The page of the weights that ship, in Chromium: a photo, a camera, no other server, offline. It needs npm once.

WEB_PICTURES names a folder for pictures of the page, to be looked at.
"""

import contextlib
import dataclasses
import functools
import http.server
import json
import os
import pathlib
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

import chromium
from jaxlm import Landmarker
from jaxlm.checkpoints import open_model, shipped
from jaxlm.landmarks import photos
from jaxlm.prediction import web
from jaxlm.prediction.face import Face
from jaxlm.prediction.videos import tracking
from jaxlm.prediction.videos.reading import Frame
from jaxlm.prediction.web import npm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.EXECUTABLE is None, reason="Chromium is not installed"),
]

ASTRONAUT = pathlib.Path(__file__).parent / "data" / "astronaut.png"
READY = "document.querySelector('[data-state=ready]')"
DONE = "/found/.test(document.getElementById('status').textContent)"
ELSEWHERE = "http://localhost:9/elsewhere"
# What the page's policy says where it asks another server.
REFUSED = f"""new Promise((resolve) => {{
  document.onsecuritypolicyviolation = (event) => resolve([event.effectiveDirective, event.blockedURI]);
  fetch("{ELSEWHERE}").catch(() => {{}});
}})"""
PICTURES = os.environ.get("WEB_PICTURES")
# The network of the page computes in float16, which moves points by up to 0.16 crop pixels; a level in some pixels of
# the crop moves them by less.
TOLERANCE = 0.3


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    try:
        npm.runtime_files()
    except OSError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("page") / "site"
    web.write_site(open_model(pathlib.Path(shipped.NAME)), folder)
    return folder


@contextlib.contextmanager
def served(folder: pathlib.Path) -> Iterator[str]:
    """The address of a server as that of `python -m http.server`."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def three_faces() -> np.ndarray:
    """Upright, mirrored and larger, and turned by 35 degrees and smaller."""
    photo = photos.read_photo(ASTRONAUT)[20:260, 100:340]
    turned = cv2.warpAffine(photo, cv2.getRotationMatrix2D((122, 111), -35, 0.9), (240, 240))
    canvas = np.full((600, 900, 3), 110, np.uint8)
    for left, top, side, face in ((40, 60, 200, photo), (320, 150, 330, photo[:, ::-1]), (660, 40, 220, turned)):
        canvas[top : top + side, left : left + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return canvas


def write_camera(file: pathlib.Path) -> np.ndarray:
    """A film of a face that rests, for Chromium's false camera; gives its frame."""
    frame = cv2.resize(photos.read_photo(ASTRONAUT)[:384], (640, 480), interpolation=cv2.INTER_LINEAR)
    planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
    film = b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n" + 2 * (b"FRAME\n" + planes.tobytes())
    file.write_bytes(film)
    return cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)


def downloaded(tab: chromium.Tab, folder: pathlib.Path, name: str) -> dict:
    """What the page gives to download, which is one photo or frame."""
    tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    tab.evaluate("document.getElementById('download').click()")
    file, end = folder / name, time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < end, list(folder.iterdir())
        time.sleep(0.05)
    (entry,) = json.loads(file.read_text())
    return entry


def assert_same(found: list[dict], expected: list[Face], tolerance: float) -> None:
    """Asserts that faces are the same to `tolerance` pixels of the crop, of 160 to a side of 1.2 boxes."""
    assert len(found) == len(expected)
    for face, ours in zip(found, expected, strict=True):
        pixel = 1.2 * np.ptp(ours.box[[0, 2]]) / 160
        assert np.linalg.norm(np.array(face["points"]) - ours.points, axis=-1).max() < tolerance * pixel
        assert np.abs(np.array(face["box"]) - ours.box).max() < 2 * pixel
        assert face["scheme"] == ours.scheme.name


def test_the_page_finds_the_faces_that_python_finds_and_asks_no_one_else(site: pathlib.Path, tmp_path: pathlib.Path):
    photo = three_faces()
    cv2.imwrite(str(tmp_path / "three.png"), photo[..., ::-1])
    expected = Landmarker.load(backend="jax").predict(photo)
    assert len(expected) == 3
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(contextlib.ExitStack())
        address = server.enter_context(served(site))
        tab = stack.enter_context(chromium.opened())
        tab.call("Page.navigate", url=address)
        tab.wait_for(READY)
        tab.choose_file("#file", tmp_path / "three.png")
        tab.wait_for(DONE)
        entry = downloaded(tab, tmp_path, "three_landmarks.json")
        assert entry["file"] == "three.png"
        assert_same(entry["faces"], expected, TOLERANCE)
        assert "research use" in tab.evaluate("document.getElementById('licence').textContent")
        assert " ms" in tab.evaluate("document.getElementById('face-figure').textContent")
        take_pictures(tab, "photo")

        tab.wait_for("navigator.serviceWorker.ready.then(({ active }) => active.state === 'activated')")
        others = [url for url in tab.requests if not url.startswith((address, "blob:", "data:", "about:"))]
        assert not others
        assert not tab.problems
        assert len({*tab.requests}) > 15
        assert tab.evaluate(REFUSED) == ["connect-src", ELSEWHERE]

        server.close()  # From now on it is offline.
        tab.call("Page.navigate", url=address)
        tab.wait_for(READY)
        tab.evaluate("document.getElementById('sample').click()")
        tab.wait_for(DONE)
        assert tab.evaluate("document.getElementById('faces-figure').textContent") == "1"


def test_the_page_follows_a_face_of_the_camera(site: pathlib.Path, tmp_path: pathlib.Path):
    frame = write_camera(tmp_path / "camera.y4m")
    frames = [Frame(frame, 0.1 * index) for index in range(6)]
    *_, (_, (track,)) = tracking.track(frames, Landmarker.load(backend="jax"))
    expected = dataclasses.replace(track.face, points=track.state.points)
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags.append(f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}")
    with served(site) as address, chromium.opened(*flags) as tab:
        tab.call("Page.navigate", url=address)
        tab.wait_for(READY)
        tab.evaluate("document.getElementById('camera').click()")
        # After the first search the face is followed, by boxes of its points.
        tab.wait_for("/second/.test(document.getElementById('rate-figure').textContent)")
        take_pictures(tab, "camera")
        entry = downloaded(tab, tmp_path, "camera_landmarks.json")
        assert entry["frame"] >= 1
        assert [face["track"] for face in entry["faces"]] == [0]
        assert_same(entry["faces"], [expected], 1.0)  # The browser converts colours in its own way.
        tab.evaluate("document.getElementById('camera').click()")
        assert tab.evaluate("document.getElementById('camera').textContent") == "Camera"
        assert not tab.problems


def take_pictures(tab: chromium.Tab, name: str) -> None:
    if PICTURES:
        tab.photograph(pathlib.Path(PICTURES, f"{name}_wide.png"), 1366, 850)
        tab.photograph(pathlib.Path(PICTURES, f"{name}_phone.png"), 390, 844, 2)
