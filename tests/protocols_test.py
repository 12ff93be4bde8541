"""Several data sets in one model, each with a head of its own or mixed into one."""

import dataclasses
import functools
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import Landmarker, checkpoints, evaluate, experiment, landmarks, tasks
from jaxlm.config import AugmentConfig, Config, ModelConfig, TaskConfig
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines.faces import Faces
from jaxlm.evaluation import inference, judging
from jaxlm.images import augment
from jaxlm.landmarks import find_head, heads_of, load_scheme
from jaxlm.landmarks.scheme import side_by_side
from jaxlm.landmarks.schemes import AFLW19, IBUG68, WFLW98
from jaxlm.runtime import distributed
from jaxlm.tasks import registry
from jaxlm.training import loop
from jaxlm.training.objectives import Crops
from jaxlm.training.step import init_state, make_recipe
from tiny_faces import synthetic_faces
from tolerances import assert_float32_close, assert_float32_trees_close

BOTH = "wflw98+ibug68"


def changed(config: Config, **data: Any) -> Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **data))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A packed set of other people's faces with 68 points, which has no split but `train`."""
    faces = synthetic_faces(12, "test").in_scheme(IBUG68)
    groups = tuple(f"other {group}" for group in faces.groups)
    file = tmp_path_factory.mktemp("other") / "other.npz"
    input_lib.write_pack(file, {"train": dataclasses.replace(faces, dataset="other", groups=groups)})
    return file


@pytest.fixture
def heads(debug: Config, other: pathlib.Path) -> Config:
    """The debug experiment with a head for each of both sets."""
    return changed(debug, dataset=f"{debug.data.dataset}+{other}", scheme=BOTH)


def test_schemes_side_by_side_mirror_within_themselves():
    both = side_by_side([WFLW98, IBUG68, IBUG68])
    flip = np.asarray(both.flip)
    np.testing.assert_array_equal(flip[flip], np.arange(98 + 68 + 68))
    np.testing.assert_array_equal(flip[:98], WFLW98.flip)
    np.testing.assert_array_equal(flip[98:166] - 98, IBUG68.flip)
    np.testing.assert_array_equal(flip[166:] - 166, IBUG68.flip)
    assert load_scheme("wflw98+ibug68+ibug68") == both


def test_names_are_split_except_in_a_path_that_exists(tmp_path: pathlib.Path):
    file = tmp_path / "a+b.toml"
    assert len(landmarks.split_names(str(file))) == 2
    file.write_text('name = "mine"\ncount = 3\n')
    assert landmarks.split_names(str(file)) == [str(file)]
    assert (load_scheme(str(file)).name, load_scheme(str(file)).num_points) == ("mine", 3)


def test_every_set_has_a_head_of_its_own_or_all_share_one():
    wflw, ibug = heads_of("wflw/384px+packs/300w.npz", BOTH)
    assert (wflw.name, wflw.dataset, wflw.scheme, wflw.points) == ("wflw", "wflw/384px", WFLW98, slice(0, 98))
    assert (ibug.name, ibug.dataset, ibug.points) == ("300w", "packs/300w.npz", slice(98, 166))
    assert [head.points for head in heads_of("a+b", "ibug68+ibug68")] == [slice(0, 68), slice(68, 136)]
    assert [head.points for head in heads_of("a+b", "ibug68")] == [slice(0, 68), slice(0, 68)]
    assert find_head("a+b", BOTH).name == "a"
    assert find_head("a+b", BOTH, "b").scheme == IBUG68


@pytest.mark.parametrize(
    ("dataset", "scheme", "message"),
    [
        ("wflw/256px+ytf68+wflw/384px", BOTH, "names wflw more than once"),
        ("a+b+c", BOTH, r"names 2 schemes .* and data.dataset 3 sets"),
        ("a", BOTH, r"names 2 schemes .* and data.dataset 1 sets"),
        ("a+b", "wflw98+ibug86", "unknown landmark scheme 'ibug86'; did you mean ibug68"),
    ],
)
def test_sets_and_schemes_that_do_not_fit_are_refused(dataset: str, scheme: str, message: str):
    with pytest.raises(ValueError, match=message):
        heads_of(dataset, scheme)
    with pytest.raises(ValueError, match=r"no head 'c'; the run learnt a, b"):
        find_head("a+b", "ibug68", "c")


@pytest.mark.parametrize(
    ("name", "scheme"), [("dpr_gsr_wflw", "wflw98"), ("dpr_gsr_wflw", BOTH), ("vunet_wflw", "wflw98")]
)
def test_models_that_know_one_scheme_refuse_heads(name: str, scheme: str):
    config = changed(experiment.load(name), dataset="wflw+ibug300w", scheme=BOTH)
    if "scheme" in config.model.options:
        options = config.model.options | {"scheme": scheme}
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, options=options))
    with pytest.raises(ValueError, match=r"knows one scheme, and data.scheme names several: wflw98\+ibug68"):
        experiment.check(config)


def test_training_faces_have_their_points_in_their_heads_place(heads: Config, pack: pathlib.Path, other: pathlib.Path):
    _, training, validation = loop.prepare_run(heads)
    photos, held_out = input_lib.hold_out(input_lib.open_faces(str(pack), "train", ""), 20)
    others, kept_back = input_lib.hold_out(input_lib.open_faces(str(other), "train", ""), 20)
    assert len(kept_back)
    assert (training.names, training.scheme) == (photos.names + others.names, load_scheme(BOTH))
    assert (validation.names, validation.scheme) == (held_out.names, WFLW98)
    np.testing.assert_array_equal(validation.points, held_out.points)
    np.testing.assert_array_equal(training.points[: len(photos), :98], photos.points)
    np.testing.assert_array_equal(training.points[len(photos) :, 98:], others.points)
    np.testing.assert_array_equal(training.visible[len(photos) :, 98:], others.visible)
    for absent in ((slice(len(photos)), slice(98, None)), (slice(len(photos), None), slice(98))):
        assert np.isnan(training.points[absent]).all()
        assert not training.visible[absent].any()
    last = np.asarray([len(training) - 1])
    np.testing.assert_array_equal(training.images(last), others.images(np.asarray([len(others) - 1])))


def test_sets_of_one_scheme_are_mixed(heads: Config, pack: pathlib.Path):
    _, training, validation = loop.prepare_run(changed(heads, scheme="ibug68"))
    assert training.points.shape == (len(loop.prepare_run(heads)[1]), 68, 2)
    assert np.isfinite(training.points).all()
    assert validation.points.shape[1] == 68
    assert {name.partition("/")[0] for name in validation.names} == {"train"}
    assert {name.partition("/")[0] for name in training.names} == {"train", "test"}


def framed(faces: Faces) -> Faces:
    return dataclasses.replace(faces, margin=1.5)


def of_19_points(faces: Faces) -> Faces:
    return dataclasses.replace(faces, scheme=AFLW19, points=faces.points[:, :19], visible=faces.visible[:, :19])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (framed, r"faces of other have margin 1\.5 and the photos of synthetic 2\.0; prepare both with the same"),
        (of_19_points, "other, split train: points of scheme aflw19 cannot be read as ibug68"),
    ],
)
def test_sets_that_do_not_go_together_are_refused(heads: Config, tmp_path: pathlib.Path, change, message: str):
    first, second = heads.data.dataset.split("+")
    faces = change(input_lib.open_faces(second, "train", ""))
    input_lib.write_pack(tmp_path / "strange.npz", {"train": faces})
    with pytest.raises(ValueError, match=message):
        loop.prepare_run(changed(heads, dataset=f"{first}+{tmp_path / 'strange.npz'}"))
    with pytest.raises(FileNotFoundError, match=r"missing\.npz: no such file"):
        loop.prepare_run(changed(heads, dataset=f"{first}+{tmp_path / 'missing.npz'}"))


PUBLISHED = {"loss_name": "mse", "target": "published", "decoder": "argmax"}


@pytest.mark.parametrize(
    ("name", "options"),
    [("coordinates", {"loss_name": loss}) for loss in ("l1", "smooth_l1", "wing")]
    + [("heatmaps", {"loss_name": loss}) for loss in ("mse", "adaptive_wing", "soft_argmax", "star")]
    + [("heatmaps", PUBLISHED)],
)
def test_a_face_is_taught_in_its_own_head_alone(name: str, options: dict):
    """Loss and gradient are those of the head by itself, and exactly 0 at the points of the other."""
    task = tasks.build(TaskConfig(name, options), ModelConfig(input_size=32))
    width, shape = (1, (2, 8, 8, 6)) if name == "heatmaps" else (2, (2, 12))
    rng = np.random.default_rng(0)
    outputs, truth = rng.normal(size=shape).astype(np.float32), rng.uniform(0, 31, (2, 6, 2)).astype(np.float32)
    places = (slice(0, 3), slice(3, 6))
    channels = [slice(width * place.start, width * place.stop) for place in places]
    own = np.full_like(truth, np.nan)
    for face, place in enumerate(places):
        own[face, place] = truth[face, place]
    loss = jax.jit(jax.value_and_grad(lambda *faces: jnp.sum(jnp.arange(1, 3) * task.loss(*faces, None))))
    value, gradient = loss(outputs, own)
    alone = [np.stack([rows[face, ..., part] for face, part in enumerate(channels)]) for rows in (outputs, gradient)]
    expected, expected_gradient = loss(alone[0], np.stack([truth[face, place] for face, place in enumerate(places)]))
    assert_float32_close(value, expected, depth=400)
    assert_float32_close(alone[1], expected_gradient, depth=400)
    for face, part in enumerate(channels):
        assert np.abs(gradient[face, ..., part]).max() > 0
        np.testing.assert_array_equal(np.delete(gradient[face], np.r_[part], axis=-1), 0)


def test_augmentation_moves_points_whatever_is_in_the_other_heads_place():
    points = np.random.default_rng(0).uniform(16, 48, (8, 166, 2)).astype(np.float32)
    own = points.copy()
    own[:4, 98:], own[4:, :98] = np.nan, np.nan
    config = AugmentConfig(probability=1.0, rotation=20.0, shear=0.1, scale=0.1, shift=0.1, flip=True)
    images, flip = jnp.zeros((8, 16, 16, 3), jnp.uint8), np.asarray(load_scheme(BOTH).flip)
    move = jax.jit(functools.partial(augment.augment_faces, config=config, scheme_flip=flip, size=8, margin=2.0))
    _, moved, visible = move(jax.random.key(1), images, own, np.isfinite(own[..., 0]))
    _, expected, _ = move(jax.random.key(1), images, points, np.isfinite(own[..., 0]))
    np.testing.assert_array_equal(moved, np.where(np.isnan(own), np.nan, expected))
    np.testing.assert_array_equal(visible, np.isfinite(own[..., 0]))


def test_one_step_on_two_protocols_by_hand(heads: Config):
    """Loss, NME and gradient are means over faces; a head learns nothing from the other's faces, the trunk from all."""
    model = ModelConfig("cnn", 16, {"norm": "none", "widths": (4,), "head_width": 8})
    recipe = make_recipe(dataclasses.replace(heads, model=model), 48, 2.0)
    state = jax.jit(functools.partial(init_state, recipe))()
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 16, 16, 3)).astype(np.float32)
    points = rng.uniform(2, 14, (2, 166, 2)).astype(np.float32)
    points[0, 98:], points[1, :98] = np.nan, np.nan
    step = jax.jit(jax.grad(recipe.objective.loss, has_aux=True))

    def of(*faces: int) -> tuple[dict, dict]:
        chosen = list(faces)
        crops = Crops(images[chosen], points[chosen], np.isfinite(points[chosen, :, 0]))
        gradient, (values, _) = step(state.params, {}, crops, jax.random.key(0), state.step)
        return gradient, values

    (mixed, values), (first, first_values), (second, second_values) = of(0, 1), of(0, 0), of(1, 1)
    for name in ("loss", "nme"):
        assert_float32_close(values[name], (first_values[name] + second_values[name]) / 2, depth=400)
    halves = jax.tree.map(lambda one, other: (one + other) / 2, first, second)
    assert_float32_trees_close(mixed, halves, depth=1000)
    for gradient, own, foreign in ((first, slice(196), slice(196, None)), (second, slice(196, None), slice(196))):
        for leaf in jax.tree.leaves(gradient["fc2"]):
            assert np.abs(leaf[..., own]).max() > 0
            np.testing.assert_array_equal(leaf[..., foreign], 0)
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient["block1"]))

    outputs = jax.jit(functools.partial(recipe.objective.model.apply, train=False))({"params": state.params}, images)
    found, nmes = np.asarray(recipe.objective.task.points(outputs)), []
    for face, place, (left, right) in ((0, slice(98), (60, 72)), (1, slice(98, None), (36, 45))):
        truth = points[face, place]
        distance = np.linalg.norm(truth[left] - truth[right])
        nmes.append(np.linalg.norm(found[face, place] - truth, axis=-1).mean() / distance)
    assert_float32_close(values["nme"], np.mean(nmes), depth=400)


@pytest.fixture(scope="module")
def run(
    pack: pathlib.Path, other: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Config, pathlib.Path]:
    """A run with two heads that nothing stopped, and its workdir."""
    config = changed(experiment.load("debug"), dataset=f"{pack}+{other}", scheme=BOTH, cache="device")
    model = ModelConfig("cnn", 16, {"norm": "batch", "widths": (4,), "head_width": 8})
    config = experiment.spell_out(dataclasses.replace(config, model=model, augment=AugmentConfig(flip=True), epochs=2))
    workdir = tmp_path_factory.mktemp("run")
    loop.fit(config, workdir)
    return config, workdir


def test_a_stopped_run_goes_on_to_the_same_bits(run: tuple[Config, pathlib.Path], tmp_path: pathlib.Path, monkeypatch):
    config, straight = run
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_STEPS_BETWEEN_REPORTS", 2)
        patch.setattr(distributed.StopSignal, "asked", lambda self, step: step == 4)
        with pytest.raises(SystemExit, match="143"):
            loop.fit(config, tmp_path)
    loop.fit(config, tmp_path)
    ours, theirs = (checkpoints.open_model(workdir, step=14).variables for workdir in (straight, tmp_path))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_each_head_is_evaluated_by_itself(run: tuple[Config, pathlib.Path], capsys: pytest.CaptureFixture):
    """By the points in its place, its own normaliser and the faces held out of its set; the first is validated."""
    config, workdir = run
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    best = min(row["nme"] for row in rows if row["split"] == "validation")
    objective, mesh = make_recipe(config, 48, 2.0).objective, distributed.make_mesh()
    everything = inference.Predictor(objective.model, objective.task, config, 2.0, mesh)
    first, other = checkpoints.open_model(workdir), checkpoints.open_model(workdir, head="other")
    for trained, place, scheme in ((first, slice(98), WFLW98), (other, slice(98, None), IBUG68)):
        faces, _ = judging.open_evaluation(trained.config, trained.config.data.dataset, "validation", "")
        nme = inference.face_errors(everything(trained.variables, faces).points[:, place], faces, scheme).mean()
        if trained is first:
            assert_float32_close(nme, best, depth=400)
    row = judging.evaluate_and_write(workdir, head="other")[0]
    assert (row.faces, row.subset) == (len(faces), "full")
    assert_float32_close(row.nme, 100 * nme, depth=400)
    printed = capsys.readouterr().out
    assert "head other" in printed
    assert "other, validation: 4 faces, 68 points (ibug68)" in printed
    assert (workdir / "evaluation" / "other-validation-other" / "metrics.json").exists()
    with pytest.raises(SystemExit):
        evaluate.main(["--workdir", str(workdir), "--head", "nobody"])
    assert "there is no head 'nobody'; the run learnt faces, other" in capsys.readouterr().err


def test_photos_are_given_the_points_of_the_asked_head(run: tuple[Config, pathlib.Path]):
    photo, box = np.zeros((40, 40, 3), np.uint8), np.asarray([10.0, 10.0, 30.0, 30.0])
    for head, scheme in ((None, WFLW98), ("other", IBUG68)):
        (face,) = Landmarker.load(run[1], head=head).predict(photo, box)
        assert face.scheme == scheme
        assert face.points.shape == (scheme.num_points, 2)


class Counting(registry.CoordinateTask):
    """Says that point i is at (i, i) and how sure it is of it, i."""

    def points(self, outputs: np.ndarray) -> np.ndarray:
        return np.stack([outputs, outputs], axis=-1)

    def confidence(self, outputs: np.ndarray) -> np.ndarray:
        return outputs


def test_a_head_reads_points_and_confidence_in_its_place():
    outputs = np.tile(np.arange(166), (2, 1))
    for head, place in (("a", np.arange(98)), ("b", np.arange(98, 166))):
        reader = tasks.OneHead(Counting(32), find_head("a+b", BOTH, head))
        np.testing.assert_array_equal(reader.confidence(outputs), [place, place])
        np.testing.assert_array_equal(reader.points(outputs)[1, :, 0], place)
        assert reader.degenerate(outputs) is None
    assert tasks.OneHead(registry.CoordinateTask(32), find_head("a", "five")).confidence(np.zeros((1, 10))) is None
