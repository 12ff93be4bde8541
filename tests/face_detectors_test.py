"""Face detectors, and how boxes of one convention become those of another."""

import dataclasses
import pathlib
import sys
import types
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from jaxlm import calibrate
from jaxlm.checkpoints import LANDMARKS, load_bundle, save_bundle
from jaxlm.data_pipelines.input import open_faces
from jaxlm.evaluation import Predictions
from jaxlm.landmarks import photos
from jaxlm.landmarks.schemes import FIVE
from jaxlm.prediction import calibration, detectors
from jaxlm.prediction.detectors import FaceDetector, other_detectors
from tiny_landmarker import mean_face_model
from tolerances import assert_float32_close, assert_float64_close

ASTRONAUT = pathlib.Path(__file__).parent / "data" / "astronaut.png"
BOXES = np.float32([[10, 20, 29, 49], [0, 0, 10, 10], [-30, 5, 7, 60]])


def fake_dlib(monkeypatch: pytest.MonkeyPatch, find: Callable[[np.ndarray, int], list[tuple]]) -> None:
    """Installs a module dlib whose detector returns left, top, right and bottom."""

    def find_rectangles(photo: np.ndarray, upsample: int) -> list:
        names = ("left", "top", "right", "bottom")
        found = [dict(zip(names, box, strict=True)) for box in find(photo, upsample)]
        return [types.SimpleNamespace(**{name: (lambda v=v: v) for name, v in box.items()}) for box in found]

    module = types.ModuleType("dlib")
    module.get_frontal_face_detector = lambda: find_rectangles
    monkeypatch.setitem(sys.modules, "dlib", module)


def test_photos_without_a_face_are_looked_at_again_at_twice_their_size(monkeypatch: pytest.MonkeyPatch):
    looks = []

    def find(photo: np.ndarray, upsample: int) -> list[tuple]:
        looks.append(upsample)
        return [(5, 6, 25, 26)] if upsample or photo[0, 0, 0] else []

    fake_dlib(monkeypatch, find)
    detector = detectors.build("dlib")
    assert detector.name == "dlib"
    for value, expected in ((0, [0, 1]), (9, [0])):
        looks.clear()
        found = detector(np.full((40, 40, 3), value, np.uint8))
        np.testing.assert_array_equal(found, np.float32([[5, 6, 25, 26, 0]]))
        assert looks == expected


def test_large_photos_are_looked_at_reduced(monkeypatch: pytest.MonkeyPatch):
    sizes = []

    def find(photo: np.ndarray, upsample: int) -> list[tuple]:
        sizes.append((photo.shape[:2], upsample))
        return [(100, 50, 200, 150)]

    fake_dlib(monkeypatch, find)
    monkeypatch.setattr(other_detectors, "_MAX_PIXELS", 200 * 300)
    found = detectors.build("dlib")(np.zeros((400, 600, 3), np.uint8))
    np.testing.assert_array_equal(found, [[200, 100, 400, 300, 0]])
    assert sizes == [((200, 300), 0)]


def test_the_detector_of_dlib_finds_the_astronaut():
    pytest.importorskip("dlib")
    found = detectors.build("dlib")(photos.read_photo(ASTRONAUT))
    # Releases of dlib round its pyramid of sizes in their own ways.
    np.testing.assert_allclose(found, [[179, 83, 266, 170, 0]], rtol=0, atol=6)


def test_yunet_gives_first_and_last_pixels(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path):
    class Network:
        def setInputSize(self, size: tuple[int, int]) -> None:
            self.size = size

        def detect(self, image: np.ndarray) -> tuple[int, np.ndarray | None]:
            assert (image.shape[1], image.shape[0]) == self.size
            return 1, np.float32([[10, 20, 30, 40, *range(10), 0.9]]) if image[0, 0, 0] == 9 else None

    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *arguments: Network())
    (tmp_path / "yunet.onnx").touch()
    detector = detectors.build(f"yunet:{tmp_path}/yunet.onnx")
    blue = np.zeros((70, 90, 3), np.uint8)
    blue[:, :, 2] = 9
    np.testing.assert_array_equal(detector(blue), np.float32([[10, 20, 39, 59, 0]]))
    assert detector(blue * 0).shape == (0, 5)


def test_the_whole_photo_is_a_box():
    np.testing.assert_array_equal(detectors.build("whole")(np.zeros((30, 50, 3), np.uint8)), [[0, 0, 49, 29, 0]])


def test_boxes_that_are_empty_or_outside_are_left_out():
    boxes = [[5, 5, 9, 9], [-20, 5, -1, 9], [60, 5, 70, 9], [5, 5, 5, 9], [-5, -5, 3, 3]]
    detector = FaceDetector("any", lambda photo: np.float64(boxes))
    np.testing.assert_array_equal(
        detector(np.zeros((30, 50, 3), np.uint8)), np.float32([[*boxes[0], 0], [*boxes[4], 0]])
    )


def test_detectors_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path):
    for name in ("haar", "yunet", "dlib:file"):
        with pytest.raises(
            ValueError, match=f"no face detector '{name}'; known: blazeface, dlib, yunet:MODEL.onnx or whole"
        ):
            detectors.build(name)
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: there is no such model"):
        detectors.build("yunet:none.onnx")
    (tmp_path / "bad.onnx").write_text("no model")
    with pytest.raises(ValueError, match=r"bad\.onnx is no model of YuNet"):
        detectors.build(f"yunet:{tmp_path}/bad.onnx")
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(ValueError, match=r'dlib is not installed: pip install "jaxlm\[detect\]"'):
        detectors.build("dlib")


def test_calibration_scales_about_the_centre_and_shifts_by_sides():
    """Sides 20 and 30 become 40 and 15, and the centre moves by 10 and -3."""
    calibrated = detectors.calibrate_boxes(np.float32([[10, 20, 30, 50]]), (2.0, 0.5, 0.5, -0.1))
    assert_float32_close(calibrated, [[10, 24.5, 50, 39.5, 0]], depth=6)
    np.testing.assert_array_equal(detectors.calibrate_boxes(BOXES, None)[:, :4], BOXES)


def test_a_turned_box_moves_along_its_own_sides():
    """Turned by a quarter clockwise, the right of a face is below: the centre (20, 35) moves by (3, 10)."""
    calibrated = detectors.calibrate_boxes(np.float32([[10, 20, 30, 50, 90]]), (2.0, 0.5, 0.5, -0.1))
    assert_float32_close(calibrated, [[3, 37.5, 43, 52.5, 90]], depth=8)


def test_a_measured_calibration_is_the_one_that_was_applied():
    wanted = detectors.calibrate_boxes(BOXES, (1.2, 0.9, 0.05, -0.2))
    # Places are up to 60 pixels, sides 10 and more.
    assert_float32_close(detectors.fit_calibration(BOXES, wanted), (1.2, 0.9, 0.05, -0.2), depth=12, scale=60 / 10)


def test_a_wrong_pair_does_not_matter():
    found = np.concatenate([BOXES, [[100, 100, 101, 300]]])
    wanted = np.concatenate([detectors.calibrate_boxes(BOXES, (1.2, 0.9, 0.05, -0.2)), [[0, 0, 9, 9, 0]]])
    assert_float32_close(detectors.fit_calibration(found, wanted)[:2], (1.2, 0.9), depth=12, scale=60 / 10)


def test_overlap_is_intersection_over_union():
    boxes = np.float64([[0, 0, 4, 4], [2, 0, 6, 4], [8, 8, 9, 9], [4, 0, 5, 4]])
    assert_float64_close(detectors.overlap(boxes[0], boxes), [1, 8 / 24, 0, 0], depth=4)


@pytest.fixture
def shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """`detectors.build` gives a detector that needs (2, 1, 0.25, 0) in frames of 64 pixels, and a wrong box."""
    found = detectors.calibrate_boxes(np.float32([[16, 16, 47, 47]]), (0.5, 1.0, -0.125, 0.0))
    boxes = np.concatenate([np.float32([[0, 0, 9, 9, 0]]), found])
    monkeypatch.setattr(detectors, "build", lambda name: FaceDetector(name, lambda photo: boxes))


@pytest.mark.usefixtures("shifted")
def test_the_command_measures_on_validation_faces_and_writes_a_copy(
    pack: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    trained = mean_face_model("wflw98", dataset=str(pack))
    trained = dataclasses.replace(trained, card={"licence": "none"}, boxes={"other": (1, 1, 0, 0)})
    save_bundle(tmp_path / "old.npz", trained)
    options = ["--weights", str(tmp_path / "old.npz"), "--out", str(tmp_path / "new.npz")]
    calibrate.main([*options, "--dataset", str(pack), "--detector", "mine", "--split", "train"])
    told = capsys.readouterr().out
    assert "mine, 60 of 60 faces" in told
    assert "confidence: the model gives none" in told
    new = load_bundle(tmp_path / "new.npz")
    assert new.card == {"licence": "none"}
    assert new.boxes.keys() == {"mine", "other", LANDMARKS}
    assert_float32_close(new.boxes["mine"], (2, 1, 0.25, 0), depth=12, scale=64 / 16)
    points = open_faces(str(pack), "train", "").points
    tight = np.ptp(points, axis=1)
    # Faces are 20 pixels and more of the frame's 64.
    assert_float32_close(new.boxes[LANDMARKS][:2], np.median(31 / tight, axis=0), depth=12, scale=2 * 64 / 20)


def test_the_least_confidence_is_a_share_of_that_of_the_least_sure_face():
    assert calibration.least_confidence_of(np.float32([[0.9, 0.7], [0.5, 0.7], [1.0, 1.0]]), 0.75) == 0.45
    assert calibration.least_confidence_of(None, 0.5) == 0.0


@pytest.mark.parametrize(
    ("dataset", "split", "learnt"),
    [(None, "train", True), ("a/own.npz", "train[:9]", True), ("other.npz", "train", False), (None, "test", False)],
)
def test_faces_that_the_model_learnt_from_say_nothing_of_its_confidence(dataset: str | None, split: str, learnt: bool):
    """They are told by the names of the split and of the set."""
    data = types.SimpleNamespace(dataset="b/own.npz+second")
    trained: Any = types.SimpleNamespace(config=types.SimpleNamespace(data=data))
    assert calibration._has_learnt_from(trained, dataset, split) == learnt


class Frames(types.SimpleNamespace):
    """Faces as far as errors need them."""

    def __len__(self) -> int:
        return len(self.points)


@pytest.mark.parametrize("count", [9, 10])
def test_confidences_get_a_meaning_by_ten_faces_or_more(count: int):
    generator = np.random.default_rng(0)
    points = generator.uniform(0, 64, (count, 5, 2)).astype(np.float32)
    predicted = Predictions(points + generator.normal(0, 4, points.shape), generator.uniform(0.5, 1, (count, 5)))
    faces: Any = Frames(points=points, frame_size=64, margin=2.0)
    judged: Any = types.SimpleNamespace(predicted=predicted, faces=faces)
    trained: Any = types.SimpleNamespace(scheme=FIVE)
    found = calibration.confidence_map(judged, trained)
    assert (found is not None) == (count == 10)


def test_a_detector_that_finds_no_face_is_not_measured(pack: pathlib.Path):
    faces = open_faces(str(pack), "test", "")
    blind = FaceDetector("blind", lambda photo: np.empty((0, 4)))
    with pytest.raises(ValueError, match="blind finds 0 of the faces; 10 are needed"):
        calibration.measure_detector(faces, blind, faces.boxes)
