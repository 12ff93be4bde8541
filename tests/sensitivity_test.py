"""Box errors: where a moved or scaled box lies, what its crop lacks, and the curves of a run."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import checkpoints, models, sensitivity, tasks, train
from jaxlm.checkpoints import Trained
from jaxlm.config import AugmentConfig, Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.evaluation import box_sensitivity, inference, judging
from jaxlm.images import affine_maps, augment, cropping
from jaxlm.landmarks.schemes import WFLW98
from jaxlm.runtime import distributed
from jaxlm.tasks import metrics
from tolerances import assert_float32_close


@pytest.mark.parametrize("crop", [1.0, 1.25, 2.0])
def test_the_crop_follows_the_box(crop: float):
    """In frames of 200 pixels and margin 2 the box has 100; its corners are 1 / crop of the crop apart."""
    matrix = inference.box_error_affine(200, 80, 2.0, crop, inference.BoxError((0.1, -0.2), 1.2))
    box_centre = np.float32([99.5 + 10, 99.5 - 20])
    corners = box_centre + np.float32([[[-60, -60], [60, 60]]]) * crop
    # The outer edges of a crop of 80 pixels are half a pixel beyond its first and last centres.
    moved = cropping.move(corners, jnp.asarray(matrix)[None])[0]
    assert_float32_close(moved, [[-0.5, -0.5], [79.5, 79.5]], depth=8, scale=200)


def test_without_an_error_it_is_the_plain_crop():
    np.testing.assert_array_equal(
        inference.box_error_affine(256, 128, 2.0, 1.25, inference.NO_ERROR), cropping.crop_affine(256, 128, 2.0, 1.25)
    )


@pytest.mark.parametrize(
    ("shift", "crop", "expected"),
    [
        ((0, 0), 2.0, 0.0),
        ((0.3, 0), 1.25, 0.0),
        ((0.3, 0), 2.0, 0.15),
        ((0, -0.3), 2.0, 0.15),
        ((0.3, 0.3), 2.0, 1 - 0.85**2),
        ((0, 0), 2.8, 1 - (2 / 2.8) ** 2),
    ],
)
def test_the_share_of_a_crop_outside_of_its_frame(shift: tuple, crop: float, expected: float):
    # In float64; what is less than 1e-6 counts as nothing.
    assert box_sensitivity.outside(np.asarray(shift), crop, margin=2.0) == pytest.approx(expected, abs=1e-6)


def test_jitter_of_a_wide_crop_moves_and_scales_the_box_twice_as_far():
    """A shift of 0.06 of a crop of two boxes, and a growth of 0.06 of its side at either end, are 12 % of the box."""
    config = AugmentConfig(probability=1.0, shift=0.06, scale=0.06)
    plain = cropping.crop_affine(256, 256, 2.0, 2.0)
    amounts = augment.draw_amounts(np.asarray([0, 1], np.uint32), 2000, config, 256)
    to_frame = affine_maps.invert(augment.frame_to_crop(amounts, plain, 256, 256))
    box = jnp.broadcast_to(jnp.asarray([[63.5, 63.5], [191.5, 191.5]]), (2000, 2, 2))
    moved = np.asarray(cropping.move(box, to_frame))
    shift = (moved.mean(axis=1) - 127.5) / 128
    scale = (moved[:, 1] - moved[:, 0]) / 128
    assert 0.11 < np.abs(shift).max() < 0.14
    assert 0.87 < scale.min() < 0.89
    assert 1.11 < scale.max() < 1.13


class Centre(models.MODELS["cnn"]):
    """Says that all points are in the middle of the crop."""

    def __call__(self, images, *, train, temperature=1.0):
        return jnp.zeros((images.shape[0], 2 * self.num_points))


def test_a_model_that_trusts_the_box_moves_with_it(debug: Config, pack: pathlib.Path):
    faces = input_lib.open_faces(str(pack), "test", "")
    task = tasks.build(debug.task, debug.model)
    predictor = inference.Predictor(Centre(98), task, debug, faces.margin, distributed.make_mesh())
    points = predictor.with_box_errors({}, faces, [inference.BoxError((0.25, -0.125), 1.3)])[0].points
    assert_float32_close(points, np.broadcast_to(31.5 + np.float32([8, -4]), points.shape), depth=20, scale=64)


@pytest.fixture(scope="module")
def trained(pack: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a short debug run."""
    workdir = tmp_path_factory.mktemp("trained")
    options = ["--experiment", "debug", "--data.dataset", str(pack), "--data.cache", "device", "--epochs", "1"]
    options += ["--model.options.widths", "4"]  # More take longer to compile.
    train.main([*options, "--workdir", str(workdir)])
    return workdir


@pytest.fixture
def other(trained: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A run that holds out other faces, with the weights of `trained`: to train it would compile the step once more."""
    path, open_models = pathlib.Path("runs/other"), box_sensitivity.open_models

    def open_both(paths: Sequence[pathlib.Path], **options: object) -> list[Trained]:
        models = open_models([trained] * len(paths), **options)
        return [held_out_more(model) if given == path else model for given, model in zip(paths, models, strict=True)]

    monkeypatch.setattr(box_sensitivity, "open_models", open_both)
    return path


def held_out_more(trained: Trained) -> Trained:
    data = dataclasses.replace(trained.config.data, validation_percent=40)
    return dataclasses.replace(trained, config=dataclasses.replace(trained.config, data=data), data={})


def test_curves_start_from_the_evaluations_error_and_are_written(
    trained: pathlib.Path, other: pathlib.Path, tmp_path: pathlib.Path, capsys, monkeypatch
):
    monkeypatch.setattr(box_sensitivity, "SHIFTS", (0.0, 0.3))
    monkeypatch.setattr(box_sensitivity, "SCALES", (1.0, 1.4))
    sensitivity.main(["--workdir", str(trained), str(other), "--split", "test", "--out", str(tmp_path)])
    shown = capsys.readouterr().out
    for expected in ("synthetic, test: 22 faces (wflw98)", "inter-ocular", "the generator's", "NME 2 %", "shift %"):
        assert expected in shown
    document = json.loads((tmp_path / "sensitivity.json").read_text())
    curves = document["runs"][str(trained)]
    run = checkpoints.open_model(trained)
    faces, _ = judging.open_evaluation(run.config, run.config.data.dataset, "test", "")
    task = tasks.build(run.config.task, run.config.model)
    predictor = inference.Predictor(run.model, task, run.config, faces.margin, distributed.make_mesh())
    points = predictor(run.variables, faces).points
    distance = metrics.normaliser_distance(faces.points, WFLW98, "inter_ocular")
    nme = float(metrics.face_nme(points, faces.points, distance).mean())
    assert_float32_close([curves["shift"]["nme"][0], curves["scale"]["nme"][0]], [nme, nme], depth=1000)
    assert curves["shift"]["nme"][1] > nme
    assert curves["shift"]["leaving"] == [0, 0]
    assert cv2.imread(str(tmp_path / "sensitivity.png")).std() > 5


def test_runs_judged_on_different_faces_are_refused(trained: pathlib.Path, other: pathlib.Path):
    with pytest.raises(ValueError, match="give one --dataset and --split"):
        box_sensitivity.measure_and_write([trained, other], split="validation")


def test_a_folder_that_is_no_run_ends_with_an_explanation(tmp_path: pathlib.Path, capsys):
    with pytest.raises(SystemExit) as caught:
        sensitivity.main(["--workdir", str(tmp_path)])
    assert caught.value.code == 1
    assert "no training run here" in capsys.readouterr().err
