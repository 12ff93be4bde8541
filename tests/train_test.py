import functools
import json
import pathlib
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from jaxlm import checkpoints, experiment, models, train
from jaxlm.config import AugmentConfig, Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.runtime import distributed
from jaxlm.tasks.heatmaps import HeatMapTask
from jaxlm.tasks.reinitialisation import ReinitialisationTask
from jaxlm.training import feeding, loop
from jaxlm.training.objectives import Crops
from jaxlm.training.step import TrainState, init_state, make_recipe, to_items, train_step
from runs import assert_same_bits, changed, command, final_state
from tolerances import assert_float32_close, assert_float32_trees_close, float32_error

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def config(debug: Config) -> Config:
    """Long enough to learn something."""
    return changed(debug, epochs=8)


@pytest.fixture(scope="module")
def straight(config: Config, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a run that nothing stopped."""
    workdir = tmp_path_factory.mktemp("straight")
    loop.fit(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def plain(debug: Config) -> Config:
    """Large steps along the gradient of faces as they are: what differs in it differs in the parameters."""
    optim = {"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 0.0, "clip_norm": None}
    return changed(debug, optim=optim, augment=AugmentConfig())


# Gradients sum over 8 faces of 32 x 32 pixels, in each of three steps.
DEPTH = 3 * 8 * 32 * 32


def some_batch(config: Config) -> dict[str, np.ndarray]:
    faces = input_lib.open_faces(config.data.dataset, "train", "")
    batch = next(input_lib.train_batches(faces, config.data.batch_size, config.seed, 0, 1))
    return {name: batch[name] for name in ("image", "points", "visible")}


def three_steps(config: Config, mesh: jax.sharding.Mesh | None = None) -> tuple[TrainState, dict[str, jax.Array]]:
    """The state after three steps on one batch, on the given devices, and the metrics of the last."""
    recipe = make_recipe(config, 48, 2.0)
    mesh = mesh or distributed.make_mesh(config.fsdp)
    shardings = distributed.split_parameters(mesh, jax.eval_shape(functools.partial(init_state, recipe)))
    state = jax.jit(functools.partial(init_state, recipe), out_shardings=shardings)()
    step = jax.jit(
        functools.partial(train_step, recipe=recipe), out_shardings=(shardings, distributed.replicated(mesh))
    )
    batch = distributed.to_devices(some_batch(config), distributed.split_batch(mesh))
    for _ in range(3):
        state, metrics = step(state, batch)
    return jax.block_until_ready((state, metrics))


@pytest.fixture(scope="module")
def four_devices(plain: Config) -> tuple[TrainState, dict[str, jax.Array]]:
    """What three plain steps give on the four devices, each of which holds all parameters."""
    return three_steps(plain)


def rows_of(workdir: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_training_learns(straight: pathlib.Path):
    losses = [row["loss"] for row in rows_of(straight) if row["split"] == "train"]
    assert losses[-1] < 0.5 * losses[0]
    assert [row["step"] for row in rows_of(straight) if row["split"] == "validation"] == list(range(6, 49, 6))


def test_the_config_beside_the_checkpoints_is_the_one_that_was_run(config: Config, straight: pathlib.Path):
    assert experiment.from_json((straight / "config.json").read_text()) == config


def test_a_stopped_run_goes_on_to_the_same_bits(
    config: Config,
    straight: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    """By Ctrl-C and by SIGTERM, with the statuses that schedulers know."""
    signals = {2: signal.SIGINT, 32: signal.SIGTERM}
    asked = distributed.StopSignal.asked

    def asked_after_a_signal(self: distributed.StopSignal, step: int) -> bool:
        if step in signals:
            signal.raise_signal(signals[step])
        return asked(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_STEPS_BETWEEN_REPORTS", 2)
        patch.setattr(distributed.StopSignal, "asked", asked_after_a_signal)
        with pytest.raises(SystemExit, match="130"):
            loop.fit(config, tmp_path)
        assert f"the same command goes on from there. Run: {tmp_path}" in capsys.readouterr().err
        assert final_state(config, tmp_path)[0] == 2
        with pytest.raises(SystemExit, match="143"):
            loop.fit(config, tmp_path)
        assert final_state(config, tmp_path)[0] == 32
    loop.fit(config, tmp_path)
    ours, theirs = final_state(config, straight), final_state(config, tmp_path)
    assert ours[0] == theirs[0] == 48
    assert_same_bits(ours, theirs)
    rows = rows_of(tmp_path)
    assert sorted({row["step"] for row in rows}) == [row["step"] for row in rows if row["split"] == "train"]


def test_a_run_goes_on_with_streamed_faces(config: Config, straight: pathlib.Path, tmp_path: pathlib.Path):
    """The faces of its last epoch are those that a run from device memory has; XLA sums them in another order."""
    shutil.copytree(straight, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "48")
    loop.fit(changed(config, data={"cache": "none"}), tmp_path / "run")
    ours, theirs = ([row for row in rows_of(run) if row["step"] > 42] for run in (straight, tmp_path / "run"))
    # The mean over all pixels of 8 faces, of each of six steps.
    np.testing.assert_allclose(theirs[0]["loss"], ours[0]["loss"], rtol=float32_error(depth=2 * DEPTH))


def test_scanned_steps_equal_single_ones(plain: Config):
    """Three steps on batches of their own."""
    recipe = make_recipe(plain, 48, 2.0)
    step = functools.partial(train_step, recipe=recipe)
    faces = input_lib.open_faces(plain.data.dataset, "train", "")
    frames = {"image": faces.images(np.arange(48)), "points": faces.points[:48], "visible": faces.visible[:48]}
    indices = np.stack([input_lib.batch_indices(48, 8, i, 0) for i in range(3)]).astype(np.int32)
    state, call = jax.jit(functools.partial(init_state, recipe))(), jax.jit(step)
    scanned, metrics = jax.jit(functools.partial(feeding.scan_steps, step))(state, indices, frames)
    for row, loss in zip(indices, metrics["loss"], strict=True):
        state, values = call(state, {name: array[row] for name, array in frames.items()})
        assert_float32_close(loss, values["loss"], DEPTH)
    assert_float32_trees_close(scanned, state, DEPTH)


def test_four_devices_equal_one(plain: Config, four_devices: tuple):
    ours, our_metrics = four_devices
    axes = (AxisType.Auto, AxisType.Auto)
    one_device = jax.make_mesh((1, 1), ("data", "fsdp"), devices=jax.devices()[:1], axis_types=axes)
    theirs, their_metrics = three_steps(plain, one_device)
    assert len(jax.tree.leaves(ours.params)[0].devices()) == 4
    assert_float32_trees_close(our_metrics, their_metrics, DEPTH)
    assert_float32_trees_close(ours.params, theirs.params, DEPTH)
    assert_float32_trees_close(ours.batch_stats, theirs.batch_stats, DEPTH)


def test_parameters_split_over_devices_give_the_same_numbers(plain: Config, four_devices: tuple):
    ours, _ = three_steps(changed(plain, fsdp=4))
    kernel = ours.params["fc1"]["kernel"]
    assert kernel.addressable_shards[0].data.size == kernel.size // 4
    assert_float32_trees_close(ours.params, four_devices[0].params, DEPTH)


def test_accumulated_parts_equal_the_whole_batch(plain: Config):
    unnormalised = changed(plain, model={"options": plain.model.options | {"norm": "none"}})
    ours, our_metrics = three_steps(changed(unnormalised, optim={"accumulate": 2}))
    theirs, their_metrics = three_steps(unnormalised)
    assert_float32_trees_close(our_metrics, their_metrics, DEPTH)
    assert_float32_trees_close(ours.params, theirs.params, DEPTH)


def test_bfloat16_keeps_float32_parameters_and_statistics(plain: Config, four_devices: tuple):
    state, metrics = three_steps(changed(plain, dtype="bfloat16"))
    assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.batch_stats))} == {jnp.dtype("float32")}
    # Its epsilon is 65,536 times that of float32; outputs are sums of 2,048 products and more, one after another.
    np.testing.assert_allclose(metrics["loss"], four_devices[1]["loss"], rtol=0.05)


def test_averaged_weights_follow_the_formula_and_are_what_is_evaluated(plain: Config):
    config = changed(plain, optim={"ema_decay": 0.5})
    recipe = make_recipe(config, 48, 2.0)
    step, batch = jax.jit(functools.partial(train_step, recipe=recipe)), some_batch(config)
    state = jax.jit(functools.partial(init_state, recipe))()
    expected = jax.device_get(state.params)
    for index in range(4):
        state, _ = step(state, batch)
        decay = np.float32(min(0.5, (1 + index) / (10 + index)))
        expected = jax.tree.map(lambda a, b, d=decay: d * a + (1 - d) * np.asarray(b), expected, state.params)
    assert_float32_trees_close(state.ema_params, expected, depth=4 * 3)
    model, rest = to_items(state)
    assert_same_bits(model["params"], state.ema_params)
    assert_same_bits(rest["params"], state.params)


def test_the_temperature_reaches_the_model(debug: Config):
    losses = []
    for temperature in (1.0, 1000.0):
        recipe = make_recipe(changed(debug, temperature=temperature, augment={"probability": 0.0}), 48, 2.0)
        state = jax.jit(functools.partial(init_state, recipe))()
        noisy = jax.tree.map(lambda leaf: leaf + jax.random.normal(jax.random.key(1), leaf.shape), state.params)
        faces = some_batch(debug)
        crops = Crops(jnp.asarray(faces["image"], jnp.float32)[:, :32, :32] / 255, faces["points"], faces["visible"])
        loss = jax.jit(recipe.objective.loss)
        losses.append(loss(noisy, state.batch_stats, crops, jax.random.key(0), state.step)[0])
    assert abs(losses[0] - losses[1]) > 1e-4 * losses[0]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(
    config: Config, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    real = feeding.cached

    def broken_after_epoch_one(*args: object) -> feeding.Advance:
        advance = real(*args)

        def advance_or_break(state: TrainState, start: int, stop: int) -> tuple:
            state, values = advance(state, start, stop)
            return state, values | {"loss": np.where(np.arange(start, stop) >= 9, np.nan, values["loss"])}

        return advance_or_break

    monkeypatch.setattr(feeding, "cached", broken_after_epoch_one)
    with pytest.raises(FloatingPointError, match=r"loss of step 9 is nan.*last good checkpoint"):
        loop.fit(config, tmp_path)
    assert final_state(config, tmp_path)[0] == 6


def test_a_learning_rate_that_explodes_is_noticed(plain: Config, tmp_path: pathlib.Path):
    unnormalised = {"options": plain.model.options | {"norm": "none"}}
    with pytest.raises(FloatingPointError, match="a lower --optim"):
        loop.fit(changed(plain, optim={"learning_rate": 1e12}, model=unnormalised), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"batch_size": 6}}, "make it a multiple of 4"),
        ({"data": {"batch_size": 64}}, "lower --data.batch-size"),
        ({"epochs": 10**9}, "steps are more steps than can be counted"),
        ({"fsdp": 3}, "fsdp = 3 does not divide the 4 devices"),
        ({"data": {"dataset": "nowhere.npz"}}, "no such file"),
        ({"data": {"train_split": "trian"}}, "train, test"),
        ({"data": {"scheme": "cofw29"}}, "known conversions"),
    ],
)
def test_settings_that_cannot_work_are_refused(debug: Config, tmp_path: pathlib.Path, change: dict, message: str):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        loop.fit(changed(debug, **change), tmp_path)


@pytest.mark.parametrize("name", ["[2026] runs", "a[b]", "[[]"])
def test_a_folder_that_orbax_takes_for_a_pattern_is_refused_before_the_work(
    tmp_path: pathlib.Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Its checkpoints would be without what Orbax finds by a pattern, and the whole run would be lost."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        train.main(["--experiment", "debug", "--workdir", f"{name}/run"])
    (tmp_path / name).mkdir()
    monkeypatch.chdir(name)
    with pytest.raises(SystemExit):
        train.main(["--experiment", "debug", "--workdir", "run"])
    assert capsys.readouterr().err.count(f"with [ and ] in its name, '{name}'") == 2
    assert list(tmp_path.rglob("*")) == [tmp_path / name]


@pytest.mark.parametrize("name", ["a*b", "a?", "{a,b}", "[a", "a]", "a b"])
def test_other_folders_are_no_patterns(tmp_path: pathlib.Path, name: str):
    checkpoints.check_name(tmp_path / name / "run")


def test_segments_end_at_boundaries():
    assert list(loop.segments(0, 10, 4, 6)) == [(0, 4), (4, 6), (6, 10)]
    assert list(loop.segments(5, 14, 4, 6)) == [(5, 6), (6, 10), (10, 12), (12, 14)]


def test_the_command_tells_what_a_run_gave_and_refuses_the_workdir_of_another_one(
    pack: pathlib.Path, straight: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    options = command(pack, straight, "--model.options.widths", "4", "--epochs", "8")[3:]
    train.main(options)
    shown = capsys.readouterr().out
    assert "curves.png" in shown
    assert "worst.png" in shown
    with pytest.raises(SystemExit) as caught:
        train.main([*options, "--optim.learning-rate", "0.5"])
    assert caught.value.code == 1
    assert "optim.learning_rate: 0.003 here, 0.5 asked for" in capsys.readouterr().err


def test_a_split_for_validation_that_training_does_not_use_is_told(debug: Config, tmp_path: pathlib.Path, capsys):
    faces = input_lib.open_faces(debug.data.dataset, "train", "").take(np.arange(4))
    file = str(tmp_path / "a.npz")
    input_lib.write_pack(file, {"train": faces, "val": faces, "test": faces})
    train.tell_unused_splits(changed(debug, data={"dataset": file}))
    line = f"Training does not use the split val of {file}: it validates by {debug.data.validation_percent} % of train,"
    assert capsys.readouterr().out == f"{line} held out.\n"
    train.tell_unused_splits(changed(debug, data={"dataset": file, "train_split": "train+val[:2]"}))
    assert not capsys.readouterr().out


def test_a_degenerate_map_stops_the_run_and_names_the_step(tmp_path: pathlib.Path):
    values = {"degenerate": np.asarray([0, 0, 0.25]), "loss": np.zeros(3)}
    with pytest.raises(
        FloatingPointError, match=r"in step 42 the affine maps predicted for 25% .*--optim.learning-rate"
    ):
        loop.check_alarms(values, ReinitialisationTask.alarms, 40, tmp_path)
    loop.check_alarms(values | {"degenerate": np.zeros(3)}, ReinitialisationTask.alarms, 40, tmp_path)
    loop.check_alarms({"loss": np.zeros(3)}, HeatMapTask.alarms, 40, tmp_path)


@pytest.mark.parametrize("name", models.DETECTORS)
def test_only_models_with_attention_take_a_temperature(name: str):
    assert models.takes_temperature(models.build(name, 98, {}, "float32")) == (name == "cnn")
