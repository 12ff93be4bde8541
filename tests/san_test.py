"""SAN: its pose machine, plain and siamese, its style branch, and the published target and decoder."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from jaxlm import experiment, models, tasks
from jaxlm.config import ModelConfig, TaskConfig
from jaxlm.evaluation import cost
from jaxlm.images import heatmaps
from jaxlm.interop.torch_maps import MAPS
from jaxlm.landmarks.schemes import IBUG68
from jaxlm.models.san import SAN
from jaxlm.models.san_style import AverageStyle, SANStyle
from jaxlm.models.vunet import VUNet
from jaxlm.tasks import san as san_task
from jaxlm.tasks.translation import TranslationTask
from tolerances import assert_float32_close

TINY = SANStyle(68, scheme="ibug68", width=2, styles=2, translator_size=8, translator_width=2, translator_max_width=4)
LOGITS = TaskConfig("heatmaps", {"loss_name": "soft_argmax", "decoder": "soft_argmax", "sigma": 1.0})


def shapes_of(model: Any, *inputs: tuple[int, ...], **options: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's parameters by path; nothing is computed."""
    keys = {name: jax.random.key(0) for name in ("params", "latent")}
    images = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs]
    params = jax.eval_shape(functools.partial(model.init, **options), keys, *images)["params"]
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(params, sep="/").items()}


def drawn(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Any]:
    """Random weights of given shapes, of a size that keeps activations alive; drawing in numpy compiles nothing."""
    rng = np.random.default_rng(seed)
    flat = {
        path: jnp.asarray(rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1])), jnp.float32)
        for path, shape in shapes.items()
    }
    return {"params": traverse_util.unflatten_dict(flat, sep="/")}


def photos(count: int, size: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 3)), jnp.float32)


def count(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(int(np.prod(shape)) for shape in shapes.values())


@pytest.mark.parametrize("stride", [4, 8])
def test_published_parameters(stride: int):
    model, photo = SAN(98, stride, background=True), (1, 64, 64, 3)
    assert count(shapes_of(model, photo, train=False)) == 17_116_137
    assert count(shapes_of(model, photo, photo, method="siamese")) == 19_342_697


def test_published_parts():
    shapes = shapes_of(SAN(98, 8, background=True), (1, 64, 64, 3), (1, 64, 64, 3), method="siamese")
    parts = {"conv": 7_635_264, "feature": 1_474_944, "stage1": 707_171, "stage2": 5_073_123, "stage3": 4_452_195}
    assert {part: count({p: s for p, s in shapes.items() if p.startswith(part)}) for part in parts} == parts


def test_the_features_have_the_paths_and_shapes_of_converted_vgg16_weights():
    ours = {f"params/{path}": shape for path, shape in shapes_of(SAN(98), (1, 32, 32, 3), train=False).items()}
    theirs = {path: shape for path, shape in MAPS["vgg16"]({}, "wflw98").shapes.items() if "conv5" not in path}
    assert len(theirs) == 20
    assert theirs.items() <= ours.items()


def test_published_generators():
    shapes = shapes_of(SAN(68, 8, background=True, generators=True), (1, 64, 64, 3), train=False)
    generators = {path: shape for path, shape in shapes.items() if path.startswith("generator")}
    assert count(generators) == 2 * 7_837_699
    assert count(shapes) - count(generators) == 18_755_087


@pytest.mark.parametrize("stride", [4, 8])
def test_each_stage_draws_maps_of_the_stride(stride: int):
    maps = jax.eval_shape(
        lambda x: SAN(5, stride, background=True, width=1).init_with_output(jax.random.key(0), x, train=False)[0],
        jax.ShapeDtypeStruct((2, 48, 48, 3), jnp.float32),
    )
    assert [stage.shape for stage in maps] == [(2, 48 // stride, 48 // stride, 6)] * 3


def test_sides_that_the_stride_does_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"stride of 8 needs image sides that it divides, found \(1, 36, 36, 3\)"):
        shapes_of(SAN(5, 8), (1, 36, 36, 3), train=False)


def test_a_summary_counts_all_parameters_and_the_products_of_the_frozen_networks():
    plain, style = (cost.summarise(model, 32) for model in (SAN(68, width=2), TINY))
    for table in (plain, style):
        assert sum(layer.parameters for layer in table.layers) == table.parameters
    products = dict.fromkeys(("detector", "translator", "siamese"), 0)
    for layer in style.layers:
        if layer.path:
            products[layer.path.split("/")[0]] += layer.products
    assert products["detector"] == plain.products
    assert products["siamese"] > plain.products
    assert products["translator"] > 0


def test_published_products():
    """6.98 GMAC by hand at 128 px and stride 8: 4.56 in VGG, 0.38 in its two followers, 2.04 in stages."""
    table = cost.summarise(SAN(98, 8, background=True), 128)
    assert table.products == pytest.approx(6.984e9, abs=0.5e6)  # Four digits.


def test_vgg_sees_the_pixels_of_the_option():
    """In the range -1..1 as published: what its first kernel gives at one place, by hand from grey levels."""
    levels = np.random.default_rng(2).uniform(0, 255, (1, 8, 8, 3)).astype(np.float32)
    model = SAN(3, 8, width=2)
    variables = drawn(shapes_of(model, levels.shape, train=False))
    kernel = np.asarray(variables["params"]["conv1_1"]["kernel"])
    bias = np.asarray(variables["params"]["conv1_1"]["bias"])
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for pixels, seen in (("signed", (levels / 255 - 0.5) / 0.5), ("imagenet", (levels / 255 - mean) / std)):
        run = functools.partial(model.clone(pixels=pixels).apply, train=False, capture_intermediates=True)
        first = jax.jit(lambda x, run=run: run(variables, x)[1]["intermediates"]["conv1_1"]["__call__"][0])
        found = first((levels - 127.5) / 128)
        expected = np.einsum("hwc,hwcd->d", seen[0, 2:5, 3:6], kernel) + bias
        assert_float32_close(found[0, 3, 4], expected, depth=2 * 27)


def test_the_siamese_stages_see_what_they_should():
    model, x, y = SAN(3, 8, width=2), photos(1, 32), photos(1, 32, seed=1)
    variables = drawn(shapes_of(model, x.shape, x.shape, method="siamese"))
    apply = jax.jit(functools.partial(model.apply, method="siamese"))
    maps, other, swapped = (apply(variables, *pair) for pair in ((x, x), (x, y), (y, x)))
    changed = [bool(jnp.abs(a - b).max() > 1e-3) for a, b in zip(maps, other, strict=True)]
    assert changed == [False, True, True, True]
    assert_float32_close(other[0], swapped[1], depth=1500)
    assert_float32_close(other[1], swapped[0], depth=1500)
    # Without the kernels of stage 2 behind F(y) and S1(y), only stage 3 tells y from x.
    kernel = variables["params"]["stage2"]["wide1"]["kernel"]
    assert kernel.shape[2] == 4 + 4 + 3 + 3
    kernel = kernel.at[:, :, 4:8].set(0).at[:, :, 11:].set(0)
    variables["params"]["stage2"]["wide1"]["kernel"] = kernel
    maps, other = (apply(variables, x, second) for second in (x, y))
    np.testing.assert_array_equal(maps[2], other[2])
    assert jnp.abs(maps[3] - other[3]).max() > 1e-3


@pytest.fixture(scope="module")
def variables() -> dict[str, Any]:
    return drawn(shapes_of(TINY, (1, 32, 32, 3), train=False))


def test_no_gradient_reaches_the_frozen_networks(variables: dict[str, Any]):
    images, params = photos(2, 32), variables["params"]
    frozen = {name: params[name] for name in ("detector", "translator")}

    def loss(frozen: dict[str, Any]) -> jax.Array:
        return sum(jnp.sum(maps**2) for maps in TINY.apply({"params": params | frozen}, images, train=True))

    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf, 0), jax.jit(jax.grad(loss))(frozen))


@functools.cache
def average_style(styles: int) -> Callable[[Any, jax.Array], jax.Array]:
    """Renders structures [1, 8, 8, C] by a translator such as that of `TINY`, with its noise."""
    model, rngs = AverageStyle(styles, 2, 4, jnp.float32), {"latent": jax.random.key(TINY.seed)}
    return jax.jit(lambda translator, x: model.apply({"params": {"translator": translator}}, x, rngs=rngs))


def test_the_second_photo_renders_the_landmarks_that_the_detector_finds(variables: dict[str, Any]):
    """It is a function of the photo alone, and of no other photo of the batch."""
    images, params = photos(2, 32), variables["params"]
    found = jax.jit(lambda x: TINY.apply(variables, x, method="aggregate"))(images)
    detector = jax.jit(lambda x: SAN(68, width=2).apply({"params": params["detector"]}, x, train=False))
    task = tasks.build(LOGITS, ModelConfig("san", 32))
    draw = jax.jit(lambda maps: TranslationTask().structures((task.points(maps) + 0.5) / 4 - 0.5, IBUG68, 8))
    structures = draw(detector(images))
    rendered = jnp.concatenate([average_style(2)(params["translator"], structure[None]) for structure in structures])
    # Points are found in cells, 8 to a side, and dots drawn at their places.
    expected = jax.image.resize(rendered, (2, 32, 32, 3), "bilinear")
    assert_float32_close(found, expected, depth=1500, scale=8)
    assert jnp.abs(found[0] - found[1]).max() > 1e-3


def test_an_average_style_is_the_mean_of_different_renderings(variables: dict[str, Any]):
    structure = jnp.asarray(np.random.default_rng(0).uniform(size=(1, 8, 8, 14)), jnp.float32)
    one, two = (average_style(styles)(variables["params"]["translator"], structure) for styles in (1, 2))
    assert one.shape == two.shape == (1, 8, 8, 3)
    assert jnp.abs(one - two).max() > 1e-3
    assert jnp.abs(two).max() <= 1


def test_without_weights_the_translator_renders_grey():
    translator = TINY._grey_translator(jax.random.key(0))
    np.testing.assert_array_equal(average_style(2)(translator, jnp.ones((1, 8, 8, 14))), 0)


def test_the_frozen_networks_are_those_of_their_experiments():
    style, plain, vunet = map(experiment.load, ("san_style_300w", "san_300w", "vunet_300w"))
    assert style.data.crop == plain.data.crop == vunet.data.crop
    assert style.init_from == (("runs/san_300w", "detector"), ("runs/vunet_300w", "translator"))
    ours = shapes_of(models.build("san_style", 68, style.model.options, "float32"), (1, 32, 32, 3), train=False)
    detector = shapes_of(models.build("san", 68, plain.model.options, "float32"), (1, 32, 32, 3), train=False)
    structures = TranslationTask(**vunet.task.options).channels(IBUG68)
    translator = shapes_of(VUNet(**vunet.model.options), (4, 64, 64, structures), method="sample")
    for name, theirs in (("detector", detector), ("translator", translator)):
        assert {path: shape for path, shape in ours.items() if path.split("/")[0] == name} == {
            f"{name}/{path}": shape for path, shape in theirs.items()
        }


def test_a_scheme_of_another_number_of_points_is_refused():
    with pytest.raises(ValueError, match="scheme = wflw98 has 98 points and the data 68"):
        SANStyle(68)


def san(input_size: int = 128, **options: Any) -> san_task.SANTask:
    return tasks.build(TaskConfig("san"), ModelConfig("san", input_size, {"stride": 8, "background": True} | options))


def test_the_published_target_by_hand():
    """Cell (2, 3) has its centre at pixel (19.5, 27.5); (23.5, 31.5) lies between four cells."""
    target = san_task.draw_target(jnp.asarray([[[19.5, 27.5], [23.5, 31.5], [np.nan, 3.5]]]), size=6, stride=8)[0]
    assert target.shape == (6, 6, 4)
    expected = np.zeros((6, 6))
    expected[2:5, 1:4] = np.exp([[-4, -2, -4], [-2, 0, -2], [-4, -2, -4]])
    assert_float32_close(target[..., 0], expected, depth=8)
    between = np.zeros((6, 6))
    between[3:5, 2:4] = np.exp(-1)
    # 12 pixels away along one axis and 4 along the other: exp(-5) = 0.007 is below 0.01.
    assert_float32_close(target[..., 1], between, depth=8)
    np.testing.assert_array_equal(target[..., 2], 0)
    assert_float32_close(target[..., 3], 1 - np.maximum(expected, between), depth=8)


def test_the_loss_is_half_the_sum_of_squares_over_stages_cells_and_points_in_sight():
    points = jnp.asarray([[[19.5, 27.5], [60.0, 60.0]]])
    target = san_task.draw_target(points, 16, 8)
    outputs = (target + 1.0, target, target - 0.5)
    loss = functools.partial(san().loss, outputs, points)
    for_each_map = 0.5 * 256 * (1 + 0.25)
    assert_float32_close(loss(jnp.asarray([[True, True]])), [3 * for_each_map], depth=3 * 256)
    assert_float32_close(loss(jnp.asarray([[True, False]])), [2 * for_each_map], depth=3 * 256)
    absent = points.at[0, 1].set(jnp.nan)
    zeros = (jnp.zeros_like(target),)
    squares = np.sum(np.asarray(san_task.draw_target(absent, 16, 8))[..., [0, 2]] ** 2)
    assert_float32_close(san().loss(zeros, absent, jnp.asarray([[True, True]])), [0.5 * squares], depth=3 * 256)


def test_points_are_centroids_of_seven_cells_of_the_last_stage():
    maps = np.zeros((1, 16, 16, 2), np.float32)
    maps[0, 5, 4, 0], maps[0, 5, 7, 0], maps[0, 8, 4, 0] = 0.6, 0.2, 0.2
    maps[0, 5, 8, 0], maps[0, 6, 4, 0] = 0.5, -1.0  # Beyond the window; below nothing.
    maps[..., 1] = 1.0  # The background.
    outputs = (jnp.zeros((1, 16, 16, 2)), jnp.asarray(maps))
    assert_float32_close(san().points(outputs), [[[8 * 4.6 + 3.5, 8 * 5.6 + 3.5]]], depth=2 * 49)
    assert_float32_close(san().confidence(outputs), [[0.6]], depth=1)


def round_trip(points: np.ndarray, draw: Any, read: Any) -> np.ndarray:
    """Distances in pixels between points [N, 2] and what is read from their drawings."""
    return np.linalg.norm(np.asarray(read(draw(jnp.asarray(points)[None]))[0]) - points, axis=-1)


def test_the_published_pair_costs_a_fifth_of_a_pixel_and_two_at_the_border():
    rng, draw = np.random.default_rng(0), functools.partial(san_task.draw_target, size=16, stride=8)
    read = jax.jit(lambda maps: san().points((maps,)))
    inside = round_trip(rng.uniform(24, 103, (2000, 2)).astype(np.float32), draw, read)
    assert inside.mean() == pytest.approx(0.19, abs=0.01)  # Of 2000 points, and so below.
    assert inside.max() < 0.3
    # Within 4 pixels of the left border, and far from the others.
    points = rng.uniform((0, 24), (4, 103), (2000, 2)).astype(np.float32)
    border = round_trip(points, draw, read)
    assert border.mean() == pytest.approx(2.0, abs=0.2)


def test_the_unbiased_pair_costs_less_than_a_twentieth_of_a_pixel():
    config = experiment.load("san_wflw")
    task = tasks.build(config.task, config.model)
    points = np.random.default_rng(0).uniform(16, 111, (2000, 2)).astype(np.float32)

    def draw(points: jax.Array) -> jax.Array:
        return heatmaps.log_gaussian_probabilities(heatmaps.to_cells(points, 4, centred=True), 32, sigma=1.0)

    assert round_trip(points, draw, jax.jit(task.points)).max() < 0.05


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ModelConfig("san", 128), "set --model.options.background True"),
        (ModelConfig("resnet18", 128), "stride, background, which resnet18 has not"),
    ],
)
def test_models_without_a_background_are_refused(model: ModelConfig, message: str):
    with pytest.raises(ValueError, match=message):
        tasks.build(TaskConfig("san"), model)


def test_training_from_nothing_lowers_the_loss_of_every_stage():
    """With the initialisation of the model, six faces of five points, all at other places."""
    model, images = SAN(5, width=4), photos(6, 32)
    task = tasks.build(LOGITS, ModelConfig("san", 32))
    points = jnp.asarray(np.random.default_rng(1).uniform(6, 25, (6, 5, 2)), jnp.float32)
    optimiser = optax.adam(2e-3)

    def loss(params: Any) -> tuple[jax.Array, jax.Array]:
        stages = model.apply({"params": params}, images, train=True)
        losses = jnp.stack([jnp.mean(task.loss(stage, points, jnp.ones((6, 5), bool))) for stage in stages])
        return losses.sum(), losses

    @jax.jit
    def step(params: Any, state: Any) -> tuple[Any, Any, jax.Array]:
        gradients, losses = jax.grad(loss, has_aux=True)(params)
        updates, state = optimiser.update(gradients, state)
        return optax.apply_updates(params, updates), state, losses

    params = jax.jit(lambda key: model.init(key, images, train=True))(jax.random.key(0))["params"]
    state, history = optimiser.init(params), []
    for _ in range(40):
        params, state, losses = step(params, state)
        history.append(np.asarray(losses))
    assert (history[-1] < 0.7 * history[0]).all(), (history[0], history[-1])
