import dataclasses
import functools
import json
import pathlib
import shutil

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import checkpoints, evaluate, models, tasks, train
from jaxlm.checkpoints import Trained, save_bundle
from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.evaluation import error_table, inference, judging
from jaxlm.images import cropping
from jaxlm.landmarks.schemes import WFLW98
from jaxlm.runtime import distributed
from jaxlm.tasks import metrics
from jaxlm.tasks.heatmaps import HeatMapTask
from jaxlm.training import loop
from tolerances import assert_float32_close


@pytest.fixture(scope="module")
def trained(pack: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a short debug run."""
    workdir = tmp_path_factory.mktemp("trained")
    options = ["--experiment", "debug", "--data.dataset", str(pack), "--data.cache", "device", "--epochs", "2"]
    options += ["--model.options.widths", "4"]  # More take longer to compile.
    train.main([*options, "--workdir", str(workdir)])
    return workdir


def predictor_of(trained: pathlib.Path, batch_size: int) -> tuple[inference.Predictor, Trained]:
    run = checkpoints.open_model(trained)
    task = tasks.build(run.config.task, run.config.model)
    mesh = distributed.make_mesh()
    return inference.Predictor(run.model, task, run.config, 2.0, mesh, batch_size), run


def test_points_do_not_depend_on_the_batch_size(trained: pathlib.Path, pack: pathlib.Path):
    """22 faces fill no batch of 4, 16 or 64 evenly; every face comes once, in its place."""
    faces = input_lib.open_faces(str(pack), "test", "")
    results = []
    for batch_size in (4, 16, 64):
        predictor, run = predictor_of(trained, batch_size)
        results.append(predictor(run.variables, faces).points)
    assert np.isfinite(results[0]).all()
    assert_float32_close(results[0], results[1], depth=1000)
    assert_float32_close(results[0], results[2], depth=1000)
    assert len({points.tobytes() for points in results[0]}) == len(faces)


class Oracle(models.MODELS["cnn"]):
    """Ignores the image: says that all points are in the middle of the crop."""

    def __call__(self, images, *, train, temperature=1.0):
        return jnp.full((images.shape[0], 2 * self.num_points), 0.0)


@pytest.mark.parametrize("crop", [1.0, 1.25, 2.0])
def test_crop_points_are_taken_back_to_the_frame(debug: Config, pack: pathlib.Path, crop: float):
    config = dataclasses.replace(debug, data=dataclasses.replace(debug.data, crop=crop))
    task = tasks.build(config.task, config.model)
    predictor = inference.Predictor(Oracle(98), task, config, 2.0, distributed.make_mesh())
    points = predictor({}, input_lib.open_faces(str(pack), "test", "")).points
    assert_float32_close(points, np.full(points.shape, 31.5), depth=8, scale=64)


predict_step = jax.jit(inference.predict_step, static_argnames=("model", "task", "size", "flip"))


class Brightest(nn.Module):
    """Heat-maps of one scheme of four points that are the image's own rows and columns, whatever its weights are."""

    def __call__(self, images, *, train, temperature=1.0):
        bright = images.mean(axis=-1)
        return jnp.stack([bright, bright, bright, bright], axis=-1)


def test_the_flip_test_averages_points_and_confidences_with_those_of_the_mirrored_crop():
    task = HeatMapTask(32, stride=1, decoder="argmax")
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    frames[:, 20, 24] = 255
    to_crop = cropping.crop_affine(64, 32, margin=2.0)
    predict = functools.partial(predict_step, {}, frames, to_crop, model=Brightest(), task=task, size=32)
    plain, averaged = predict(), predict(flip=(1, 0, 2, 3))
    assert_float32_close(plain.points, np.broadcast_to([24.0, 20.0], (2, 4, 2)), depth=8, scale=64)
    assert_float32_close(averaged.points, plain.points, depth=8, scale=64)
    assert_float32_close(averaged.confidence, plain.confidence, depth=32 * 32)


class FromTheLeft(Brightest):
    """Says that the first point is at the left border and the others at the right one, mirrored or not."""

    def __call__(self, images, *, train, temperature=1.0):
        columns = jnp.arange(images.shape[2]) / images.shape[2]
        maps = jnp.stack([1 - columns, columns, columns, columns], axis=-1)
        return jnp.broadcast_to(maps, (*images.shape[:3], 4))


def test_the_flip_test_exchanges_left_and_right():
    task = HeatMapTask(32, stride=1, decoder="argmax")
    frames = jnp.zeros((1, 64, 64, 3), jnp.uint8)
    to_crop = cropping.crop_affine(64, 32, margin=2.0)
    flipped = predict_step({}, frames, to_crop, model=FromTheLeft(), task=task, size=32, flip=(1, 0, 2, 3))
    # Points 0 and 1 agree with their mirror images; 2 and 3 say right in both, and meet in the middle.
    assert_float32_close(flipped.points[0, :, 0], [16, 47, 31.5, 31.5], depth=8, scale=64)


def test_a_table_of_subsets():
    nme = np.asarray([0.02, 0.04, 0.11, 0.2], np.float32)
    masks = {"full": np.ones(4, bool), "easy": np.asarray([True, True, False, False]), "none": np.zeros(4, bool)}
    full, easy = error_table.error_rows(nme, masks, (0.08, 0.1))
    assert (full.subset, full.faces, easy.subset, easy.faces) == ("full", 4, "easy", 2)
    assert_float32_close([full.nme, easy.nme], [9.25, 3.0], depth=6)
    assert (full.failure_rate["8"], full.failure_rate["10"], easy.failure_rate["10"]) == (50, 50, 0)
    areas = [(0.08 + 0.06) / 4 / 0.1, (0.06 + 0.04) / 2 / 0.08]
    assert_float32_close([full.auc["10"], easy.auc["8"]], areas, depth=10, scale=1)


def test_the_report_prints_its_protocol_and_writes_numbers_and_pictures(
    trained: pathlib.Path, pack: pathlib.Path, capsys: pytest.CaptureFixture
):
    evaluate.main(["--workdir", str(trained), "--dataset", str(pack)])
    shown = capsys.readouterr().out
    for expected in ("synthetic, test: 22 faces, 98 points", "inter-ocular", "the generator's", "FR@10 %", "AUC@10"):
        assert expected in shown
    directory = trained / "evaluation" / "synthetic-test"
    document = json.loads((directory / "metrics.json").read_text())
    predictions = np.load(directory / "predictions.npz")
    faces = input_lib.open_faces(str(pack), "test", "")
    distance = metrics.normaliser_distance(jnp.asarray(predictions["truth"]), WFLW98, "inter_ocular")
    nme = metrics.face_nme(jnp.asarray(predictions["points"]), jnp.asarray(predictions["truth"]), distance)
    assert_float32_close(nme, predictions["nme"], depth=98 + 10)
    rows = {row["subset"]: row for row in document["rows"]}
    assert_float32_close(rows["full"]["nme"], 100 * predictions["nme"].mean(), depth=22)
    assert rows["blur"]["faces"] == faces.attributes[:, 5].sum()
    assert predictions["names"].tolist() == list(faces.names)
    for picture in ("ced.png", "worst.png"):
        assert cv2.imread(str(directory / picture)).std() > 5


def test_predictions_are_in_pixels_of_the_source_photo(trained: pathlib.Path, pack: pathlib.Path, tmp_path):
    faces = input_lib.open_faces(str(pack), "test", "")
    shifted = dataclasses.replace(faces, to_source=faces.to_source * 2 + np.float32([[0, 0, 5], [0, 0, 7]]))
    predicted, nme = inference.Predictions(faces.points + 1, None), np.zeros(len(faces), np.float32)
    everyone = {"full": np.ones(len(faces), bool)}
    evaluation = judging.Evaluation(shifted, everyone, {}, {}, "inter_ocular", predicted, nme, [], {})
    judging.write_evaluation(tmp_path, evaluation)
    stored = np.load(tmp_path / "predictions.npz")
    assert_float32_close(stored["points"], 2 * predicted.points + np.float32([5, 7]), depth=4)


def test_validation_is_what_training_held_out(trained: pathlib.Path, pack: pathlib.Path):
    config = checkpoints.open_model(trained).config
    training = loop.prepare_run(config)[1]
    faces, masks = judging.open_evaluation(config, str(pack), "validation", "")
    assert not set(faces.names) & set(training.names)
    assert len(faces) + len(training) == 60
    assert masks["full"].sum() == len(faces)


def test_held_out_faces_that_have_changed_are_refused_or_told(
    trained: pathlib.Path, pack: pathlib.Path, tmp_path: pathlib.Path, capsys
):
    """Other labels behind the name of the run's pack, whether the run is judged or a bundle of it."""
    splits = input_lib.open_splits(str(pack), "")
    moved = dataclasses.replace(splits["train"], points=splits["train"].points + np.float32(1))
    copy, aside = shutil.copytree(trained, tmp_path / "run"), pack.with_suffix(".aside")
    save_bundle(tmp_path / "run.npz", checkpoints.open_model(copy))
    note = "held out:   not the faces that the run held out; others are points held out\n"
    evaluate.main(["--workdir", str(copy), "--dataset", str(pack), "--split", "validation"])
    assert "held out:" not in capsys.readouterr().out
    pack.rename(aside)
    try:
        input_lib.write_pack(pack, splits | {"train": moved})
        with pytest.raises(SystemExit):
            evaluate.main(["--workdir", str(copy), "--split", "validation"])
        told = capsys.readouterr().err
        assert "other faces than the run held out: it has changed since (points held out)" in told
        assert f"give --dataset {pack}" in told
        for model in (copy, tmp_path / "run.npz"):
            evaluation = judging.evaluate_model(checkpoints.open_model(model), "it", str(pack), "", "validation")
            assert evaluation.protocol["held out"] in note
        evaluate.main(["--workdir", str(copy), "--split", "test"])
    finally:
        aside.replace(pack)


def test_several_splits_are_subsets_of_one_table(trained: pathlib.Path, pack: pathlib.Path):
    config = checkpoints.open_model(trained).config
    faces, masks = judging.open_evaluation(config, str(pack), "train+test", "")
    assert {name: int(mask.sum()) for name, mask in masks.items() if name in ("train", "test", "full")} == {
        "train": 60,
        "test": 22,
        "full": 82,
    }
    assert faces.names[60] == "test/0"


def test_points_of_98_are_scored_as_68(pack: pathlib.Path, debug: Config):
    config = dataclasses.replace(debug, data=dataclasses.replace(debug.data, scheme="ibug68"))
    assert judging.open_evaluation(config, str(pack), "test", "")[0].points.shape == (22, 68, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "tset"], "no split tset"),
        (["--dataset", "nothing", "--data-dir", "nowhere"], "not prepared"),
        (["--step", "4711"], "no checkpoint of step 4711"),
    ],
)
def test_wrong_arguments_end_with_an_explanation(trained: pathlib.Path, arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        evaluate.main(["--workdir", str(trained), *arguments])
    assert caught.value.code == 1
    assert message in capsys.readouterr().err


def test_a_file_in_the_way_of_the_results_is_told_before_the_work(
    trained: pathlib.Path, tmp_path: pathlib.Path, monkeypatch, capsys
):
    run = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(run / "evaluation", ignore_errors=True)
    (run / "evaluation").write_text("mine")
    monkeypatch.setattr(judging, "evaluate_model", None)
    with pytest.raises(SystemExit):
        evaluate.main(["--workdir", str(run)])
    assert "evaluation is no folder" in capsys.readouterr().err
