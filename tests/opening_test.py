"""The door to trained models: what is a run and what a file, which steps and heads there are, where results go."""

import json
import pathlib

import jax
import numpy as np
import pytest

from jaxlm import attention, models, report, sensitivity
from jaxlm.checkpoints import (
    CheckpointError,
    Checkpoints,
    Trained,
    check_exists,
    directory_of,
    is_weights,
    open_model,
    open_models,
    open_variables,
    results_folder,
    save_bundle,
)
from jaxlm.config import Config
from jaxlm.data_pipelines.input import open_faces
from jaxlm.evaluation import box_sensitivity
from jaxlm.landmarks.schemes import IBUG68, WFLW98
from jaxlm.models import save_weights
from tiny_landmarker import mean_face_bundle, mean_face_model


@pytest.fixture(scope="module")
def model() -> Trained:
    return mean_face_model("wflw98")


@pytest.fixture(scope="module")
def workdir(model: Trained, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run of two steps, the first of which is better."""
    folder = tmp_path_factory.mktemp("run.npz")  # A folder, whatever it is called.
    variables = jax.tree.map(jax.numpy.asarray, model.variables)
    with Checkpoints(directory_of(folder), model.config, keep=2) as checkpoints:
        for step, error in ((1, 0.1), (2, 0.2)):
            checkpoints.save(step, variables, {"step": jax.numpy.asarray(step)}, error)
    return folder


def test_a_path_is_a_run_or_a_file(workdir: pathlib.Path, model: Trained, tmp_path: pathlib.Path):
    save_bundle(tmp_path / "without_ending", model)
    assert not is_weights(workdir)
    assert is_weights(tmp_path / "without_ending")
    assert is_weights("none.npz")
    assert not is_weights("none")
    of_run, of_file = open_models([workdir, tmp_path / "without_ending"])
    assert (of_run.step, of_file.step) == (1, 1)
    assert of_run.scheme == of_file.scheme == model.scheme
    jax.tree.map(np.testing.assert_array_equal, of_run.variables, of_file.variables)
    assert (of_run.card, of_run.boxes, of_run.least_confidence) == ({}, {}, 0.0)


def test_a_run_has_steps_and_heads_and_a_file_has_one_of_each(workdir: pathlib.Path, tmp_path: pathlib.Path):
    assert open_model(workdir, step=2, head="synthetic").step == 2
    with pytest.raises(CheckpointError, match="no checkpoint of step 3"):
        open_model(workdir, step=3)
    file = mean_face_bundle(tmp_path / "mean.npz")
    with pytest.raises(ValueError, match=r"mean\.npz is a file of weights, which holds one step; --step is for a run"):
        open_model(file, step=1)
    with pytest.raises(ValueError, match=r"mean\.npz has no head 'synthetic'; it holds one alone"):
        open_model(file, head="synthetic")
    save_bundle(tmp_path / "head.npz", mean_face_model().with_head(None))
    assert open_model(tmp_path / "head.npz", head="synthetic").head.name == "synthetic"


def test_what_is_not_there_is_named(tmp_path: pathlib.Path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz: there is no such file of weights"):
        open_model(tmp_path / "none.npz")
    with pytest.raises(CheckpointError, match="none: there is no such folder of a training run, and no such file"):
        open_model(tmp_path / "none")
    with pytest.raises(ValueError, match=r"no model is named; give --weights FILE\.npz or --workdir DIR"):
        open_models([])


def test_a_pack_is_no_file_of_weights_and_weights_are_no_pack(pack: pathlib.Path, tmp_path: pathlib.Path):
    with pytest.raises(
        ValueError, match=r"faces\.npz is no file of weights .*, but a pack of faces, as --dataset takes it"
    ):
        open_model(pack)
    file = mean_face_bundle(tmp_path / "mean.npz")
    with pytest.raises(ValueError, match=r"mean\.npz is not a pack .*, but weights of a cnn, as --weights takes it"):
        open_faces(str(file), "test", "")


def test_variables_come_from_runs_and_from_files_of_any_network(workdir: pathlib.Path, tmp_path: pathlib.Path):
    save_weights(tmp_path / "vgg.npz", {"params": {"conv": np.ones(3)}}, {"model": "vgg19"})
    np.testing.assert_array_equal(open_variables(tmp_path / "vgg.npz")["params"]["conv"], np.ones(3))
    assert open_variables(workdir)["params"].keys() == {"block1", "fc1", "fc2"}


def test_results_go_to_the_workdir_or_to_runs(workdir: pathlib.Path):
    assert results_folder(workdir) == workdir
    assert results_folder("models/mine.npz") == pathlib.Path("runs/mine")


def test_runs_and_files_share_a_table_of_box_errors(
    workdir: pathlib.Path, model: Trained, pack: pathlib.Path, tmp_path: pathlib.Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(box_sensitivity, "SHIFTS", (0.0, 0.3))
    monkeypatch.setattr(box_sensitivity, "SCALES", (1.0,))
    save_bundle("mine.npz", model)
    sensitivity.main(["--weights", "mine.npz", "--workdir", str(workdir), "--dataset", str(pack), "--split", "test"])
    shown = capsys.readouterr().out
    assert "run 1:      mine.npz\n" in shown
    assert f"run 2:      {workdir}, step 1\n" in shown
    assert "Wrote runs/mine/evaluation/synthetic-test/sensitivity.json" in shown
    about = json.loads(pathlib.Path("runs/mine/evaluation/synthetic-test/sensitivity.json").read_text())
    assert [about["models"][name]["step"] for name in ("mine.npz", str(workdir))] == ["1", "1"]
    others = ["--workdir", str(workdir), "--step", "2", "--dataset", str(pack), "--split", "test"]
    with pytest.raises(SystemExit):
        sensitivity.main([*others, "--out", "runs/mine/evaluation/synthetic-test"])
    assert "sensitivity.json holds other results, and stays" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        sensitivity.main([*others, "--out", "mine.npz"])
    assert "mine.npz cannot be made: mine.npz is a file, not a folder" in capsys.readouterr().err


def test_a_file_is_reported_on(model: Trained, pack: pathlib.Path, tmp_path: pathlib.Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_bundle("mine.npz", model)
    report.main(["--weights", "mine.npz", "--dataset", str(pack), "--split", "test", "--no-sensitivity"])
    assert "Wrote report.html: 1 runs" in capsys.readouterr().out
    assert "mine.npz" in pathlib.Path("report.html").read_text()


def test_the_attention_of_a_file_is_drawn(debug: Config, pack: pathlib.Path, tmp_path: pathlib.Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = models.build("cnn", 98, debug.model.options, "float32")
    variables = jax.jit(lambda key: network.init(key, np.zeros((1, 32, 32, 3)), train=False))(jax.random.key(0))
    save_bundle("mine.npz", Trained(debug, network, variables, 1, WFLW98))
    drawn = ["--dataset", str(pack), "--split", "test", "--faces"]
    attention.main(["--weights", "mine.npz", *drawn, "3"])
    files = ["attention.json", "sepbn_attention.png", "sepbn_parameters.png"]
    assert sorted(path.name for path in pathlib.Path("runs/mine/attention").iterdir()) == files
    about = json.loads(pathlib.Path("runs/mine/attention/attention.json").read_text())
    assert about["protocol"] == {"run": "mine.npz", "data": "synthetic, test: 3 of 22 faces"}
    attention.main(["--weights", "mine.npz", *drawn, "3"])
    assert [path.name for path in pathlib.Path("runs/mine").iterdir()] == ["attention"]
    pathlib.Path("other").mkdir()
    save_bundle("other/mine.npz", Trained(debug, network, jax.tree.map(lambda leaf: leaf + 1, variables), 1, WFLW98))
    attention.main(["--weights", "other/mine.npz", *drawn, "3"])
    assert sorted(path.name for path in pathlib.Path("runs/mine").iterdir()) == ["attention", "attention-2"]


def test_the_weights_that_come_with_jaxlm_have_a_name(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert open_model("shipped").scheme == open_model("ibug68").scheme == IBUG68
    assert open_model("wflw98").scheme == WFLW98
    assert open_variables("shipped").keys() == {"params", "batch_stats"}
    check_exists("wflw98")
    pathlib.Path("wflw98", "evaluation").mkdir(parents=True)  # As it is after an evaluation in the folder `runs`.
    assert open_model("wflw98").scheme == WFLW98
    pathlib.Path("wflw98", "checkpoints").mkdir()  # A run that exists is meant by its name.
    with pytest.raises(CheckpointError, match="wflw98"):
        open_model("wflw98")
    for path in ("nowhere", "nowhere.npz"):
        with pytest.raises(OSError, match=f"{path}: there is no such"):
            check_exists(path)
