"""What others do with a translator: crops as inference cuts them, structures, styles, renders; its task's options."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import checkpoints, models
from jaxlm.checkpoints import Trained
from jaxlm.data_pipelines.input import Faces, open_faces
from jaxlm.drawing import pictures
from jaxlm.images import structure_maps
from jaxlm.landmarks import load_scheme
from jaxlm.landmarks.schemes import WFLW98
from jaxlm.styles import translation
from jaxlm.styles.translation import Translator
from jaxlm.tasks.translation import TranslationTask
from tiny_translator import make_translator
from tolerances import assert_float32_close

SIZE = 8


@pytest.fixture(scope="module")
def translator(pack: pathlib.Path) -> Translator:
    return make_translator(pack, SIZE)


@pytest.fixture(scope="module")
def faces(pack: pathlib.Path) -> Faces:
    return open_faces(str(pack), "test", "")


def test_crops_are_the_plain_ones_around_the_box(translator: Translator, faces: Faces):
    """Frames of 64 px hold the box in their central 32 px, of which 8 px show every fourth at their centres."""
    images, points = translation.crops_of(faces, [3, 1], translator)
    assert images.shape == (2, SIZE, SIZE, 3)
    assert_float32_close(points, (faces.points[[3, 1]] - 31.5) / 4 + 3.5, depth=4, scale=64)
    frames = faces.images(np.asarray([3, 1])).astype(np.float32)
    # Crop pixel q lies at frame pixel 4 q + 17.5: between four of the frame's.
    expected = frames[:, 17:48:4, 17:48:4] + frames[:, 18:49:4, 17:48:4]
    expected = (expected + frames[:, 17:48:4, 18:49:4] + frames[:, 18:49:4, 18:49:4]) / 4
    assert_float32_close(images, (expected - 127.5) / 128, depth=6, scale=2)


def test_photos_come_back_as_bytes_and_are_cut_off_at_both_ends():
    photo = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    normalised = (photo.astype(np.float32) - 127.5) / 128
    np.testing.assert_array_equal(translation.to_uint8(normalised), photo)
    np.testing.assert_array_equal(translation.to_uint8(jnp.asarray([-2.0, 2.0])), [0, 255])


def test_a_style_in_the_structure_it_came_with_is_the_reconstruction(translator: Translator, faces: Faces):
    images, points = translation.crops_of(faces, np.arange(3), translator)
    structures = translation.structures_of(points, translator)
    assert_float32_close(structures, structure_maps.dot_map(points, SIZE), depth=10, scale=SIZE)
    latents = translation.encode(translator, images)
    assert [means.shape for means in latents] == [(3, 4, 4, 8), (3, 8, 8, 8)]
    rendered = translation.decode(translator, latents, structures)
    reconstruct = jax.jit(functools.partial(translator.model.apply, method="reconstruct"))
    expected = reconstruct(translator.variables, images, structures)
    assert_float32_close(rendered, expected, depth=1500)
    first, again, other = (translation.sample(translator, structures, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_a_run_of_a_detector_is_refused(translator: Translator, monkeypatch: pytest.MonkeyPatch):
    config = translator.config
    monkeypatch.setattr(checkpoints, "open_model", lambda path, step: Trained(config, None, {}, 3, WFLW98))
    monkeypatch.setattr(models, "TRANSLATORS", {"other": None})
    with pytest.raises(ValueError, match=r"runs/a holds a vunet, which is no translator \(other\)"):
        translation.load_translator("runs/a")


@pytest.mark.parametrize(
    ("structure", "scheme", "channels"),
    [
        ("dots", "wflw98", 1),
        ("published", "wflw98", 3),
        ("boundaries", "wflw98", 15),
        ("boundaries", "ibug68", 13),
        ("dots_and_boundaries", "ibug68", 14),
    ],
)
def test_channels_are_those_of_the_maps(structure: str, scheme: str, channels: int):
    task, scheme = TranslationTask(structure), load_scheme(scheme)
    points = jax.ShapeDtypeStruct((2, scheme.num_points, 2), jnp.float32)
    maps = jax.eval_shape(lambda points: task.structures(points, scheme, 16), points)
    assert maps.shape == (2, 16, 16, channels)
    assert task.channels(scheme) == channels


def test_structures_put_dots_before_boundaries():
    points = jax.random.uniform(jax.random.key(0), (1, 98, 2), maxval=15.0)
    scheme = dataclasses.replace(WFLW98, boundaries={"brow": (33, 34)})
    maps = TranslationTask("dots_and_boundaries", sigma=1.5).structures(points, scheme, 16)
    np.testing.assert_array_equal(maps[..., :1], structure_maps.dot_map(points, 16, 1.5))
    np.testing.assert_array_equal(maps[..., 1:], structure_maps.boundary_maps(points, scheme, 16, 1.5))


def test_weights_of_the_divergence_warm_up_as_asked():
    linear = TranslationTask(beta=2.0, warmup_share=0.5).kl_weight(1_000)
    assert_float32_close([linear(0), linear(250), linear(500), linear(900)], [0, 1, 2, 2], depth=4)
    published = TranslationTask(beta=2.0, warmup="published").kl_weight(1_000)
    np.testing.assert_allclose(
        [published(500), published(625), published(750)], [2e-6, 1, 2], rtol=0.02
    )  # 1e-6 is a float32 difference from 1.
    assert TranslationTask(warmup_share=0.0).kl_weight(1_000)(1) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "sigma of structure dots_and_boundaries cannot be 0.0"),
        ({"structure": "published", "sigma": 1.5}, "sigma of structure published cannot be 1.5"),
        ({"beta": -1.0}, "at least 0"),
        ({"warmup_share": 1.5}, "in 0..1, not 1.5"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        TranslationTask(**options)


def test_the_grid_has_structures_above_styles_to_the_left_and_pair_i_j_where_they_meet():
    grey = np.arange(2 + 3 + 6, dtype=np.uint8)[:, None, None, None] * 20 + 40
    tiles = np.broadcast_to(grey, (11, 4, 4, 3))
    styles, structures, pairs = tiles[:2], tiles[2:5], tiles[5:].reshape(2, 3, 4, 4, 3)
    sheet = pictures.transfer_grid(styles, structures, pairs, side=8)
    assert sheet.shape == (3 * 12 + 4, 4 * 12 + 4, 3)
    centres = sheet[8::12, 8::12, 0]
    np.testing.assert_array_equal(centres[0, 1:], grey[2:5, 0, 0, 0])
    np.testing.assert_array_equal(centres[1:, 0], grey[:2, 0, 0, 0])
    np.testing.assert_array_equal(centres[1:, 1:], grey[5:, 0, 0, 0].reshape(2, 3))
