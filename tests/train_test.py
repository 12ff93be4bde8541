import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from jaxlm import experiment, models, train
from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.runtime import distributed
from jaxlm.tasks.heatmaps import HeatMapTask
from jaxlm.tasks.reinitialisation import ReinitialisationTask
from jaxlm.training import feeding, loop
from jaxlm.training.objectives import Crops
from jaxlm.training.step import TrainState, init_state, make_recipe, to_items, train_step
from runs import assert_same_bits, changed, command, final_state

ROOT = pathlib.Path(__file__).parents[1]


def some_batch(config: Config) -> dict[str, np.ndarray]:
    faces = input_lib.open_faces(config.data.dataset, "train", "")
    batch = next(input_lib.train_batches(faces, config.data.batch_size, config.seed, 0, 1))
    return {name: batch[name] for name in ("image", "points", "visible")}


def run_steps(config: Config, count: int, mesh: jax.sharding.Mesh | None = None) -> TrainState:
    """The state after some steps on one batch, on the given devices."""
    recipe = make_recipe(config, 48, 2.0)
    mesh = mesh or distributed.make_mesh(config.fsdp)
    shardings = distributed.split_parameters(mesh, jax.eval_shape(functools.partial(init_state, recipe)))
    state = jax.jit(functools.partial(init_state, recipe), out_shardings=shardings)()
    step = jax.jit(
        functools.partial(train_step, recipe=recipe), out_shardings=(shardings, distributed.replicated(mesh))
    )
    batch = distributed.to_devices(some_batch(config), distributed.split_batch(mesh))
    for _ in range(count):
        state, metrics = step(state, batch)
    return jax.block_until_ready((state, metrics))


def assert_close(ours: object, theirs: object, **tolerance: float) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), ours, theirs)


def test_training_learns(debug: Config, tmp_path: pathlib.Path):
    assert loop.fit(changed(debug, epochs=8), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["split"] == "train"]
    assert losses[-1] < 0.5 * losses[0]
    assert [row["step"] for row in rows if row["split"] == "validation"] == list(range(6, 49, 6))


def test_a_stopped_run_goes_on_to_the_same_bits(debug: Config, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    assert loop.fit(debug, tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_STEPS_BETWEEN_REPORTS", 2)
        patch.setattr(distributed.StopSignal, "asked", lambda self, step: step in (2, 8))
        assert not loop.fit(debug, tmp_path / "stopped")
        assert final_state(debug, tmp_path / "stopped")[0] == 2
        assert not loop.fit(changed(debug, data={"cache": "none"}), tmp_path / "stopped")
        assert final_state(debug, tmp_path / "stopped")[0] == 8
    assert loop.fit(debug, tmp_path / "stopped")
    ours, theirs = final_state(debug, tmp_path / "straight"), final_state(debug, tmp_path / "stopped")
    assert ours[0] == theirs[0] == 18
    assert_same_bits(ours, theirs)
    rows = [json.loads(line) for line in (tmp_path / "stopped" / "metrics.jsonl").read_text().splitlines()]
    assert sorted({row["step"] for row in rows}) == [row["step"] for row in rows if row["split"] == "train"]


def test_streaming_and_device_cache_give_the_same_states(debug: Config, tmp_path: pathlib.Path):
    for cache in ("none", "device"):
        assert loop.fit(changed(debug, data={"cache": cache}, epochs=1), tmp_path / cache)
    config = changed(debug, epochs=1)
    assert_same_bits(final_state(config, tmp_path / "none"), final_state(config, tmp_path / "device"))


def test_scanned_steps_equal_single_ones(debug: Config):
    recipe = make_recipe(changed(debug, optim={"name": "sgd"}), 48, 2.0)
    step = functools.partial(train_step, recipe=recipe)
    faces = input_lib.open_faces(debug.data.dataset, "train", "")
    frames = {"image": faces.images(np.arange(48)), "points": faces.points[:48], "visible": faces.visible[:48]}
    indices = np.stack([input_lib.batch_indices(48, 8, i, 0) for i in range(4)]).astype(np.int32)
    state, call = jax.jit(functools.partial(init_state, recipe))(), jax.jit(step)
    scanned, metrics = jax.jit(functools.partial(feeding.scan_steps, step))(state, indices, frames)
    for row, loss in zip(indices, metrics["loss"], strict=True):
        state, values = call(state, {name: array[row] for name, array in frames.items()})
        np.testing.assert_allclose(loss, values["loss"], rtol=1e-4)
    assert_close(scanned, state, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "sepbn"])
def test_four_devices_equal_one(debug: Config, norm: str):
    config = changed(debug, model={"options": debug.model.options | {"norm": norm}}, optim={"name": "sgd"})
    axes = (AxisType.Auto, AxisType.Auto)
    one_device = jax.make_mesh((1, 1), ("data", "fsdp"), devices=jax.devices()[:1], axis_types=axes)
    ours, our_metrics = run_steps(config, 3)
    theirs, their_metrics = run_steps(config, 3, one_device)
    assert len(jax.tree.leaves(ours.params)[0].devices()) == 4
    assert_close(our_metrics, their_metrics, rtol=1e-4)
    assert_close(ours.params, theirs.params, rtol=1e-4, atol=1e-5)
    assert_close(ours.batch_stats, theirs.batch_stats, rtol=1e-4, atol=1e-5)


def test_parameters_split_over_devices_give_the_same_numbers(debug: Config):
    ours, _ = run_steps(changed(debug, fsdp=4, optim={"name": "sgd"}), 3)
    theirs, _ = run_steps(changed(debug, optim={"name": "sgd"}), 3)
    kernel = ours.params["fc1"]["kernel"]
    assert kernel.addressable_shards[0].data.size == kernel.size // 4
    assert_close(ours.params, theirs.params, rtol=1e-4, atol=1e-5)


def test_accumulated_parts_equal_the_whole_batch(debug: Config):
    plain = changed(debug, model={"options": debug.model.options | {"norm": "none"}}, optim={"name": "sgd"})
    ours, our_metrics = run_steps(changed(plain, optim={"accumulate": 2}), 3)
    theirs, their_metrics = run_steps(plain, 3)
    assert_close(our_metrics, their_metrics, rtol=1e-4)
    assert_close(ours.params, theirs.params, rtol=1e-4, atol=1e-5)


def test_bfloat16_keeps_float32_parameters_and_statistics(debug: Config):
    state, metrics = run_steps(changed(debug, dtype="bfloat16"), 2)
    assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.batch_stats))} == {jnp.dtype("float32")}
    _, reference = run_steps(debug, 2)
    np.testing.assert_allclose(metrics["loss"], reference["loss"], rtol=0.05)


def test_averaged_weights_follow_the_formula_and_are_what_is_evaluated(debug: Config):
    config = changed(debug, optim={"ema_decay": 0.5})
    recipe = make_recipe(config, 48, 2.0)
    step, batch = jax.jit(functools.partial(train_step, recipe=recipe)), some_batch(config)
    state = jax.jit(functools.partial(init_state, recipe))()
    expected = state.params
    for index in range(4):
        state, _ = step(state, batch)
        decay = min(0.5, (1 + index) / (10 + index))
        expected = jax.tree.map(lambda a, b, d=decay: d * a + (1 - d) * b, expected, state.params)
    assert_close(state.ema_params, expected, rtol=1e-5, atol=1e-6)
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


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(debug: Config, tmp_path: pathlib.Path, monkeypatch):
    config = changed(debug, epochs=4)
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


def test_a_learning_rate_that_explodes_is_noticed(debug: Config, tmp_path: pathlib.Path):
    options = {"name": "sgd", "learning_rate": 1e12, "clip_norm": None, "warmup_epochs": 0.0}
    with pytest.raises(FloatingPointError, match="a lower --optim"):
        loop.fit(changed(debug, optim=options, model={"options": debug.model.options | {"norm": "none"}}), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"batch_size": 6}}, "make it a multiple of 4"),
        ({"data": {"batch_size": 64}}, "lower --data.batch-size"),
        ({"fsdp": 3}, "fsdp = 3 does not divide the 4 devices"),
        ({"data": {"dataset": "nowhere.npz"}}, "no such file"),
        ({"data": {"train_split": "trian"}}, "train, test"),
        ({"data": {"scheme": "cofw29"}}, "known conversions"),
    ],
)
def test_settings_that_cannot_work_are_refused(debug: Config, tmp_path: pathlib.Path, change: dict, message: str):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        loop.fit(changed(debug, **change), tmp_path)


def test_segments_end_at_boundaries():
    assert list(loop.segments(0, 10, 4, 6)) == [(0, 4), (4, 6), (6, 10)]
    assert list(loop.segments(5, 14, 4, 6)) == [(5, 6), (6, 10), (10, 12), (12, 14)]


def test_a_workdir_of_another_run_is_refused_with_the_differences(pack: pathlib.Path, tmp_path: pathlib.Path, capsys):
    options = command(pack, tmp_path)[3:]
    train.main(options)
    shown = capsys.readouterr().out
    assert "curves.png" in shown
    assert "worst.png" in shown
    with pytest.raises(SystemExit) as caught:
        train.main([*options, "--optim.learning-rate", "0.5"])
    assert caught.value.code == 1
    assert "optim.learning_rate: 0.003 here, 0.5 asked for" in capsys.readouterr().err


def test_the_config_beside_the_checkpoints_is_the_one_that_was_run(debug: Config, tmp_path: pathlib.Path):
    loop.fit(changed(debug, epochs=1), tmp_path)
    assert experiment.from_json((tmp_path / "config.json").read_text()) == changed(debug, epochs=1)


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
