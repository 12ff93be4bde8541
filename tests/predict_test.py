"""The predict command: points in pixels of the photo, for runs and converted weights, and what it says of bad input."""

import json
import pathlib
from typing import Any

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines import synthetic
from jaxlm import convert, inference, models, photos, predict, reinitialisation, tasks, train
from jaxlm.landmarks import FIVE, load_scheme
from jaxlm.predict import Detector
from jaxlm.weights import save_weights

BOX = np.float64([40, 30, 99, 89])


class Brightest(nn.Module):
    """Heat-maps of five points that are the image's own rows and columns."""

    @nn.compact
    def __call__(self, images, *, train, temperature=1.0):
        return jnp.repeat(images.mean(axis=-1, keepdims=True), 5, axis=-1)


def bright_spot(x: int, y: int) -> np.ndarray:
    photo = np.zeros((120, 150, 3), np.uint8)
    photo[y, x] = 255
    return photo


def brightest(size: int = 120) -> Detector:
    """Finds the brightest pixel of the box; with 120 pixels for 60 of the photo a crop's pixels are half a photo's."""
    task = tasks.HeatMapTask(size, stride=1, decoder="argmax")
    return Detector(predict.in_crops(Brightest(), task, {}, size, 1.0), FIVE)


@pytest.fixture
def photo(tmp_path: pathlib.Path) -> pathlib.Path:
    file = tmp_path / "photo.png"
    cv2.imwrite(str(file), bright_spot(71, 52))
    return file


def document(out: pathlib.Path) -> list[dict[str, Any]]:
    return json.loads((out / "predictions.json").read_text())


def test_points_are_in_pixels_of_the_photo(photo: pathlib.Path, tmp_path: pathlib.Path):
    boxes = {str(photo): [BOX, BOX + np.float64([5, -7, 5, -7])]}
    assert predict.predict([photo], boxes, brightest(), tmp_path / "out") == []
    (entry,) = document(tmp_path / "out")
    assert entry["file"] == str(photo)
    assert [face["box"] for face in entry["faces"]] == [list(box) for box in boxes[str(photo)]]
    for face in entry["faces"]:
        np.testing.assert_allclose(face["points"], np.broadcast_to([71.0, 52.0], (5, 2)), atol=0.3)
        assert len(face["confidence"]) == 5
    picture = cv2.imread(str(tmp_path / "out" / "photo.png"))
    assert picture.shape == (120, 150, 3)
    assert (picture != cv2.imread(str(photo))).any()


def test_large_faces_are_averaged_and_not_sampled():
    """At a tenth of its size a photo of alternating lines is grey."""
    photo = np.zeros((400, 400, 3), np.uint8)
    photo[::2] = 255
    crop, _ = photos.cut_crop(photo, np.asarray([0, 0, 399, 399]), 40, 1.0)
    assert np.abs(crop.astype(int) - 127).max() <= 1


def test_what_cannot_be_used_is_reported_and_the_rest_goes_on(photo: pathlib.Path, tmp_path: pathlib.Path):
    broken, alone = tmp_path / "broken.jpg", tmp_path / "alone.png"
    broken.write_text("no photo")
    cv2.imwrite(str(alone), bright_spot(5, 5))
    boxes = {"broken.jpg": [BOX], "photo.png": [BOX * 0, BOX + 500, BOX]}
    problems = predict.predict([broken, alone, photo], boxes, brightest(), tmp_path / "out")
    assert len(problems) == 4
    for problem, words in zip(
        problems, ("broken.jpg is not a readable", "alone.png: there is no box", "is empty", "is outside"), strict=True
    ):
        assert words in problem
    (entry,) = document(tmp_path / "out")
    assert len(entry["faces"]) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["photo.png", "predictions.json"]


def test_a_table_of_boxes(tmp_path: pathlib.Path):
    table = tmp_path / "boxes.csv"
    table.write_text("\ufeffname, x1, y1, x2, y2, score\na.png,1,2,3,4.5,0.9\nb.png,5,6,7,8,1\na.png,2,2,3,3,1\n")
    boxes = predict.read_boxes(table)
    np.testing.assert_array_equal(boxes["a.png"], [[1, 2, 3, 4.5], [2, 2, 3, 3]])
    np.testing.assert_array_equal(boxes["b.png"], [[5, 6, 7, 8]])
    table.write_text("name,x1,y1,x2,y2\na.png,1,2,3,4\nb.png,5,6,seven,8\n")
    with pytest.raises(ValueError, match=r"boxes\.csv:3: .* four numbers"):
        predict.read_boxes(table)
    table.write_text("a.png,1,2,3,4\n")
    with pytest.raises(ValueError, match=r"boxes\.csv:1: .*name, x1, y1, x2, y2 not found"):
        predict.read_boxes(table)


@pytest.fixture(scope="module")
def trained(pack: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a short debug run."""
    workdir = tmp_path_factory.mktemp("trained")
    options = ["--experiment", "debug", "--data.dataset", str(pack), "--data.cache", "device", "--epochs", "1"]
    train.main([*options, "--workdir", str(workdir)])
    return workdir


def test_the_command_uses_a_run_and_its_exit_status_says_what_happened(
    trained: pathlib.Path, tmp_path: pathlib.Path, capsys
):
    face = synthetic.render(1, 0, 64)
    file = tmp_path / "face.png"
    photos_file = tmp_path / "boxes.csv"
    cv2.imwrite(str(file), cv2.cvtColor(face.image, cv2.COLOR_RGB2BGR))
    options = ["--workdir", str(trained), "--out", str(tmp_path / "out")]
    assert predict.main([str(file), "--box", "16", "16", "47", "47", *options]) == 0
    (entry,) = document(tmp_path / "out")
    frame = jnp.asarray(face.image)[None]
    run = predict.checkpoint.load_model(trained)
    task = tasks.build(run.config.task, run.config.model)
    matrix = inference.box_error_affine(64, 32, 2.0, 1.0, inference.NO_ERROR)
    expected = inference.predict_step(run.variables, frame, matrix, model=run.model, task=task, size=32).points[0]
    np.testing.assert_allclose(entry["faces"][0]["points"], expected, atol=1e-3)
    assert entry["faces"][0]["confidence"] is None
    photos_file.write_text("name,x1,y1,x2,y2\nface.png,16,16,47,47\nface.png,16,16,16,47\n")
    assert predict.main([str(file), "--boxes", str(photos_file), *options]) == 1
    assert "is empty" in capsys.readouterr().err
    assert len(document(tmp_path / "out")[0]["faces"]) == 1


def gsr_metadata(**changes: Any) -> dict[str, Any]:
    options = {"scheme": "ibug68"}
    return {"model": "dpr_gsr", "options": options, "scheme": "ibug68", "input_size": 256, "crop": 2.0} | changes


@pytest.fixture(scope="module")
def gsr_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Weights of a GSR that are all zero but for the identity map."""
    model = models.build("dpr_gsr", 68, {"scheme": "ibug68"}, jnp.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 256, 256, 3)), train=False))
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    variables["params"]["global_reinit"]["head"]["fc2"]["bias"] = np.eye(2, 3, dtype=np.float32).ravel()
    file = tmp_path_factory.mktemp("weights") / "gsr.npz"
    save_weights(file, variables, gsr_metadata())
    return file


def test_weights_of_dpr_see_the_photo_through_the_box_as_it_is(
    gsr_file: pathlib.Path, photo: pathlib.Path, tmp_path: pathlib.Path
):
    """Without a residual it is the mean face, as wide and high as the box."""
    options = ["--weights", str(gsr_file), "--out", str(tmp_path / "out")]
    assert predict.main([str(photo), "--box", "20", "30", "99", "69", *options]) == 0
    mean = reinitialisation.mean_face(load_scheme("ibug68"))
    expected = np.float32([20, 30]) + mean * 128 * np.float32([79 / 127, 39 / 127])
    np.testing.assert_allclose(document(tmp_path / "out")[0]["faces"][0]["points"], expected, atol=1e-3)


def test_a_degenerate_map_falls_back_to_the_box_with_a_warning(
    gsr_file: pathlib.Path, photo: pathlib.Path, tmp_path: pathlib.Path, capsys
):
    variables, metadata = predict.load_weights(gsr_file)
    variables["params"]["global_reinit"]["head"]["fc2"]["bias"] *= 0
    save_weights(tmp_path / "flat.npz", variables, metadata)
    for file in (gsr_file, tmp_path / "flat.npz"):
        options = ["--weights", str(file), "--out", str(tmp_path / file.stem)]
        assert predict.main([str(photo), "--box", "20", "30", "99", "69", *options]) == 0
    assert "photo.png: the affine maps predicted for 1 of 1 faces are degenerate" in capsys.readouterr().err
    assert document(tmp_path / "flat") == document(tmp_path / "gsr")


def test_weights_of_another_model_are_named(gsr_file: pathlib.Path, tmp_path: pathlib.Path):
    variables, _ = predict.load_weights(gsr_file)
    save_weights(tmp_path / "resnet.npz", {"params": {}}, {"model": "resnet18", "options": {}})
    save_weights(tmp_path / "cnn.npz", variables, gsr_metadata(model="cnn", options={}, input_size=128))
    save_weights(tmp_path / "bigger.npz", variables, gsr_metadata(options={}, scheme="wflw98"))
    glsr = gsr_metadata(model="dpr_glsr", without=["part_regressors"])
    save_weights(tmp_path / "glsr.npz", variables, glsr)
    for name, message in (
        ("resnet", "weights of resnet18, which predict no landmarks"),
        ("cnn", "arrays are missing, left over or of another shape than VanillaCNN needs"),
        (
            "bigger",
            "2 arrays are missing, left over or of another shape than GSR needs, the first is params/global_reg",
        ),
        ("glsr", "than GLSR needs, the first is .*part_regressors"),
    ):
        with pytest.raises(ValueError, match=message):
            predict.of_weights(tmp_path / f"{name}.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png", "b.png", "--box", "0", "0", "9", "9", "--workdir", "nowhere"], "--box is for a single photo"),
        (["a.png", "--box", "0", "0", "9", "9", "--workdir", "nowhere"], "no training run here"),
        (["a.png", "--box", "0", "0", "9", "9", "--weights", "none.npz"], "none.npz"),
        (["a.png", "--boxes", "none.csv", "--workdir", "nowhere"], "none.csv"),
        (["a.png", "--workdir", "nowhere"], "--box"),
    ],
)
def test_wrong_arguments_end_with_an_explanation(arguments: list[str], message: str, tmp_path: pathlib.Path, capsys):
    with pytest.raises(SystemExit) as caught:
        predict.main([*arguments, "--out", str(tmp_path)])
    assert caught.value.code != 0
    assert message in capsys.readouterr().err


def test_pictures_of_one_name_are_refused(tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match="two photos would both become"):
        predict.predict([tmp_path / "a" / "face.png", tmp_path / "b" / "face.jpg"], {}, brightest(), tmp_path)


RELEASED = ("98_points_global_reinit.pth.tar", "98_points_global_regress.pth.tar")


def test_the_released_weights_predict_the_released_points(shared_data: pathlib.Path, tmp_path: pathlib.Path):
    pytest.importorskip("torch")
    weights = tmp_path / "gsr.npz"
    files = [str(shared_data / "dpr" / name) for name in RELEASED]
    assert convert.main([*files, "--model", "dpr_gsr", "--out", str(weights)]) == 0
    with np.load(shared_data / "dpr" / "gsr_reference.npz") as archive:
        reference = {
            name.removesuffix("_0"): (archive[name], archive[f"{name}/rect"]) for name in archive if "/" not in name
        }
    photo = next(file for file in (shared_data / "wflw").rglob("13_Interview*.jpg"))
    expected, rect = reference[photo.stem]
    options = ["--weights", str(weights), "--out", str(tmp_path / "out")]
    assert predict.main([str(photo), "--box", *map(str, rect), *options]) == 0
    points = np.asarray(document(tmp_path / "out")[0]["faces"][0]["points"])
    assert np.linalg.norm(points - expected, axis=-1).max() < 0.5
