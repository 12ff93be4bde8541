"""The mean of models' weights: what it is, that predictions are its own, and which models have none."""

import dataclasses
import pathlib

import jax
import numpy as np
import pytest

from jaxlm import average, evaluate
from jaxlm.checkpoints import average_weights, load_bundle, save_bundle
from tiny_landmarker import mean_face_model, shifted
from tolerances import assert_float32_close, assert_float32_trees_close


def test_each_array_is_the_mean_of_those_of_the_models():
    model = mean_face_model()
    drawn = [np.random.default_rng(seed) for seed in range(3)]
    models = [
        dataclasses.replace(
            model, variables=jax.tree.map(lambda leaf, rng=rng: rng.random(leaf.shape, np.float32), model.variables)
        )
        for rng in drawn
    ]
    mean = average_weights(models)
    trees = [one.variables for one in models]
    expected = jax.tree.map(lambda *leaves: sum(leaves) / 3, *trees)
    assert_float32_trees_close(mean.variables, expected, depth=3)
    assert (mean.config, mean.step) == (model.config, model.step)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(mean.variables))


def test_the_file_of_the_mean_is_judged_by_its_own_points(
    pack: pathlib.Path, tmp_path: pathlib.Path, monkeypatch, capsys
):
    """Errors to either side cancel out: 0.1 and -0.1 of the box, and the true mean face between them."""
    monkeypatch.chdir(tmp_path)
    model = mean_face_model()
    for name, fraction in (("left", -0.1), ("right", 0.1)):
        one = dataclasses.replace(shifted(model, fraction), card={"licence": "of one"}, boxes={"dlib": (1, 1, 0, 0)})
        save_bundle(tmp_path / f"{name}.npz", one)
    save_bundle(tmp_path / "plain.npz", model)
    average.main(["--weights", "left.npz", "right.npz", "--out", "mean.npz"])
    assert "the mean of 2 models" in capsys.readouterr().out
    mean = load_bundle("mean.npz")
    assert (mean.card, mean.boxes) == ({}, {})
    rows = {}
    for name in ("left", "mean", "plain"):
        evaluate.main(["--weights", f"{name}.npz", "--dataset", str(pack), "--split", "test"])
        assert f"{name}.npz" in capsys.readouterr().out
        rows[name] = np.load(tmp_path / "runs" / name / "evaluation" / "synthetic-test" / "predictions.npz")["nme"]
    # Places in frames of 64 pixels over the distance of the eyes, 6 pixels at least.
    assert_float32_close(rows["mean"], rows["plain"], depth=10, scale=64 / 6)
    assert rows["left"].mean() > rows["mean"].mean() + 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"input_size": 32}}, "model 2 has another model than the first: ModelConfig.*32"),
        ({"task": {"options": {"units": "pixel"}}}, "model 2 has another task than the first"),
        ({"data": {"crop": 1.5}}, "model 2 has another crop than the first: 1.5 in place of 1.0"),
    ],
)
def test_models_that_have_no_mean_are_refused(change: dict, message: str):
    model = mean_face_model()
    fields = {name: dataclasses.replace(getattr(model.config, name), **value) for name, value in change.items()}
    other = dataclasses.replace(model, config=dataclasses.replace(model.config, **fields))
    with pytest.raises(ValueError, match=message):
        average_weights([model, other])


def test_other_schemes_and_single_models_are_refused(tmp_path: pathlib.Path, capsys):
    with pytest.raises(ValueError, match="model 2 has another scheme than the first: wflw98 in place of ibug68"):
        average_weights([mean_face_model(), mean_face_model("wflw98")])
    save_bundle(tmp_path / "one.npz", mean_face_model())
    for arguments, message in (
        (["--weights", str(tmp_path / "one.npz")], "give two or more"),
        (["--weights", str(tmp_path / "one.npz"), str(tmp_path / "." / "one.npz")], "one.npz is named twice"),
        ([], "no model is named"),
        (["--weights", str(tmp_path / "one.npz"), "--head", "other"], "has no head 'other'"),
        (["--weights", str(tmp_path / "one.npz"), str(tmp_path / "none.npz")], "there is no such file of weights"),
    ):
        with pytest.raises(SystemExit) as caught:
            average.main([*arguments, "--out", str(tmp_path / "out.npz")])
        assert caught.value.code == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out.npz").exists()
