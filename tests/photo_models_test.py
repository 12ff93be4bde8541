"""Models that look at the photo itself, as the released ones of DPR do: judged by archives, and by prepared frames.

The model puts the mean face into the box, so that all its errors are known.
"""

import dataclasses
import json
import pathlib

import cv2
import numpy as np
import pytest

from jaxlm import calibrate, evaluate, relabel, sensitivity
from jaxlm.checkpoints import LANDMARKS, load_bundle, save_bundle
from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.input import join, open_faces, open_splits, write_pack
from jaxlm.evaluation import inference
from jaxlm.evaluation.photo_predictor import PhotoPredictor, boxes_of, moved_box, predictor_of, tight_boxes
from jaxlm.landmarks import IBUG68, WFLW98, geometry
from jaxlm.prediction import Landmarker, detectors
from jaxlm.prediction.detectors import FaceDetector
from tiny_archives import LISTS, wflw_line, write_photo, write_wflw
from tiny_faces import synthetic_faces
from tiny_regressor import mean_face_gsr, mean_face_through, use_tiny_regressors
from tolerances import assert_float32_close, float32_error

# Rectangles that are not square, in photos of 90 x 70 pixels, and by how much the eyes' distance the points are off.
RECTS = [(30, 20, 60, 60), (10, 8, 50, 46), (25, 5, 64, 54)]
ERRORS = [0.03, 0.05, 0.12]
FLAGS = [(1, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0), (1, 0, 0, 0, 0, 1)]


@pytest.fixture
def weights(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A file of the model; results go to the same folder."""
    use_tiny_regressors(monkeypatch)
    monkeypatch.chdir(tmp_path)
    save_bundle(tmp_path / "gsr.npz", mean_face_gsr("wflw98"))
    return tmp_path / "gsr.npz"


def truth(rect: tuple[int, int, int, int], error: float) -> np.ndarray:
    """What the model finds in a rectangle, moved to the right by a share of the distance of the outer eye corners."""
    points = mean_face_through(rect, "wflw98")
    return points + np.array([error * np.linalg.norm(points[60] - points[72]), 0])


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> pathlib.Path:
    """An archive in the official layout, of three test faces."""
    source = write_wflw(tmp_path / "WFLW", num_train=1, num_test=1)
    faces = zip(RECTS, ERRORS, FLAGS, strict=True)
    lines = [wflw_line("0--Parade/photo_0.jpg", truth(rect, error), rect, flags) for rect, error, flags in faces]
    (source / LISTS / "list_98pt_rect_attr_test.txt").write_text("\n".join(lines) + "\n")
    return source


def results(folder: str) -> tuple[dict, np.ndarray]:
    """The rows by subset, with the protocol beside them, and the NME of each face."""
    document = json.loads(pathlib.Path(folder, "metrics.json").read_text())
    with np.load(pathlib.Path(folder, "predictions.npz")) as archive:
        return {row["subset"]: row for row in document["rows"]} | {"protocol": document["protocol"]}, archive["nme"]


def test_an_archive_is_judged_by_its_photos_through_its_rectangles(
    weights: pathlib.Path, archive: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    evaluate.main(["--weights", str(weights), "--dataset", "wflw", "--source", str(archive)])
    rows, nme = results("runs/gsr/evaluation/wflw-test")
    # The coordinates of the archive have six decimals, of distances of 15 pixels and more.
    np.testing.assert_allclose(nme, ERRORS, rtol=0, atol=1e-6 + float32_error(60, 90 / 15))
    assert [rows[name]["faces"] for name in ("full", "pose", "expression", "blur")] == [3, 2, 1, 1]
    assert rows["full"]["nme"] == pytest.approx(20 / 3, abs=1e-3)
    assert rows["pose"]["nme"] == pytest.approx(7.5, abs=1e-3)
    assert [*rows["full"]["failure_rate"].values()] == pytest.approx([100 / 3], abs=1e-3)
    # (0.07 + 0.05 + 0) / 0.1, a third of it.
    assert [*rows["full"]["auc"].values()] == pytest.approx([0.4], abs=1e-4)
    assert rows["protocol"]["box"] == "the annotated face rectangle, as it is"
    assert rows["protocol"]["seen"] == "the photos themselves"


def test_points_of_an_archive_are_those_of_predict(weights: pathlib.Path, archive: pathlib.Path):
    faces = open_faces("wflw", "test", "", archive)
    photo, _ = faces.read_photo(1)
    (face,) = Landmarker(load_bundle(weights)).predict(photo, RECTS[1])
    predicted = PhotoPredictor(load_bundle(weights))(load_bundle(weights).variables, faces).points[1]
    assert_float32_close(geometry.transform(predicted, faces.to_source[1]), face.points, depth=60, scale=256)
    assert_float32_close(face.points, mean_face_through(RECTS[1], "wflw98"), depth=60, scale=256)


def test_prepared_frames_stand_for_photos_and_keep_the_rectangles(weights: pathlib.Path, archive: pathlib.Path):
    prepare.main(["wflw", "--source", str(archive), "--pack", "wflw.npz"])
    evaluate.main(["--weights", str(weights), "--dataset", "wflw.npz"])
    rows, nme = results("runs/gsr/evaluation/wflw-test")
    np.testing.assert_allclose(nme, ERRORS, rtol=0, atol=1e-6 + float32_error(80, 256 / 15))
    assert rows["protocol"]["box"] == "the annotated face rectangle, as it is"
    assert "frames of 256 px in place of photos" in rows["protocol"]["seen"]


def test_where_no_rectangle_is_stored_the_box_is_made_from_the_points(weights: pathlib.Path, archive: pathlib.Path):
    """As in sets of earlier versions, and as other sets have other conventions."""
    faces = open_faces("wflw", "test", "", archive)
    trained = dataclasses.replace(load_bundle(weights), boxes={LANDMARKS: (2.0, 1.0, 0.5, 0.0)})
    for one in (dataclasses.replace(faces, boxes=faces.boxes * np.nan), dataclasses.replace(faces, dataset="other")):
        tight = tight_boxes(one)
        width = tight[:, 2] - tight[:, 0]
        # Twice as wide about a centre that is half a width further to the right.
        expected = tight + np.stack([0 * width, 0 * width, width, 0 * width], axis=1)
        assert_float32_close(boxes_of(trained, one), expected, depth=8)
    np.testing.assert_array_equal(boxes_of(trained, faces), faces.boxes)
    assert load_bundle(weights).boxes == {}
    np.testing.assert_array_equal(boxes_of(load_bundle(weights), one), tight.astype(np.float32))


def test_the_faces_of_an_archive_are_those_that_are_prepared(archive: pathlib.Path, tmp_path: pathlib.Path):
    prepare.main(["wflw", "--source", str(archive), "--pack", str(tmp_path / "wflw.npz")])
    for split, stored in open_splits(str(tmp_path / "wflw.npz"), "").items():
        found = open_faces("wflw", split, "", archive)
        for field in ("points", "to_source", "attributes", "visible", "yaw", "boxes"):
            np.testing.assert_array_equal(getattr(found, field), getattr(stored, field))
        for field in ("names", "groups", "scheme", "frame_size", "margin", "box", "dataset", "split"):
            assert getattr(found, field) == getattr(stored, field)
        indices = np.arange(len(stored))
        assert found.read_encoded(indices) == stored.read_encoded(indices)
        assert stored.read_photo is None


def test_photos_stay_with_their_faces(archive: pathlib.Path):
    photo = archive / "WFLW_images" / "0--Parade" / "photo_0.jpg"
    write_photo(photo, seed=7)
    test, train = (open_faces("wflw", split, "", archive) for split in ("test", "train"))
    both = join([train, test.take(np.array([2, 0]))])
    assert len(both) == 3
    for index, rect in ((1, RECTS[2]), (2, RECTS[0])):
        image, box = both.read_photo(index)
        np.testing.assert_array_equal(image, cv2.imread(str(photo), cv2.IMREAD_COLOR_RGB))
        np.testing.assert_array_equal(box, rect)
    assert join([both, synthetic_faces(2, "test", 256)]).read_photo is None


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("faces.npz", "--dataset faces.npz names no format of one"),
        ("points_table", "points_table wants more than a folder; prepare it first, jaxlm prepare points_table --help"),
        ("synthetic", "synthetic wants more than a folder"),
        ("ibug300w", "holds none of the folders"),
    ],
)
def test_what_is_no_archive_is_told(
    weights: pathlib.Path, archive: pathlib.Path, dataset: str, message: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        evaluate.main(["--weights", str(weights), "--dataset", dataset, "--source", str(archive)])
    assert message in capsys.readouterr().err


def test_the_flip_test_averages_with_the_mirrored_photo(weights: pathlib.Path, archive: pathlib.Path):
    """Of a mean face that is not quite its own mirror image."""
    trained, faces = load_bundle(weights), open_faces("wflw", "test", "", archive)
    found = predictor_of(trained, faces, WFLW98.flip)(trained.variables, faces).points
    for rect, in_frame, to_photo in zip(RECTS, found, faces.to_source, strict=True):
        points = geometry.transform(in_frame, to_photo)
        mean = mean_face_through(rect, "wflw98")
        mirrored_rect = (89 - rect[2], rect[1], 89 - rect[0], rect[3])
        mirrored = mean_face_through(mirrored_rect, "wflw98")[list(WFLW98.flip)] * [-1, 1] + [89, 0]
        assert_float32_close(points, (mean + mirrored) / 2, depth=80, scale=256)
        assert np.abs(mean - mirrored).max() > 0.1


def test_relabelled_faces_have_the_points_that_the_model_finds(weights: pathlib.Path, archive: pathlib.Path):
    write_pack("pack.npz", {"train": open_faces("wflw", "test", "", archive)})
    relabel.main(["--weights", str(weights), "--dataset", "pack.npz", "--out", "new.npz"])
    old, new = (open_faces(file, "train", "") for file in ("pack.npz", "new.npz"))
    for box, points in zip(old.boxes, new.points, strict=True):
        assert_float32_close(points, mean_face_through(tuple(box), "wflw98"), depth=60, scale=256)


def test_a_box_error_is_measured_in_its_longer_side():
    box = np.float64([10, 20, 50, 100])
    np.testing.assert_allclose(moved_box(box, inference.BoxError((0.1, -0.2))), [18, 4, 58, 84], rtol=1e-12)
    np.testing.assert_allclose(moved_box(box, inference.BoxError(scale=0.5)), [20, 40, 40, 80], rtol=1e-12)


def test_the_cost_of_wrong_boxes_is_measured(weights: pathlib.Path, archive: pathlib.Path):
    """A shift of the box moves all points, which were right on average of all four directions but for the mean face."""
    write_pack("pack.npz", {"test": open_faces("wflw", "test", "", archive)})
    sensitivity.main(["--weights", str(weights), "--dataset", "pack.npz", "--out", "box"])
    document = json.loads(pathlib.Path("box/sensitivity.json").read_text())
    assert document["protocol"]["box"] == "the annotated face rectangle, as it is"
    (curves,) = document["runs"].values()
    faces = open_faces("pack.npz", "test", "")
    shifted = []
    for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        for box, points in zip(faces.boxes.astype(np.float64), faces.points.astype(np.float64), strict=True):
            found = mean_face_through(tuple(moved_box(box, inference.BoxError((0.3 * x, 0.3 * y)))), "wflw98")
            distance = np.linalg.norm(points[60] - points[72])
            shifted.append(np.linalg.norm(found - points, axis=-1).mean() / distance)
    assert curves["shift"]["nme"][-1] == pytest.approx(np.mean(shifted), abs=float32_error(80, 256 / 15))
    assert curves["shift"]["black"] == [0.0] * 7


def test_boxes_are_calibrated_to_those_of_the_points_in_any_scheme(
    weights: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    faces = synthetic_faces(12, "train").in_scheme(IBUG68)
    write_pack("pack.npz", {"train": faces})
    middle = FaceDetector("mine", lambda photo: np.float64([[16, 16, 47, 47]]))
    monkeypatch.setattr(detectors, "build", lambda name: middle)
    options = ["--detector", "mine", "--split", "train", "--out", "new.npz"]
    calibrate.main(["--weights", str(weights), "--dataset", "pack.npz", *options])
    said = capsys.readouterr().out
    assert "mine, 12 of 12 faces of synthetic, train (box: as the model learnt boxes)" in said
    assert "not measured, since the model gives none" in said
    calibrated = load_bundle(pathlib.Path("new.npz"))
    assert calibrated.boxes[LANDMARKS] == (1.0, 1.0, 0.0, 0.0)
    low, high = faces.points.min(1), faces.points.max(1)
    expected = [*np.median((high - low) / 31, axis=0), *np.median(((low + high) / 2 - 31.5) / 31, axis=0)]
    assert_float32_close(calibrated.boxes["mine"], expected, depth=12)
    assert calibrated.least_confidence == 0
    assert calibrated.scheme == WFLW98
