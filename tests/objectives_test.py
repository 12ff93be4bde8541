"""Objectives: a translator trains, stops, resumes and is judged as detectors are; what its figures mean."""

import dataclasses
import functools
import importlib
import json
import pathlib
from collections.abc import Callable, Iterator

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.typing import DTypeLike

import runs
from jaxlm import experiment, models, tasks, train
from jaxlm.checkpoints import Trained, open_model
from jaxlm.config import AugmentConfig, Config, ModelConfig, TaskConfig
from jaxlm.data_pipelines import input as input_lib
from jaxlm.evaluation import judging
from jaxlm.landmarks.schemes import WFLW98
from jaxlm.models import save_weights, vgg
from jaxlm.models.cnn import CNN
from jaxlm.models.vunet import VUNetOutputs
from jaxlm.models.vunet.layers import WeightNormConv, draw_latents
from jaxlm.runtime import distributed
from jaxlm.styles import feature_networks
from jaxlm.tasks import translation_losses
from jaxlm.training import feeding, loop, objectives
from jaxlm.training import step as step_lib
from jaxlm.training.objectives import Crops
from jaxlm.training.objectives.detection import DetectionObjective
from jaxlm.training.objectives.translation import TranslationObjective
from jaxlm.training.step import TrainState, init_state, make_recipe
from tolerances import assert_float32_close, assert_float32_trees_close, float32_error

EPOCHS, STEPS_PER_EPOCH = 12, 6


class TinyVUNet(nn.Module):
    """Stands for VUNet, whose gradients take long to compile: latents of pixels, joined with structures, give pixels.

    Layers start from data, latents are drawn and dropout is on while training, as there.
    """

    width: int = 4
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, structures: jax.Array, *, train: bool) -> VUNetOutputs:
        posterior, prior, latents = [], [], []
        for side in (4, 8):
            for means, x in ((posterior, images), (prior, structures)):
                small = jax.image.resize(x, (len(x), side, side, x.shape[-1]), "bilinear")
                means.append(WeightNormConv(self.width, size=1)(small))
            latent = draw_latents(self, posterior[-1]) if train else posterior[-1]
            latents.append(jax.image.resize(latent, (*images.shape[:3], self.width), "nearest"))
        joined = nn.Dropout(0.05)(jnp.concatenate([*latents, structures], axis=-1), deterministic=not train)
        return VUNetOutputs(WeightNormConv(3, size=1)(joined), tuple(posterior), tuple(prior))

    def transfer(self, styles: jax.Array, structures: jax.Array) -> jax.Array:
        pairs = jnp.repeat(styles, len(structures), axis=0), jnp.tile(structures, (len(styles), 1, 1, 1))
        return self(*pairs, train=False).images.reshape(len(styles), len(structures), *styles.shape[1:])


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for table in (models.MODELS, models.TRANSLATORS):
            patch.setitem(table, "vunet", TinyVUNet)
        patch.setattr("jaxlm.styles.validation._BATCH_SIZE", 8)  # One program, where faces fill one and a half batches.
        yield


@pytest.fixture(scope="module")
def config(pack: pathlib.Path) -> Config:
    """The recipe of vunet_synthetic with the tiny model at 8 px; dots, plain crops and SGD compile fastest."""
    config = importlib.import_module("experiments.vunet_synthetic").config()
    config = dataclasses.replace(
        config,
        model=ModelConfig("vunet", 8),
        task=TaskConfig("translation", {"structure": "dots"}),
        data=dataclasses.replace(config.data, dataset=str(pack), batch_size=8, validation_percent=20, cache="device"),
        augment=AugmentConfig(),
        optim=dataclasses.replace(config.optim, name="sgd", learning_rate=3e-2, ema_decay=0.9),
        epochs=EPOCHS,
        eval_every=4,
    )
    return experiment.spell_out(config)


@pytest.fixture(scope="module")
def straight(config: Config, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a run that nothing stopped."""
    workdir = tmp_path_factory.mktemp("straight")
    loop.fit(config, workdir)
    return workdir


def rows_of(workdir: pathlib.Path, split: str) -> list[dict]:
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["split"] == split]


def held_out(config: Config) -> input_lib.Faces:
    return loop.prepare_run(config)[2]


def test_the_loss_falls_and_the_best_step_is_that_of_the_smallest_reconstruction_error(
    config: Config, straight: pathlib.Path
):
    losses = [row["perceptual"] for row in rows_of(straight, "train")]
    assert losses[-1] < 0.9 * losses[0]
    validated = rows_of(straight, "validation")
    assert [row["step"] for row in validated] == [24, 48, 72]
    for row in validated:
        assert row["reconstruction"] == row["perceptual"] + row["l1"]
    best = min(validated, key=lambda row: row["reconstruction"])
    assert open_model(straight).step == best["step"]
    assert objectives.kind(config).measure.key == "reconstruction"


def test_a_stopped_run_goes_on_to_the_same_bits(
    config: Config, straight: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_STEPS_BETWEEN_REPORTS", 10)
        patch.setattr(distributed.StopSignal, "asked", lambda self, step: step == 10)
        with pytest.raises(SystemExit, match="143"):
            loop.fit(config, tmp_path)
    assert runs.final_state(config, tmp_path)[0] == 10
    loop.fit(config, tmp_path)
    ours, theirs = runs.final_state(config, straight), runs.final_state(config, tmp_path)
    assert ours[0] == theirs[0] == EPOCHS * STEPS_PER_EPOCH
    runs.assert_same_bits(ours, theirs)


def test_parameters_split_over_devices_give_the_same_numbers(config: Config, tmp_path: pathlib.Path):
    state = jax.device_get(step_lib.from_items(*runs.final_state(config, tmp_path)[1:]))
    assert state.step == 0
    expected = one_step(config, state)
    split = one_step(dataclasses.replace(config, fsdp=4), state)
    kernel = split[0].params["WeightNormConv_0"]["v"]
    assert kernel.addressable_shards[0].data.size == kernel.size // 4
    # Of the loss and of its gradient: means over 64 pixels of 8 faces behind ten operations.
    assert_float32_close(split[1]["loss"], expected[1]["loss"], depth=8 * 64 + 10)
    assert_float32_trees_close(split[0].params, expected[0].params, depth=8 * 64 + 10)


def one_step(config: Config, state: TrainState) -> tuple[TrainState, dict]:
    """The state and the metrics after a step, on all devices; with the program of a run."""
    recipe, training, _ = loop.prepare_run(config)
    mesh = distributed.make_mesh(config.fsdp)
    shardings = distributed.split_parameters(mesh, state)
    step = functools.partial(step_lib.train_step, recipe=recipe)
    advance = feeding.cached(step, training, config, mesh, shardings)
    return advance(jax.device_put(state, shardings), 0, 1)


def test_every_part_of_a_batch_draws_by_a_key_of_its_own():
    def loss(params: jax.Array, batch_stats: dict, crops: Crops, key: jax.Array) -> tuple:
        noise = jax.random.normal(key, (4,))
        return params @ noise, ({"loss": jnp.var(noise)}, batch_stats)

    crops = Crops(jnp.zeros((8, 2, 2, 3)), jnp.zeros((8, 1, 2)), jnp.zeros((8, 1)))
    state = TrainState(jnp.asarray(0), jnp.zeros(4), {}, (), None)
    key = jax.random.key(0)
    gradients = jax.jit(step_lib._accumulated_gradients, static_argnums=(0, 4))
    whole, *_ = gradients(loss, state, crops, key, 1)
    parts, *_ = gradients(loss, state, crops, key, 2)
    np.testing.assert_array_equal(whole, jax.random.normal(key, (4,)))
    expected = np.mean([jax.random.normal(part, (4,)) for part in jax.random.split(key)], axis=0)
    assert_float32_close(parts, expected, depth=2)


def test_validation_counts_every_face_once(config: Config, straight: pathlib.Path):
    """However many fill a batch; the figures are those of all faces at once, by hand."""
    trained, faces = open_model(straight), held_out(config)
    objective = TranslationObjective.of(config, STEPS_PER_EPOCH)
    assert len(faces) % 8
    figures = objective.validator(faces.margin, distributed.make_mesh())(trained.variables, faces)

    everything = {"image": faces.images(np.arange(len(faces))), "points": faces.points, "visible": faces.visible}

    @jax.jit
    def by_hand(variables: dict, everything: dict) -> tuple[jax.Array, VUNetOutputs, jax.Array]:
        crops = step_lib._plain_crops(everything, make_recipe(config, 48, faces.margin))
        structures = objective.task.structures(crops.points, objective.scheme, 8)
        outputs = trained.model.apply({"params": variables["params"]}, crops.images, structures, train=False)
        scales = translation_losses.LayerTerms(**variables["batch_stats"]["scales"])
        network = feature_networks.ColouredPyramid()
        return crops.images, outputs, translation_losses.perceptual(outputs.images, crops.images, network, scales, 0.1)

    images, outputs, perceptual = jax.device_get(by_hand(trained.variables, everything))
    # Sums over all of a face's pixels, or all the numbers of a latent, and all faces.
    close = functools.partial(np.testing.assert_allclose, rtol=float32_error(depth=len(faces) * 8 * 8 * 4))
    close(figures["l1"], np.mean(np.abs(outputs.images - images)) * 128 / 255)
    for side, q, p in zip((4, 8), outputs.posterior, outputs.prior, strict=True):
        close(figures[f"kl_{side}px"], np.mean(0.5 * np.sum((q - p) ** 2, axis=(1, 2, 3))))
        assert figures[f"active_{side}px"] == np.mean(np.var(q, axis=0) > 0.01)
    close(figures["perceptual"], np.mean(perceptual))


def test_the_report_prints_its_protocol_and_draws_transfers(
    config: Config, straight: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    train.report_held_out(config, straight)
    printed = capsys.readouterr().out
    assert f"validation: {len(held_out(config))} faces, crops of 1.2 boxes" in printed
    assert "dots of wflw98" in printed
    folder = next((straight / "evaluation").iterdir())
    figures = json.loads((folder / "metrics.json").read_text())["figures"]
    best = min(rows_of(straight, "validation"), key=lambda row: row["reconstruction"])
    assert figures["reconstruction"] == pytest.approx(best["reconstruction"], rel=float32_error(depth=1000))
    count = min(8, len(held_out(config)))
    assert cv2.imread(str(folder / "transfer.png")).shape[:2] == ((count + 1) * 132 + 4,) * 2


def test_the_command_that_evaluates_detectors_says_what_a_translator_is(straight: pathlib.Path):
    with pytest.raises(ValueError, match=r"vunet with task translation finds no landmarks.*jaxlm.disentangle judges"):
        judging.evaluate_and_write(straight)


def test_a_translator_wants_faces_to_start_from(config: Config):
    recipe = make_recipe(config, 48, 2.0)
    with pytest.raises(ValueError, match="statistics of real faces, and was given none"):
        init_state(recipe)
    few = {"image": jnp.zeros((3, 64, 64, 3), jnp.uint8), "points": jnp.zeros((3, 98, 2)), "visible": jnp.ones((3, 98))}
    with pytest.raises(ValueError, match="init wants 4 different ones at least, best 16, and got 3"):
        jax.eval_shape(functools.partial(init_state, recipe), few)


def test_the_published_loss_adds_the_sum_of_all_divergences_to_terms_without_scales(
    config: Config, monkeypatch: pytest.MonkeyPatch
):
    options = {"structure": "dots", "loss": "published", "warmup": "published"}
    objective = TranslationObjective.of(dataclasses.replace(config, task=TaskConfig("translation", options)), 10)
    rng = np.random.default_rng(0)
    images, points = rng.uniform(-1, 1, (4, 8, 8, 3)), rng.uniform(0, 7, (4, 98, 2))
    crops = Crops(jnp.asarray(images, jnp.float32), jnp.asarray(points, jnp.float32), jnp.ones((4, 98), bool))
    monkeypatch.setattr(translation_losses, "layer_scales", None)  # Which its start does not ask for.
    shapes = jax.eval_shape(objective.init, jax.random.key(0), crops)["params"]
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    scales = translation_losses.published_scales(objective.network, crops.images)
    last = jnp.asarray(10 * EPOCHS)  # Where the KL divergence has its whole weight.
    loss, (values, _) = jax.jit(objective.loss)(
        params, translation_losses.pack_perception(objective.network, scales), crops, jax.random.key(1), last
    )
    assert values["beta"] == 1
    assert_float32_close(loss, values["perceptual"] + values["kl_4px"] + values["kl_8px"], depth=4 * 8 * 8 * 4)


@pytest.mark.parametrize(
    ("model", "task", "message"),
    [
        ("vunet", "coordinates", "not coordinates for vunet"),
        ("cnn", "translation", "model cnn with task translation finds no landmarks"),
    ],
)
def test_models_and_tasks_that_do_not_fit_are_refused(model: str, task: str, message: str):
    with pytest.raises(ValueError, match=message):
        tasks.check(TaskConfig(task), ModelConfig(model))


@pytest.mark.parametrize("name", ["debug", "shufflenet_300w", "dpr_gsr_300w"])
def test_detectors_are_judged_by_their_nme(name: str):
    assert objectives.kind(experiment.load(name)) is DetectionObjective
    assert DetectionObjective.measure.show({"nme": 0.05437}) == "NME (%) 5.437"


@pytest.mark.parametrize("kind", ["vgg", "detector"])
def test_weights_of_a_feature_network_are_part_of_the_state(
    kind: str, config: Config, debug: Config, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """And it is these that the loss compares by: a run goes on with those it began with."""
    source, size = tmp_path / "vgg19.npz", 16
    if kind == "vgg":
        weights = drawn(vgg.VGG(width=1).init, jnp.zeros((1, 32, 32, 3)))
        save_weights(source, weights, {"model": "vgg19", "options": {"width": 1}})
    else:
        model = CNN(98, widths=(4, 8), head_width=4)
        weights = drawn(functools.partial(model.init, train=False), jnp.zeros((1, 32, 32, 3)))
        trained = Trained(debug, model, weights, 1, WFLW98)
        monkeypatch.setattr("jaxlm.checkpoints.open_model", {str(tmp_path): trained}.__getitem__)
        source = tmp_path
    options = {"structure": "dots", "features": str(source)}
    config = dataclasses.replace(
        config, model=dataclasses.replace(config.model, input_size=size), task=TaskConfig("translation", options)
    )
    objective = TranslationObjective.of(config, STEPS_PER_EPOCH)
    layers = ["conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2"] if kind == "vgg" else ["block1", "block2"]
    crops = Crops(jnp.zeros((4, size, size, 3)), jnp.zeros((4, 98, 2)), jnp.ones((4, 98)))
    stored = jax.eval_shape(objective.init, jax.random.key(0), crops)["batch_stats"]
    assert sorted(stored["scales"]["content"]) == [*layers, "input"]
    assert jax.tree.map(np.shape, stored["features"]["variables"]) == jax.tree.map(np.shape, weights)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, weights)
    kept = {"features": {"variables": doubled}, "scales": stored["scales"]}
    network, _ = translation_losses.unpack_perception(objective.network, kept)
    jax.tree.map(np.testing.assert_array_equal, dict(network.variables), doubled)


def drawn(init: Callable[..., dict], images: jax.Array) -> dict:
    """Random weights of a model, without compiling its `init`."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(init, jax.random.key(0), images)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
