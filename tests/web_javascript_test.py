"""The page's JavaScript beside the Python that it mirrors, run by Node.js; skipped where there is none."""

import base64
import json
import pathlib
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from jaxlm.checkpoints.confidence import ConfidenceMap, Line
from jaxlm.landmarks import geometry, photos
from jaxlm.landmarks.schemes import IBUG68
from jaxlm.prediction import detectors, doubts, web
from jaxlm.prediction.detectors import blazeface, search
from jaxlm.prediction.face import Face
from jaxlm.prediction.videos import tracking
from jaxlm.prediction.videos.reading import Frame
from tolerances import assert_float32_close, assert_float64_close

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

# What is asked, by name, of the page's modules; each answer is plain JSON.
ASK = """
import fs from "node:fs";
import * as blazeface from "./blazeface.js";
import { doubts } from "./confidence.js";
import * as geometry from "./geometry.js";
import * as pixels from "./pixels.js";
import * as search from "./search.js";
import { Tracker } from "./tracking.js";

const bytes = (data) => Buffer.from(data).toString("base64");
const picture = ({ width, height, rgba }) =>
  ({ width, height, data: new Uint8ClampedArray(Uint8Array.from(Buffer.from(rgba, "base64")).buffer) });
const asked = JSON.parse(fs.readFileSync(0)), photo = picture(asked.photo);

const network = async (planes) => ({ logits: asked.logits, values: Float32Array.from(asked.values), planes });

class Scripted {
  constructor({ truth, found, calibration, scheme }) {
    Object.assign(this, { truth, found, settings: { scheme, boxes: { landmarks: calibration } }, index: 0, boxes: [] });
  }
  async detect() { return this.found; }
  sees() { return true; }
  async predict(image, boxes) {
    this.boxes.push(...boxes);
    return boxes.map((box) => ({ box, points: this.truth[image.index][box[0] < 100 ? 0 : 1] }));
  }
}

async function follow(script) {
  const landmarker = new Scripted(script), tracker = new Tracker(landmarker), frames = [];
  for (const [index, time] of script.times.entries()) {
    const tracks = await tracker.next({ width: 300, height: 200, index }, time);
    frames.push(tracks.map(({ number, state }) => ({ number, points: state.points })));
  }
  return { frames, boxes: landmarker.boxes };
}

console.log(JSON.stringify({
  crops: asked.crops.map(([box, size, margin]) => {
    const { crop, toCrop } = pixels.cutCrop(photo, box, size, margin);
    return { rgb: bytes(pixels.rgb(crop)), toCrop };
  }),
  cuts: asked.cuts.map((square) => bytes(pixels.rgb(blazeface.cut(photo, ...square)))),
  turned: [0, 1, 2, 3].map((quarters) => bytes(pixels.rgb(pixels.turned(photo, quarters)))),
  tiles: asked.tiles.map((sizes) => search.tiles(...sizes)),
  merged: search.merge(asked.found),
  calibrated: asked.found.map(({ box }) => geometry.calibrateBox(box, asked.calibration)),
  decoded: await blazeface.findInSquares(network, photo, asked.squares),
  followed: await follow(asked.script),
  doubts: asked.doubts.map(([face, settings]) => doubts(face, settings)),
}));
"""

HEIGHT, WIDTH = 90, 130
CROPS = [
    ((20, 10, 90, 80, 0.0), 32, 1.2),
    ((30, 30, 41.4, 40.6, 0.0), 48, 1.25),
    ((-30, 40, 60, 130, 0.0), 32, 1.2),
    ((20, 10, 90, 80, 23.0), 32, 1.2),
    ((40, 20, 70, 49, -131.0), 64, 1.3),
]
CUTS = [(0, -20, 130), (0, 0, 128), (10, 20, 60), (-40, -50, 200), (20, 15, 31)]
TILES = [(130, 90, 130), (130, 90, 78), (130, 90, 52), (90, 130, 61), (3000, 2000, 1200)]
SQUARES = [(0, -20, 130), (10, 20, 60)]
CALIBRATION = (1.1, 0.9, 0.05, -0.2)


def draw_photo() -> np.ndarray:
    """Edges, slopes and noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    photo = np.stack([2 * x, 255 - 2 * y, 127 + 127 * np.sin(x * y / 300)], axis=-1) + rng.normal(
        0, 20, (HEIGHT, WIDTH, 3)
    )
    photo[30:60, 50:80] = 255
    return np.clip(photo, 0, 255).astype(np.uint8)


def find_some() -> blazeface.Found:
    """Faces found twice, apart, and one of them on its head."""
    boxes = [
        *([10, 10, 50, 52, 3], [12, 9, 53, 50, -4], [11, 12, 52, 50, 178], [100, 10, 140, 50, 179]),
        *([101, 11, 140, 51, -178], [100, 34, 140, 74, 2], [15, 15, 30, 30, 0]),
    ]
    return blazeface.Found(np.float64(boxes), np.float64([0.9, 0.8, 0.7, 0.95, 0.65, 0.85, 0.75]))


def write_script() -> dict[str, Any]:
    """Two faces for three seconds: one moves and turns, the other rests; times are uneven."""
    rng = np.random.default_rng(1)
    mean = (np.float64(IBUG68.mean_face) - 0.5) * 60
    times = np.cumsum(rng.uniform(0.02, 0.2, 30))
    truth = []
    for index in range(30):
        turned = geometry.transform(mean, geometry.rotation(2.0 * index, np.zeros(2)))
        places = np.float64([50 + 0.5 * index, 80]), np.float64([210, 90])
        truth.append([turned + places[0], mean + places[1] + rng.normal(0, 0.3, mean.shape)])
    found = [[20, 50, 80, 110, 0], [180, 60, 240, 120, 0]]
    return {"times": times, "truth": np.array(truth), "found": np.float64(found), "calibration": (1.1, 1.12, 0.0, 0.01)}


def ask(folder: pathlib.Path) -> dict[str, Any]:
    for file in (pathlib.Path(web.__file__).parent / "page").glob("*.js"):
        shutil.copy(file, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "ask.js").write_text(ASK)
    photo, found, script = draw_photo(), find_some(), write_script()
    alpha = np.full((HEIGHT, WIDTH, 1), 7, np.uint8)
    rgba = base64.b64encode(np.concatenate([photo, alpha], axis=-1).tobytes()).decode()
    logits, values = anchors_that_see()
    asked = {
        "photo": {"width": WIDTH, "height": HEIGHT, "rgba": rgba},
        "crops": CROPS,
        "cuts": CUTS,
        "tiles": TILES,
        "found": [{"box": box.tolist(), "score": score} for box, score in zip(*found, strict=True)],
        "calibration": CALIBRATION,
        "squares": [dict(zip(("left", "top", "side"), square, strict=True)) for square in SQUARES],
        "logits": logits.tolist(),
        "values": values.ravel().tolist(),
        "script": {
            **{name: np.asarray(value).tolist() for name, value in script.items()},
            "scheme": {"mean_face": IBUG68.mean_face},
        },
        "doubts": [[face_that_doubts(), settings] for settings in settings_of_doubts()],
    }
    ended = subprocess.run([NODE, "ask.js"], input=json.dumps(asked), cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return ask(tmp_path_factory.mktemp("node"))


def anchors_that_see() -> tuple[np.ndarray, np.ndarray]:
    """Logits [896] of which four are sure, and what the network says of the anchors [896, 16], in its pixels."""
    rng = np.random.default_rng(2)
    logits = np.full(896, -3.0, np.float32)
    logits[[5, 100, 511, 890]] = 2, 1, 0.5, 3
    values = rng.uniform(-20, 20, (896, 16)).astype(np.float32)
    values[:, 2:4] = rng.uniform(20, 60, (896, 2))
    return logits, values


LINES = [Line(-0.8 - 0.01 * point, -4.0 + 0.02 * point) for point in range(68)]


def face_that_doubts() -> dict[str, Any]:
    """A face whose points are surer the later they come, from none at all to all that there is."""
    points = np.float64(IBUG68.mean_face) * 200
    return {"points": points.tolist(), "confidence": np.linspace(0, 1, 68).tolist()}


def settings_of_doubts() -> list[dict[str, Any]]:
    """By the distance of the eyes, by the size of the face, and of a model whose confidences are raw scores."""
    scheme = {"eye_corners": IBUG68.eye_corners}
    lines = {"lines": [list(line) for line in LINES]}
    errors = [lines | {"normaliser": "inter_ocular"}, lines | {"normaliser": "box"}, None]
    return [{"scheme": scheme, "expected_error": error} for error in errors]


def image(text: str, height: int, width: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize("index", range(len(CROPS)))
def test_crops_are_cut_as_in_python(answers: dict[str, Any], index: int):
    """To one level: OpenCV rounds weights of bilinear samples to integers, and halves another way."""
    box, size, margin = CROPS[index]
    crop, to_crop = photos.cut_crop(draw_photo(), np.float64(box[:4]), size, margin, box[4])
    found = answers["crops"][index]
    assert np.abs(image(found["rgb"], size, size).astype(int) - crop).max() <= 1
    assert_float64_close(np.reshape(found["toCrop"], (2, 3)), to_crop, depth=20)


@pytest.mark.parametrize("index", range(len(CUTS)))
def test_the_detector_sees_what_it_sees_in_python(answers: dict[str, Any], index: int):
    """To one level, as above."""
    expected = blazeface.cut(draw_photo(), *CUTS[index])
    assert np.abs(image(answers["cuts"][index], 128, 128).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("quarters", range(4))
def test_photos_are_turned_as_in_python(answers: dict[str, Any], quarters: int):
    expected = np.rot90(draw_photo(), quarters)
    np.testing.assert_array_equal(image(answers["turned"][quarters], *expected.shape[:2]), expected)


def test_tiles_are_those_of_python(answers: dict[str, Any]):
    for sizes, found in zip(TILES, answers["tiles"], strict=True):
        np.testing.assert_array_equal(
            [[tile["left"], tile["top"], tile["side"]] for tile in found], search.tiles(*sizes)
        )


def test_faces_are_merged_as_in_python(answers: dict[str, Any]):
    expected = search.merge(find_some())
    assert len(expected.boxes) < len(find_some().boxes)
    assert_float64_close([face["box"] for face in answers["merged"]], expected.boxes, depth=20)
    assert_float64_close([face["score"] for face in answers["merged"]], expected.scores, depth=1)


def test_boxes_are_calibrated_as_in_python(answers: dict[str, Any]):
    assert_float32_close(answers["calibrated"], detectors.calibrate_boxes(find_some().boxes, CALIBRATION), depth=1)


def test_what_the_anchors_see_is_read_as_in_python(answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    logits, values = anchors_that_see()

    class Seen:
        def setInput(self, planes: np.ndarray) -> None:
            pass

        def forward(self, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
            return logits, values

    monkeypatch.setattr("cv2.dnn.readNetFromONNX", lambda _: Seen())
    expected = blazeface.find_in_squares(blazeface.Network(), draw_photo(), np.array(SQUARES))
    assert_float64_close([face["box"] for face in answers["decoded"]], expected.boxes, depth=20)
    assert_float64_close([face["score"] for face in answers["decoded"]], expected.scores, depth=20)


class Scripted:
    """What knows where the faces are; see `ASK`."""

    def __init__(self, script: dict[str, Any]) -> None:
        self.calibrations = {"landmarks": script["calibration"]}
        self.script, self.boxes = script, []

    def detect(self, image: np.ndarray) -> np.ndarray:
        return self.script["found"]

    def predict(self, image: np.ndarray, boxes: np.ndarray) -> list[Face]:
        self.boxes.extend(np.asarray(boxes).tolist())
        truth = self.script["truth"][image[0, 0, 0]]
        return [Face(box[:4], truth[0 if box[0] < 100 else 1], None, IBUG68, box[4]) for box in boxes]

    def sees(self, face: Face) -> bool:
        return True


def test_faces_are_followed_and_smoothed_as_in_python(answers: dict[str, Any]):
    script = write_script()
    landmarker = Scripted(script)
    images = (np.full((200, 300, 3), index, np.uint8) for index in range(len(script["times"])))
    frames = [Frame(image, time) for image, time in zip(images, script["times"], strict=True)]
    followed = answers["followed"]
    for (_, tracks), found in zip(tracking.track(frames, landmarker), followed["frames"], strict=True):
        assert [one.number for one in tracks] == [face["number"] for face in found] == [0, 1]
        for one, face in zip(tracks, found, strict=True):
            assert_float64_close(face["points"], one.state.points, depth=100)
    # Boxes of Python are float32. The detector was asked at once and after a second, two faces each time.
    assert_float32_close(followed["boxes"], landmarker.boxes, depth=1)


@pytest.mark.parametrize("index", [0, 1])
def test_doubts_are_those_of_python(answers: dict[str, Any], index: int):
    ours, face = answers["doubts"][index], face_that_doubts()
    points, confidence = np.float64(face["points"]), np.float64(face["confidence"])
    meaning = ConfidenceMap(0.05, ("inter_ocular", "box")[index], tuple(LINES), tuple(LINES))
    errors = meaning.expected_error(confidence) * meaning.distance(points, IBUG68)
    assert_float32_close(ours["expected_error"], errors, depth=20)
    assert ours["unsure_points"] == np.flatnonzero(doubts.unsure_points(confidence)).tolist() == list(range(34))
    assert ours["unsure"] is doubts.is_unsure(confidence) is True


def test_raw_scores_say_nothing_of_doubts(answers: dict[str, Any]):
    assert answers["doubts"][2] == {}
