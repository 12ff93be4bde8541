"""Starting from other weights: what is taken, what is reported, and that a run does so once."""

import argparse
import dataclasses
import functools
import pathlib
import shutil

import jax
import numpy as np
import pytest

from jaxlm import experiment, overrides, train
from jaxlm.checkpoints import Checkpoints, directory_of, open_model
from jaxlm.config import Config
from jaxlm.models import save_weights
from jaxlm.models.dpr.coordinates import PARTS
from jaxlm.runtime import distributed
from jaxlm.training import loop, starting
from jaxlm.training.step import TrainState, init_state, make_recipe


def kernel(value: float, *shape: int) -> np.ndarray:
    return np.full(shape, value, np.float32)


OURS = {
    "params": {"trunk": {"kernel": kernel(0, 2)}, "head": {"kernel": kernel(0, 3), "bias": kernel(0, 1)}},
    "batch_stats": {"trunk": {"mean": kernel(0, 4)}},
}


def test_arrays_of_equal_path_and_shape_are_taken_and_all_others_reported():
    theirs = {
        "params": {
            "trunk": {"kernel": kernel(1, 2)},
            "head": {"kernel": kernel(1, 5)},
            "other": {"bias": kernel(1, 1)},
        },
        "batch_stats": {"trunk": {"mean": kernel(1, 4)}},
    }
    found, report = starting.take(OURS, theirs)
    assert report.taken == ["params/trunk/kernel", "batch_stats/trunk/mean"]
    assert report.reshaped == ["params/head/kernel"]
    assert report.new == ["params/head/bias"]
    assert report.left_over == ["params/head/kernel", "params/other/bias"]
    assert report.copied == []
    np.testing.assert_array_equal(found["params"]["trunk"]["kernel"], [1, 1])
    np.testing.assert_array_equal(found["params"]["head"]["kernel"], [0, 0, 0])
    np.testing.assert_array_equal(found["batch_stats"]["trunk"]["mean"], 1)
    assert "left over  params/other (1 arrays)" in str(report)


def test_a_network_that_is_not_there_starts_as_a_copy():
    theirs = {"params": {"a": {"kernel": kernel(1, 2)}, "b": {"left": {"kernel": kernel(2, 2)}}}}
    ours = {"params": {"a": {"kernel": kernel(0, 2)}, "b": {s: {"kernel": kernel(0, 2)} for s in ("left", "right")}}}
    found, report = starting.take(ours, theirs, [("a", "b/left"), ("a", "b/right")])
    assert report.copied == ["params/b/right/kernel"]
    assert report.new == report.left_over == []
    np.testing.assert_array_equal(found["params"]["b"]["left"]["kernel"], 2)
    np.testing.assert_array_equal(found["params"]["b"]["right"]["kernel"], 1)


def test_empty_collections_stay():
    ours = {"params": OURS["params"], "batch_stats": {}}
    assert starting.take(ours, OURS)[0]["batch_stats"] == {}


def test_variables_are_placed_below_a_path_of_every_collection():
    theirs = {"params": {"fc1": {"bias": 1}}, "batch_stats": {"norm": {"mean": 2}}}
    assert starting.place(theirs, "") == theirs
    assert starting.place(theirs, "a/b") == {
        "params": {"a": {"b": {"fc1": {"bias": 1}}}},
        "batch_stats": {"a": {"b": {"norm": {"mean": 2}}}},
    }


def zeros_of(name: str) -> dict:
    """Variables of an experiment's model, all zero."""
    state = jax.eval_shape(functools.partial(init_state, make_recipe(experiment.load(name), 99, 2.0)))
    return jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype), {"params": state.params, "stats": state.batch_stats}
    )


def test_part_regressors_start_from_the_trunk_of_the_global_one():
    copies = experiment.load("dpr_glsr_300w").init_copies
    _, report = starting.take(zeros_of("dpr_glsr_300w"), zeros_of("dpr_gsr_300w"), copies)
    assert report.new == report.left_over == []
    # All but the three dense layers, whose widths differ; their two slopes are scalars.
    heads = [
        f"part_regressors/{part}/head/fc{i}/{leaf}" for part in PARTS for i in (1, 2, 3) for leaf in ("kernel", "bias")
    ]
    assert sorted(path.removeprefix("params/") for path in report.reshaped) == sorted(heads)
    assert len(report.copied) == 4 * (52 + 2 * 52 + 2 + 2 * 52)
    assert {path.split("/")[1] for path in report.taken} == {"global_reinit", "global_regress"}


def first_state(config: Config, workdir: pathlib.Path):
    recipe, training, _ = loop.prepare_run(config)
    with Checkpoints(directory_of(workdir), config, config.keep) as checkpoints:
        return loop.start_or_resume(recipe, training, checkpoints, distributed.make_mesh())[:2]


def short(config: Config, **fields: object) -> Config:
    return dataclasses.replace(config, epochs=1, **fields)


def test_a_run_starts_from_another_once_and_then_resumes(debug: Config, tmp_path: pathlib.Path, capsys):
    loop.fit(short(debug), tmp_path / "first")
    trained = open_model(tmp_path / "first").variables
    second = short(debug, init_from=str(tmp_path / "first"))
    step, state = first_state(second, tmp_path / "second")
    assert step == 0
    assert "taken      params/fc1 (2 arrays)" in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, trained["params"], state.params)
    jax.tree.map(np.testing.assert_array_equal, trained["batch_stats"], state.batch_stats)
    loop.fit(second, tmp_path / "second")
    capsys.readouterr()
    step, resumed = first_state(second, tmp_path / "second")
    assert step == 6
    assert "taken" not in capsys.readouterr().err
    assert np.abs(resumed.params["fc1"]["kernel"] - trained["params"]["fc1"]["kernel"]).max() > 0
    shutil.rmtree(tmp_path / "first")
    loop.fit(second, tmp_path / "second")  # What a run started from is no longer needed.


def state_of(config: Config) -> TrainState:
    """A state of arrays that differ, without compiling `init_state`."""
    shapes, rng = jax.eval_shape(lambda: init_state(make_recipe(config, 48, 2.0))), np.random.default_rng(0)
    return jax.device_put(jax.tree.map(lambda leaf: rng.uniform(size=leaf.shape).astype(leaf.dtype), shapes))


def test_a_file_of_weights_feeds_the_average_too(debug: Config, tmp_path: pathlib.Path):
    config = dataclasses.replace(debug, optim=dataclasses.replace(debug.optim, ema_decay=0.9))
    state = state_of(config)
    kernel = np.full(state.params["fc1"]["kernel"].shape, 0.5, np.float32)
    save_weights(tmp_path / "weights.npz", {"params": {"fc1": {"kernel": kernel}}}, {"model": "cnn"})
    started, report = starting.start_from(state, str(tmp_path / "weights.npz"))
    assert report.taken == ["params/fc1/kernel"]
    for params in (started.params, started.ema_params):
        np.testing.assert_array_equal(params["fc1"]["kernel"], 0.5)
        np.testing.assert_array_equal(params["fc2"]["kernel"], state.params["fc2"]["kernel"])


def weights_file(path: pathlib.Path, **kernels: np.ndarray) -> str:
    """A file of networks with one kernel each."""
    save_weights(path, {"params": {name: {"kernel": value} for name, value in kernels.items()}}, {"model": "cnn"})
    return str(path)


def test_several_sources_start_a_network_each(debug: Config, tmp_path: pathlib.Path):
    state = state_of(debug)
    shapes = jax.tree.map(np.shape, state.params)
    head = weights_file(tmp_path / "head.npz", fc1=kernel(1, *shapes["fc1"]["kernel"]), fc2=kernel(1, 3))
    block = weights_file(tmp_path / "block.npz", conv=kernel(2, *shapes["block1"]["conv"]["kernel"]))
    started, report = starting.start_from(state, ((head, ""), (block, "block1")))
    assert sorted(report.taken) == ["params/block1/conv/kernel", "params/fc1/kernel"]
    assert report.reshaped == report.left_over == ["params/fc2/kernel"]
    np.testing.assert_array_equal(started.params["fc1"]["kernel"], 1)
    np.testing.assert_array_equal(started.params["block1"]["conv"]["kernel"], 2)
    np.testing.assert_array_equal(started.params["fc1"]["bias"], state.params["fc1"]["bias"])


def test_the_later_of_two_sources_counts_and_copies_follow_places(debug: Config, tmp_path: pathlib.Path):
    state = state_of(debug)
    shape = state.params["fc1"]["kernel"].shape
    sources = [(weights_file(tmp_path / f"{value}.npz", fc1=kernel(value, *shape)), "") for value in (1, 2)]
    started, _ = starting.start_from(state, sources)
    np.testing.assert_array_equal(started.params["fc1"]["kernel"], 2)
    other, report = starting.start_from(state, [(sources[0][0], "other")], [("other/fc1", "fc1")])
    assert report.copied == ["params/fc1/kernel"]
    np.testing.assert_array_equal(other.params["fc1"]["kernel"], 1)


def test_each_of_several_sources_must_give_something(debug: Config, tmp_path: pathlib.Path):
    state = jax.eval_shape(lambda: init_state(make_recipe(debug, 48, 2.0)))
    head = weights_file(tmp_path / "head.npz", fc1=kernel(1, *state.params["fc1"]["kernel"].shape))
    astray = weights_file(tmp_path / "astray.npz", fc1=kernel(1, 3))
    with pytest.raises(ValueError, match=r"astray\.npz and the model have no array (.|\n)*left over  params/detector"):
        starting.start_from(state, ((head, ""), (astray, "detector")))


def test_sources_are_given_on_the_command_line_as_one_or_as_pairs():
    def parse(*argv: str) -> object:
        options = ["--experiment", "debug", "--init-from", *argv]
        config = overrides.parse_arguments(argparse.ArgumentParser(add_help=False), options)[1]
        assert experiment.from_json(experiment.to_json(config)) == config
        return config.init_from

    assert parse("runs/a") == "runs/a"
    assert parse("runs/a", "detector", "b.npz", "translator") == (("runs/a", "detector"), ("b.npz", "translator"))


def test_weights_with_nothing_in_common_and_files_that_are_none_end_with_an_explanation(
    debug: Config, tmp_path: pathlib.Path, capsys
):
    save_weights(tmp_path / "other.npz", {"params": {"stem": {"kernel": kernel(0, 3)}}}, {"model": "other"})
    (tmp_path / "text.npz").write_text("no weights")
    state = jax.eval_shape(lambda: init_state(make_recipe(debug, 48, 2.0)))
    with pytest.raises(ValueError, match=r"no array of equal path and shape in common:(.|\n)*params/stem \(1 arrays\)"):
        starting.start_from(state, str(tmp_path / "other.npz"))
    options = ["--experiment", "debug", "--data.dataset", debug.data.dataset, "--workdir", str(tmp_path / "run")]
    for source, message in (("text.npz", "no file of weights"), ("nowhere", "no such folder"), ("no.npz", "no.npz")):
        with pytest.raises(SystemExit) as caught:
            train.main([*options, "--init-from", str(tmp_path / source)])
        assert caught.value.code == 1
        assert message in capsys.readouterr().err
