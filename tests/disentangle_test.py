"""Checks of disentanglement on translators whose answer is known, and the command from start to end."""

import dataclasses
import functools
import json
import pathlib

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import checkpoints, disentangle, experiment
from jaxlm.checkpoints import Trained, runs
from jaxlm.data_pipelines.input import open_faces
from jaxlm.images import cropping
from jaxlm.landmarks.schemes import WFLW98
from jaxlm.styles import checks as disentangle_checks
from jaxlm.styles import disentangling, distances, translation
from jaxlm.styles import pairs as style_pairs
from jaxlm.styles.feature_networks import LaplacianFeatures
from jaxlm.styles.pairs import Measures
from jaxlm.styles.translation import Translator
from tiny_translator import make_translator
from tolerances import assert_float32_close, assert_float64_close, float32_error

FACES, SIZE = 5, 16


def photos() -> np.ndarray:
    """Photos of different colours; each has its number in the corner."""
    rng = np.random.default_rng(0)
    colours = rng.integers(40, 216, (FACES, 1, 1, 3))
    images = (colours + rng.integers(-30, 30, (FACES, SIZE, SIZE, 3))).astype(np.uint8)
    images[:, 0, 0] = 10 * np.arange(FACES)[:, None]
    return images


TRUTH = np.random.default_rng(1).uniform(0, SIZE, (FACES, 7, 2))


def measures() -> Measures:
    """A judge that knows each photo's landmarks by its number, half a pixel off, and codes that are the photo."""
    network, normalised = LaplacianFeatures(), cropping.normalise(jnp.asarray(photos(), jnp.float32))
    scales = distances.texture_scales(network, normalised)
    return Measures(
        find=lambda images: TRUTH[images[:, 0, 0, 0] // 10] + np.array([0.3, 0.4]),
        texture=jax.jit(functools.partial(distances.textures_of, network, scales)),
        encode=lambda images: images.reshape(len(images), -1),
    )


def check(pairs: np.ndarray) -> dict[str, float]:
    return style_pairs.check_pairs(photos(), pairs, TRUTH, np.full(FACES, 10.0), measures())


def test_a_translator_that_copies_the_structure_photo_keeps_everything():
    checks = check(np.broadcast_to(photos()[None], (FACES, FACES, SIZE, SIZE, 3)))
    for name in ("nme_photos", "nme_reconstructions", "nme_translations"):
        assert checks[name] == pytest.approx(0.05)
    assert checks["nme_ratio_to_photos"] == checks["nme_ratio_to_reconstructions"] == pytest.approx(1)
    assert checks["nearer_to_style_landmarks"] == checks["l1"] == 0
    for name in ("colour_nearer_to_style", "texture_nearer_to_style", "code_top1"):
        assert checks[name] == 0
    for name in ("diversity", "moved_by_style"):
        assert checks[name] <= float32_error(depth=FACES)
    # A root of a difference of variances, up to 1000 in sum.
    assert checks["colour_to_structure"] <= float32_error(depth=SIZE**2, scale=1000) ** 0.5
    assert checks["texture_to_structure"] <= float32_error(depth=SIZE**2 + 40, scale=4)
    # Contrast divides variances, of 300 each, that are differences of squares up to 246 ** 2.
    assert_float32_close(checks["ms_ssim"], 1, depth=22, scale=246**2 / 600)
    assert min(checks[name] for name in ("nme_to_style", "moved_by_structure", "colour_to_style")) > 0.1


def test_a_translator_that_copies_the_style_photo_keeps_nothing():
    checks = check(np.broadcast_to(photos()[:, None], (FACES, FACES, SIZE, SIZE, 3)))
    for name in (
        "nearer_to_style_landmarks", "colour_nearer_to_style", "texture_nearer_to_style", "code_top1", "diversity",
        "code_cosine",
    ):  # fmt: skip
        assert_float32_close(checks[name], 1, depth=SIZE**2 * 3)
    assert checks["nme_to_style"] == checks["nme_photos"] == pytest.approx(0.05)
    assert_float64_close(checks["moved_by_structure"], 0, depth=FACES, scale=SIZE / 10)
    between = np.linalg.norm(TRUTH[:, None] + np.array([0.3, 0.4]) - TRUTH[None], axis=-1).mean(axis=-1) / 10
    assert checks["nme_translations"] == pytest.approx(between[~np.eye(FACES, dtype=bool)].mean())


def test_a_translator_that_moves_colours_alone_does_both():
    """The structure photo with the colours of the style photo: what is wanted."""
    images = photos().astype(np.float32)
    shift = images.mean(axis=(1, 2))
    pairs = images[None] - shift[None, :, None, None] + shift[:, None, None, None]
    pairs[:, :, 0, 0] = images[None, :, 0, 0]
    checks = check(np.clip(pairs, 0, 255).astype(np.uint8))
    assert checks["nme_translations"] == pytest.approx(0.05)
    assert checks["nearer_to_style_landmarks"] == 0
    assert checks["colour_nearer_to_style"] == checks["code_top1"] == 1
    assert checks["diversity"] == pytest.approx(1, abs=0.15)  # Values are cut off at 0 and 255, and corners differ.


def test_ratios_and_movements_of_points():
    """Two faces, one point: on photos and reconstructions it is 1 off, on translations 3; the normaliser is 10."""
    truth = np.array([[[0.0, 0.0]], [[20.0, 0.0]]])
    pairs = np.array([[[[1.0, 0]], [[23.0, 0]]], [[[3.0, 0]], [[21.0, 0]]]])
    checks = disentangle_checks.structure_checks(pairs, truth + np.array([0, 1.0]), truth, np.array([10.0, 10.0]))
    expected = {
        "nme_photos": 0.1,
        "nme_reconstructions": 0.1,
        "nme_translations": 0.3,
        "nme_ratio_to_photos": 3,
        "nme_ratio_to_reconstructions": 3,
        "nme_to_style": (2.3 + 1.7) / 2,
        "nearer_to_style_landmarks": 0,
        "moved_on_photos": 1,
        "moved_by_structure": (1.1 + 0.9) / 2,
        "moved_by_style": 0.1,
    }
    assert {name: float(value) for name, value in checks.items()} == pytest.approx(expected)


def test_an_encoder_that_finds_half_of_the_styles():
    """Translations of style 0 are found again, those of styles 1 and 2 taken for style 0."""
    codes = np.array([[5.0, 1, 1], [1, 5, 1], [1, 1, 5]])
    pairs = np.repeat(codes[[0, 0, 0]][:, None], 3, axis=1)
    checks = disentangle_checks.code_checks(pairs, codes)
    assert checks["code_top1"] == pytest.approx(1 / 3)
    # Less their mean the codes are at 120 degrees.
    assert checks["code_cosine"] == pytest.approx((1 - 0.5 - 0.5) / 3)


def test_probes_find_what_is_linear_and_nothing_else():
    rng = np.random.default_rng(0)
    inputs, other = rng.normal(size=(80, 300)), rng.normal(size=(60, 300))
    inputs[:, :4] *= 10
    other[:, :4] *= 10
    mixing = rng.normal(size=(4, 6))
    probe = functools.partial(disentangle_checks.ridge_probe, inputs)
    assert probe(inputs[:, :4] @ mixing + 3, other, other[:, :4] @ mixing + 3) > 0.9
    assert abs(probe(rng.normal(size=(80, 6)), other, rng.normal(size=(60, 6)))) < 0.1
    few = disentangle_checks.ridge_probe(inputs[:, :4], inputs[:, :4] @ mixing, other[:, :4], other[:, :4] @ mixing)
    assert few == pytest.approx(1, abs=1e-4)  # But for the least penalty, a millionth of the inputs.


def test_the_penalty_of_a_probe_is_that_of_the_least_error_on_faces_left_out():
    """Against fits without each face in turn, intercept and all, by the normal equations."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(20, 12)) + 5
    targets = inputs @ rng.normal(size=(12, 2)) + 3 * rng.normal(size=(20, 2))
    centred = inputs - inputs.mean(axis=0)
    penalties = disentangle_checks._PENALTIES * np.linalg.eigvalsh(centred @ centred.T).mean()

    def fit(rows: np.ndarray, penalty: float, at: np.ndarray) -> np.ndarray:
        mean = inputs.mean(axis=0)  # Inputs are centred once, for all faces.
        design = np.hstack([inputs[rows] - mean, np.ones((len(rows), 1))])
        ridge = np.diag([penalty] * 12 + [0.0])
        weights = np.linalg.solve(design.T @ design + ridge, design.T @ targets[rows])
        return np.hstack([at - mean, np.ones((len(at), 1))]) @ weights

    everyone = np.arange(20)
    errors = [
        np.mean([(fit(np.delete(everyone, i), penalty, inputs[[i]]) - targets[i]) ** 2 for i in everyone])
        for penalty in penalties
    ]
    best = int(np.argmin(errors))
    assert 0 < best < len(penalties) - 1
    other = rng.normal(size=(9, 12)) + 5
    truth = rng.normal(size=(9, 2))
    expected = disentangle_checks.r_squared(fit(everyone, penalties[best], other), truth)
    found = disentangle_checks.ridge_probe(inputs, targets, other, truth)
    assert found == pytest.approx(expected, rel=1e-6)  # In float64, where normal equations square the condition.


def test_r_squared():
    truth = np.array([[0.0, 2], [2, 4]])
    assert disentangle_checks.r_squared(truth, truth) == 1
    assert disentangle_checks.r_squared(np.array([1.0, 3]), truth) == 0
    assert disentangle_checks.r_squared(np.array([2.0, 4]), truth) == -1


def test_batches_are_filled_up_and_put_together():
    sizes = []

    def double(x: np.ndarray, tree: dict) -> dict:
        sizes.append(len(x))
        return {"sum": x + tree["y"]}

    x = np.arange(150)
    np.testing.assert_array_equal(translation.in_batches(double, x, {"y": x})["sum"], 2 * x)
    assert set(sizes) == {64}


@pytest.fixture(scope="module")
def translator(pack: pathlib.Path) -> Translator:
    return make_translator(pack, SIZE)


class Darkest(runs.models.MODELS["cnn"]):
    """Says that all points are where the crop is darkest, as coordinates of -1 to 1 that end at its edges."""

    def __call__(self, images, *, train, temperature=1.0):
        flat = jnp.argmin(images.mean(axis=-1).reshape(len(images), -1), axis=-1)
        place = jnp.stack([flat % images.shape[2], flat // images.shape[2]], axis=-1)
        return jnp.tile((2 * place + 1) / images.shape[1] - 1, (1, self.num_points))


@pytest.fixture(scope="module")
def judge(pack: pathlib.Path) -> Trained:
    config = experiment.load("debug")
    data = dataclasses.replace(config.data, dataset=str(pack), crop=1.0)
    return Trained(dataclasses.replace(config, data=data), Darkest(98), {}, 3, WFLW98)


def test_the_judge_finds_points_in_pixels_of_the_translators_crop(translator: Translator, judge: Trained):
    """It sees a crop of 1 box in 32 pixels, of a translator's of 2 boxes in 16."""
    wide = dataclasses.replace(translator.config.data, crop=2.0)
    translator = dataclasses.replace(translator, config=dataclasses.replace(translator.config, data=wide))
    images = np.full((2, SIZE, SIZE, 3), 200, np.uint8)
    images[0, 6, 9] = images[1, 10, 5] = 0
    points = np.asarray(style_pairs.landmark_finder(judge, translator)(images))
    assert points.shape == (2, 98, 2)
    # Two pixels of the judge to each of the translator: the darkest is half a pixel off at most.
    np.testing.assert_allclose(points[:, 0], [[9, 6], [5, 10]], rtol=0, atol=0.5)


def test_pairs_are_in_the_order_of_style_and_structure(translator: Translator, pack: pathlib.Path):
    images, points = translation.crops_of(open_faces(str(pack), "train", ""), np.arange(3), translator)
    structures = translation.structures_of(points, translator)
    pairs, moved = (
        style_pairs.render_pairs(translator, images[order], structures) for order in (np.arange(3), np.array([2, 0, 1]))
    )
    assert np.abs(moved - pairs[[2, 0, 1]].astype(int)).max() <= 1
    assert np.abs(moved - pairs[:, [2, 0, 1]].astype(int)).max() > 5


def run(monkeypatch: pytest.MonkeyPatch, translator: Translator, judge: Trained, *options: str) -> None:
    monkeypatch.setattr(translation, "load_translator", lambda workdir, step: translator)
    monkeypatch.setattr(checkpoints, "open_model", lambda path: judge)
    disentangle.main(["--workdir", "runs/vunet", "--judge", "runs/judge", *options])


def test_the_command_prints_its_protocol_and_writes_numbers_and_a_picture(
    translator: Translator, judge: Trained, tmp_path: pathlib.Path, capsys, monkeypatch
):
    run(monkeypatch, translator, judge, "--faces", "4", "--out", str(tmp_path))
    shown = capsys.readouterr().out
    for expected in (
        "runs/vunet, step 7",
        "synthetic, validation: 4 of",
        "runs/judge, step 3",
        "inter-ocular distance",
    ):
        assert expected in shown
    document = json.loads((tmp_path / "disentangle.json").read_text())
    checks = document["checks"]
    assert np.isfinite(list(checks.values())).all()
    assert f"{checks['code_cosine']:.3f}" in shown
    assert checks["swap"] <= 1
    assert checks["probe_mean"] <= 0
    assert "1 of 5 scales" in document["protocol"]["MS-SSIM"]
    picture = cv2.imread(str(tmp_path / "disentangle.png"))
    assert picture.shape[0] == picture.shape[1] > 5 * 100


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"styled": "styled"}, [], "the judge was trained on styled faces (styled)"),
        ({"validation_percent": 10}, [], "it was trained on some of the faces it would judge"),
        ({}, ["--faces", "1"], "--faces 1: give 2 to 64"),
        ({}, ["--faces", "65"], "--faces 65: give 2 to 64"),
        ({}, ["--split", "tset"], "no split tset"),
    ],
)
def test_what_cannot_be_judged_is_explained(translator, judge, changes, options, message, capsys, monkeypatch):
    data = dataclasses.replace(judge.config.data, **changes)
    other = dataclasses.replace(judge, config=dataclasses.replace(judge.config, data=data))
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, translator, other, *options)
    assert caught.value.code == 1
    assert message in capsys.readouterr().err


def test_a_translator_is_no_judge(translator: Translator, judge: Trained):
    other = dataclasses.replace(judge, config=translator.config)
    with pytest.raises(ValueError, match="the judge is a vunet, a translator"):
        disentangling.check_judge(other, translator, "validation")
