"""The Python interface: whose pixels points are in, batches, threads, files and what it says of bad input."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxlm import Landmarker
from jaxlm.checkpoints import CheckpointError, bundle, shipped
from jaxlm.interop import backends
from jaxlm.landmarks import geometry, photos
from jaxlm.landmarks.schemes import FIVE, IBUG68
from jaxlm.prediction import landmarker
from tiny_landmarker import bright_spot, brightest, mean_face_bundle, mean_face_in
from tiny_regressor import mean_face_gsr, mean_face_through, use_tiny_regressors
from tolerances import assert_float32_close

BOX = np.float64([40, 30, 99, 89])
ASTRONAUT = pathlib.Path(__file__).parent / "data" / "astronaut.png"


@pytest.fixture(scope="module")
def spots() -> Landmarker:
    return brightest()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return mean_face_bundle(tmp_path_factory.mktemp("weights") / "mean.npz", finder=(2.0, 1.0, 0.5, 0.0))


def test_points_are_in_pixels_of_the_photo(spots: Landmarker):
    boxes = np.stack([BOX, BOX + np.float64([5, -7, 5, -7])])
    faces = spots.predict(bright_spot(71, 52), boxes)
    np.testing.assert_array_equal([face.box for face in faces], boxes)
    for face in faces:
        assert (face.points.dtype, face.confidence.shape, face.scheme) == (np.float32, (5,), FIVE)
        # Whole pixels of a crop of twice as many as the box has.
        np.testing.assert_allclose(face.points, np.broadcast_to([71.0, 52.0], (5, 2)), rtol=0, atol=0.3)


def test_grey_photos_and_single_boxes_are_fine(spots: Landmarker):
    (face,) = spots.predict(bright_spot(71, 52)[:, :, 0], [40, 30, 99, 89])
    np.testing.assert_allclose(face.points[0], [71.0, 52.0], rtol=0, atol=0.3)  # Whole pixels of the crop.
    assert spots.predict(bright_spot(71, 52), []) == []


def test_files_images_and_arrays_are_photos(spots: Landmarker, tmp_path: pathlib.Path):
    """All of a spot at (71, 52); the brighter one at (60, 40) is transparent, and so black."""
    photo = bright_spot(71, 52)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    layers = np.concatenate([photo // 2, np.full((120, 150, 1), 255, np.uint8)], axis=2)
    layers[40, 60] = (255, 255, 255, 0)
    stored = Image.fromarray(np.rot90(photo, -1))
    exif = Image.Exif()
    exif[0x0112] = 8  # Turned counter-clockwise once it is shown.
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=100, subsampling=0)
    turned = Image.open(tmp_path / "turned.jpg")
    grey = Image.fromarray(photo[:, :, 0])
    for image in (tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(photo), grey, layers, turned):
        (face,) = spots.predict(image, BOX)
        np.testing.assert_allclose(face.points[0], [71.0, 52.0], rtol=0, atol=0.3)  # Whole pixels of the crop.
    with pytest.raises(photos.PhotoError, match=r"none\.jpg is missing"):
        spots.predict("none.jpg")


def test_a_face_tells_its_points_by_name_and_as_json(weights: pathlib.Path):
    photo = np.zeros((120, 150, 3), np.uint8)
    (face,) = Landmarker.load(weights).predict(photo, [*BOX, 0.0])
    assert list(face.named) == list(IBUG68.names)
    np.testing.assert_array_equal(face.named["left_eye_0"], face.points[36])
    told = json.loads(json.dumps(face.to_dict()))
    assert (told["scheme"], told["names"][36], told["roll"], told["confidence"]) == ("ibug68", "left_eye_0", 0, None)
    assert_float32_close(told["points"], face.points, depth=1)
    assert repr([face]) == "[Face(68 points of ibug68, box (40, 30, 99, 89))]"
    drawn = face.draw(photo)
    assert drawn.shape == photo.shape
    assert (drawn != photo).any()
    nameless = dataclasses.replace(face, scheme=dataclasses.replace(IBUG68, name="mine", names=()))
    with pytest.raises(ValueError, match="points of the scheme mine have no names"):
        _ = nameless.named


def test_a_turned_box_shows_the_model_an_upright_face(weights: pathlib.Path):
    """The mean face turns with its box, about its centre."""
    photo, mean = np.zeros((120, 150, 3), np.uint8), mean_face_in(tuple(BOX))
    (face,) = Landmarker.load(weights).predict(photo, [*BOX, 30.0])
    assert face.roll == 30.0
    turn = geometry.rotation(30.0, (BOX[:2] + BOX[2:]) / 2)
    assert_float32_close(face.points, geometry.transform(mean, turn), depth=30, scale=150)
    assert "roll 30 degrees" in repr(face)


def test_faces_of_several_photos_come_back_by_photo(spots: Landmarker):
    images = [bright_spot(71, 52), bright_spot(5, 5), bright_spot(60, 40)]
    faces = spots.predict_many(images, [[BOX], [], [BOX, BOX + 2]])
    assert [len(found) for found in faces] == [1, 0, 2]
    np.testing.assert_allclose(faces[2][1].points[0], [60.0, 40.0], rtol=0, atol=0.3)  # Whole pixels of the crop.
    (found,) = spots.predict_many(images[:1])
    np.testing.assert_array_equal(found[0].box, BOX)


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_batches_of_any_size_equal_single_faces_and_jax_compiles_few(backend: str, monkeypatch: pytest.MonkeyPatch):
    if backend == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    spots = brightest(24, backend)
    predict, sizes = backends.Predictor.__call__, set()
    monkeypatch.setattr(
        backends.Predictor, "__call__", lambda self, crops: (sizes.add(len(crops)), predict(self, crops))[1]
    )
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (120, 150, 3), np.uint8)
    boxes = np.concatenate([corner := rng.uniform(0, 60, (70, 2)), corner + rng.uniform(20, 50, (70, 2))], axis=1)
    alone = [spots.predict(photo, box)[0] for box in boxes]
    for count in (2, 3, 5, 17, 70):
        faces = spots.predict(photo, boxes[:count])
        for face, expected in zip(faces, alone[:count], strict=True):
            assert_float32_close(face.points, expected.points, depth=20, scale=150)
            assert_float32_close(face.confidence, expected.confidence, depth=24 * 24)
    assert sizes == (set(landmarker.BATCH_SIZES) if backend == "jax" else {1, 2, 3, 5, 6, 17, 64})


def test_threads_get_what_one_gets(spots: Landmarker):
    rng = np.random.default_rng(1)
    images = [cv2.GaussianBlur(rng.integers(0, 256, (120, 150, 3), np.uint8), (0, 0), 2) for _ in range(24)]
    alone = [spots.predict(image)[0].points for image in images]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda image: spots.predict(image)[0].points, images))
    np.testing.assert_array_equal(together, alone)
    assert len(np.unique(alone, axis=0)) > 20


def test_a_fork_is_told_in_place_of_hanging(spots: Landmarker, monkeypatch: pytest.MonkeyPatch):
    """A real fork of a process with JAX's threads may hang the tests themselves."""
    spots.predict(bright_spot(71, 52))
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    with pytest.raises(RuntimeError, match=r'loaded before a fork.*multiprocessing.get_context\("spawn"\)'):
        spots.predict(bright_spot(71, 52))


def test_boxes_of_the_detector_are_calibrated():
    """Twice as wide, and half a width to the right."""
    spots = brightest(finder=(2.0, 1.0, 0.5, 0.0), other=(9.0, 9.0, 9.0, 9.0))
    np.testing.assert_array_equal(spots.detect(bright_spot(1, 1)), [[40.0, 30.0, 158.0, 89.0, 0.0]])
    np.testing.assert_array_equal(brightest().detect(bright_spot(1, 1)), [[*BOX, 0.0]])


def test_the_flip_test_averages_with_the_mirrored_crop(weights: pathlib.Path):
    """The model finds the mean face in any crop, so its mirror image, with sides exchanged, in the mirrored one."""
    photo, mean = np.zeros((120, 150, 3), np.uint8), mean_face_in(tuple(BOX))
    mirrored = [40 + 99, 0] + mean[list(IBUG68.flip)] * [-1, 1]
    (face,) = Landmarker.load(weights, flip_test=True).predict(photo, BOX)
    assert_float32_close(face.points, (mean + mirrored) / 2, depth=20, scale=150)
    assert np.abs(mirrored - mean).max() > 0.01


def test_what_the_detector_finds_is_no_face_where_the_model_is_unsure(spots: Landmarker):
    """A spot in the box, and a dark photo; boxes that are given are taken at their word."""
    bright, dark = bright_spot(60, 50), np.zeros((120, 150, 3), np.uint8)
    (sure,), (unsure,) = spots.predict_many([bright, dark])
    assert sure.confidence.mean() > unsure.confidence.mean() + 0.1
    strict = brightest()
    strict.least_confidence = float(sure.confidence.mean() + unsure.confidence.mean()) / 2
    assert [len(found) for found in strict.predict_many([bright, dark, bright])] == [1, 0, 1]
    assert strict.predict(dark) == []
    assert len(strict.predict(dark, BOX)) == 1


@pytest.mark.parametrize(
    ("image", "boxes", "message"),
    [
        (np.ones((9, 9, 3)), [0, 0, 5, 5], r"not float64 \[9, 9, 3\]; convert it: \(image \* 255\)\.round\(\)\.astype"),
        (np.full((9, 9), 9.0), [0, 0, 5, 5], r"not float64 \[9, 9\]; convert it: \(image\)\.round"),
        (np.zeros((3, 9, 9), np.uint8), [0, 0, 5, 5], r"channels last: image\.transpose\(1, 2, 0\)"),
        (np.zeros((9, 9, 5), np.uint8), [0, 0, 5, 5], r"not uint8 \[9, 9, 5\]"),
        (np.zeros((0, 9), np.uint8), [0, 0, 5, 5], r"not uint8 \[0, 9\]"),
        (np.zeros((9, 9), np.uint8), [0, 0, 5], r"boxes must be \[n, 4\] or \[4\], or .*, not \[3\]"),
        (np.zeros((9, 9), np.uint8), [20, 0, 29, 9], "outside of the photo, which is 9 x 9 pixels"),
        (np.zeros((9, 9), np.uint8), [5, 0, 5, 5], "is empty"),
        (np.zeros((9, 9), np.uint8), [0, 0, 8, 8, np.nan], "the roll of a box is a number of degrees, not nan"),
    ],
)
def test_bad_input_is_named(spots: Landmarker, image: np.ndarray, boxes: list, message: str):
    with pytest.raises(ValueError, match=message):
        spots.predict(image, boxes)


def test_eight_pixels_are_a_face_and_fewer_are_none(weights: pathlib.Path):
    landmarker = Landmarker.load(weights, detector="whole")
    (face,) = landmarker.predict(np.zeros((8, 8), np.uint8))
    assert_float32_close(face.points, mean_face_in((0, 0, 7, 7)), depth=20, scale=8)
    with pytest.raises(ValueError, match=r"box \(0, 0, 6, 6\) is smaller than 8 pixels$"):
        landmarker.predict(np.zeros((7, 7), np.uint8))
    with pytest.raises(ValueError, match=r"Multiply x by its width"):
        landmarker.predict(np.zeros((90, 90), np.uint8), [0.2, 0.2, 0.6, 0.7])


def test_a_file_is_a_landmarker(weights: pathlib.Path):
    loaded = Landmarker.load(weights, detector="whole")
    assert loaded.scheme == IBUG68
    assert loaded.calibrations == {"finder": (2.0, 1.0, 0.5, 0.0)}
    (face,) = loaded.predict(bright_spot(1, 1), BOX)
    assert_float32_close(face.points, mean_face_in(tuple(BOX)), depth=20, scale=150)
    assert face.confidence is None
    assert not face.degenerate


def test_the_model_that_comes_with_it_is_the_default(
    weights: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(shipped.MODELS, "shipped", shipped.Shipped(weights, bundle.sha256(weights)))
    assert Landmarker.load().scheme == IBUG68
    monkeypatch.chdir(tmp_path)
    pathlib.Path("shipped", "checkpoints").mkdir(parents=True)  # Whatever has its name in the working directory.
    assert Landmarker.load().scheme == IBUG68
    monkeypatch.setitem(shipped.MODELS, "shipped", shipped.Shipped(weights, "0" * 64))
    with pytest.raises(ValueError, match="its SHA-256 is"):
        Landmarker.load()
    monkeypatch.setitem(shipped.MODELS, "shipped", shipped.Shipped(pathlib.Path("weights_none.npz"), ""))
    with pytest.raises(FileNotFoundError, match=r"comes without weights_none\.npz; name weights or a workdir"):
        Landmarker.load()


def test_what_cannot_be_loaded_is_named(weights: pathlib.Path, tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match=r"mean\.npz has no head 'ytf68'; it holds one alone"):
        Landmarker.load(weights, head="ytf68")
    with pytest.raises(ValueError, match="no face detector 'haar'"):
        Landmarker.load(weights, detector="haar")
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        Landmarker.load(tmp_path / "none.npz")
    with pytest.raises(CheckpointError, match="no training run here"):
        Landmarker.load(tmp_path)


def test_released_models_of_dpr_see_the_photo_through_the_box_as_it_is(monkeypatch: pytest.MonkeyPatch):
    """Without a residual it is the mean face, as wide and high as the box; a degenerate map leaves the box."""
    use_tiny_regressors(monkeypatch)
    expected = mean_face_through((20, 30, 99, 69))
    trained = mean_face_gsr()
    (face,) = Landmarker(trained).predict(bright_spot(1, 1), [20, 30, 99, 69])
    assert_float32_close(face.points, expected, depth=40, scale=256)
    assert not face.degenerate
    trained.variables["params"]["global_reinit"]["head"]["fc2"]["bias"] *= 0
    (flat,) = Landmarker(trained).predict(bright_spot(1, 1), [20, 30, 99, 69])
    assert_float32_close(flat.points, expected, depth=40, scale=256)
    assert flat.degenerate


def test_the_shipped_model_finds_the_face_of_the_astronaut():
    """Eyes, tip of the nose and corners of the mouth to a twentieth of the face."""
    if not shipped.MODELS["ibug68"].file.exists():
        pytest.skip("no weights in this copy")
    (face,) = Landmarker.load("ibug68").predict(photos.read_photo(ASTRONAUT), [174, 82, 268, 176])
    points = [face.points[36:42].mean(0), face.points[42:48].mean(0), face.points[30], face.points[48], face.points[54]]
    np.testing.assert_allclose(points, [[203, 101], [247, 103], [226, 128], [203, 139], [247, 140]], rtol=0, atol=4)


def test_an_empty_path_is_not_the_model_that_is_shipped():
    """Of a variable that is not set."""
    with pytest.raises(ValueError, match="the path of the model is empty; give a file, a run, or None"):
        Landmarker.load("")


@pytest.mark.parametrize(
    ("images", "boxes", "message"),
    [
        (np.zeros((9, 9, 3), np.uint8), None, "predict_many takes a list of photos; predict takes one"),
        ([np.zeros((9, 9), np.uint8)] * 2, [[0, 0, 8, 8]], "2 photos need as many entries in boxes"),
        ([np.zeros((9, 9), np.uint8)], [0, 0, 8, 8], "1 photos need as many entries in boxes"),
        ([np.zeros((9, 9), np.uint8)] * 2, [[0, 0, 8, 8], None], "2 photos need as many entries in boxes"),
    ],
)
def test_photos_and_boxes_of_other_numbers_are_told(spots: Landmarker, images: object, boxes: object, message: str):
    with pytest.raises(ValueError, match=message):
        spots.predict_many(images, boxes)
