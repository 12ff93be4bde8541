"""Losses of the translator against values by hand, its feature networks, and the published schedules."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxlm.interop.torch_maps import MAPS
from jaxlm.models import save_weights, vgg
from jaxlm.models.cnn import CNN
from jaxlm.models.vunet import VUNetOutputs
from jaxlm.styles import feature_networks
from jaxlm.styles.feature_networks import ColouredPyramid, DetectorFeatures, LaplacianFeatures
from jaxlm.tasks import translation, translation_losses
from jaxlm.tasks.translation_losses import FeatureNetwork
from tolerances import assert_float32_close


def photos(count: int = 4, size: int = 32) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (count, size, size, 3)), jnp.float32)


def drawn(model: nn.Module, size: int, **options: object) -> dict:
    """Random weights of a model for photos of `size` pixels; drawing them in numpy compiles nothing."""
    init = functools.partial(model.init, **options)
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, size, size, 3)))
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: np.float32(rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))), shapes
    )


def save_vgg(file: pathlib.Path, width: int = 2, **metadata: object) -> dict:
    """A random VGG-19 of little width in a file; its parameters."""
    variables = drawn(vgg.VGG(width=width), 32)
    save_weights(file, variables, {"model": "vgg19", "options": {"width": width}} | metadata)
    return variables["params"]


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    file = tmp_path_factory.mktemp("vgg") / "vgg19.npz"
    save_vgg(file)
    return file


@pytest.fixture(scope="module", params=["laplacian", "vgg", "detector"])
def network(request: pytest.FixtureRequest, vgg_file: pathlib.Path) -> FeatureNetwork:
    if request.param == "laplacian":
        return ColouredPyramid()
    if request.param == "vgg":
        return feature_networks.load_features(str(vgg_file))
    model = CNN(5, widths=(4, 6, 8), head_width=4)
    variables = drawn(model, 16, train=False)
    return DetectorFeatures(dict(variables), model, input_size=16, layers=("block1", "block2"))


def test_a_perceptual_loss_is_0_for_the_same_photo_and_about_1_for_another(network: FeatureNetwork) -> None:
    images = photos()
    # The network goes into a jitted function as an argument.
    scales = jax.jit(translation_losses.layer_scales)(network, images)
    assert scales.content.keys() == scales.gram.keys() == jax.eval_shape(network, images).keys()
    loss = jax.jit(functools.partial(translation_losses.perceptual, gram_weight=0.1))
    np.testing.assert_array_equal(loss(images, images, network, scales), np.zeros(4))
    others = loss(jnp.roll(images, 1, axis=0), images, network, scales)
    assert others.shape == (4,)
    # The mean over the batch that set the scales is 1 for each layer and kind of term, by their definition.
    assert_float32_close(jnp.mean(others), 1.1, depth=32 * 32 + 1500)


def test_each_term_is_a_mean_over_its_scale_by_hand() -> None:
    def network(images: jax.Array) -> dict[str, jax.Array]:
        return {"a": images, "b": 100 * images[:, :1, :1]}

    truth = jnp.zeros((2, 2, 2, 1))
    predicted = jnp.asarray([1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 2.0]).reshape(2, 2, 2, 1)
    terms = translation_losses.layer_terms(network(predicted), network(truth))
    np.testing.assert_array_equal(terms.content["a"], [0.5, 2.0])
    np.testing.assert_array_equal(terms.gram["a"], [0.5, 4.0])
    np.testing.assert_array_equal(terms.content["b"], [100, 200])
    np.testing.assert_array_equal(terms.gram["b"], [1e4, 4e4])
    scales = translation_losses.LayerTerms({"a": 0.5, "b": 100.0}, {"a": 0.5, "b": 1e4})
    loss = translation_losses.perceptual(predicted, truth, network, scales, gram_weight=0.5)
    assert_float32_close(loss, [(1.5 + 1.5) / 2, (4 + 4 + 2 + 2) / 2], depth=8)


def test_the_published_perceptual_loss_is_five_times_the_sum_of_its_terms() -> None:
    """The terms of the test above, with Gram matrices that are divided by 4, and a weight of 0.1."""

    def network(images: jax.Array) -> dict[str, jax.Array]:
        return {"a": images, "b": 100 * images[:, :1, :1]}

    truth = jnp.zeros((2, 2, 2, 1))
    predicted = jnp.asarray([1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 2.0]).reshape(2, 2, 2, 1)
    scales = translation_losses.published_scales(network, truth)
    loss = translation_losses.perceptual(predicted, truth, network, scales, gram_weight=0.1)
    expected = [5 * (0.5 + 100 + 0.1 * (0.5 + 1e4) / 4), 5 * (2 + 200 + 0.1 * (4 + 4e4) / 4)]
    assert_float32_close(loss, expected, depth=8)


def test_as_published_vgg_comes_with_the_photo_in_grey_levels(vgg_file: pathlib.Path) -> None:
    levels = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    images = jnp.asarray((levels - 127.5) / 128)
    photo = jax.jit(lambda network, images: network(images)["input"])
    normalised, grey = (photo(feature_networks.load_features(str(vgg_file), kind), images) for kind in (False, True))
    np.testing.assert_array_equal(normalised, images)
    assert_float32_close(grey, levels - np.array([123.68, 116.779, 103.939]), depth=4, scale=255)


def test_missing_weights_of_vgg_are_told_with_the_command_that_makes_them(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"vgg19\.npz is missing: `jaxlm convert vgg19\.pth --model vgg19 --out"
    ):
        feature_networks.load_features(str(tmp_path / "vgg19.npz"))


def test_gram_matrix_is_the_mean_product_of_channels() -> None:
    features = photos(2, 4)
    flat = np.asarray(features).reshape(2, 16, 3)
    expected = np.stack([face.T @ face / 16 for face in flat])
    assert_float32_close(translation_losses.gram(features), expected, depth=16)


def test_scales_want_two_photos() -> None:
    with pytest.raises(ValueError, match="distances between photos; 1 are too few"):
        translation_losses.layer_scales(LaplacianFeatures(), photos(1))


def test_shapes_are_not_broadcast() -> None:
    scales = translation_losses.LayerTerms({}, {})
    with pytest.raises(AssertionError):
        translation_losses.perceptual(photos(1), photos(4), LaplacianFeatures(), scales)


def test_pyramid_holds_the_photo_and_flat_photos_have_no_bands() -> None:
    images = photos(2, 32)
    laplacian = jax.jit(LaplacianFeatures())
    features = laplacian(images)
    assert {name: feature.shape[1] for name, feature in features.items()} == {
        "band_32px": 32,
        "band_16px": 16,
        "band_8px": 8,
        "base": 4,
        "spread": 4,
    }
    rebuilt = features["base"]
    for side in (8, 16, 32):
        rebuilt = features[f"band_{side}px"] + jax.image.resize(rebuilt, (2, side, side, 3), "bilinear")
    assert_float32_close(rebuilt, images, depth=20)
    flat = laplacian(jnp.full((1, 16, 16, 3), 0.3))
    assert_float32_close(flat["band_16px"], np.zeros((1, 16, 16, 3)), depth=8, scale=0.3)
    assert_float32_close(flat["base"], np.full((1, 4, 4, 3), 0.3), depth=16)
    # The root of 1e-4 and of a difference of squares.
    assert_float32_close(flat["spread"], np.full((1, 4, 4, 3), 0.01), depth=16, scale=0.3**2 / (2 * 0.01))


def test_spread_is_the_standard_deviation_of_each_cell() -> None:
    images = photos(1, 16)
    cells = np.asarray(images).reshape(4, 4, 4, 4, 3).std(axis=(1, 3))
    spread = jax.jit(LaplacianFeatures())(images)["spread"][0]
    assert_float32_close(spread, np.sqrt(cells**2 + 1e-4), depth=2 * 16)


def test_colours_are_told_from_brightness() -> None:
    grey = jnp.repeat(photos(1, 16)[..., :1], 3, axis=-1)
    pyramid = jax.jit(ColouredPyramid())
    features = pyramid(grey)
    assert_float32_close(features["chroma"], np.zeros((1, 4, 4, 2)), depth=3 + 16, scale=1)
    assert_float32_close(features["chroma_spread"], np.full((1, 4, 4, 2), 0.01), depth=3 + 16)
    brightness = np.sqrt(3) * np.asarray(grey[..., 0])
    expected = [brightness.mean(), 0, 0, np.sqrt(brightness.var() + 1e-4), 0.01, 0.01]
    assert_float32_close(features["palette"][0, 0, 0], expected, depth=3 + 256, scale=3)
    tinted = pyramid(grey + jnp.asarray([[[[0.2, -0.2, 0.0]]]]))
    expected = np.broadcast_to([0.4 / np.sqrt(2), 0], (1, 4, 4, 2))
    assert_float32_close(tinted["chroma"], expected, depth=3 + 16, scale=1)
    assert_float32_close(tinted["palette"][..., 0], features["palette"][..., 0], depth=3 + 256, scale=1)
    assert {*features} - {*jax.eval_shape(LaplacianFeatures(), grey)} == {"chroma", "chroma_spread", "palette"}


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_vgg_has_the_parameters_that_a_conversion_gives(name: str) -> None:
    init = vgg.VGG(vgg.STAGES[name]).init
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert vgg._shapes(shapes) == MAPS[name]({}, "wflw98").shapes


def test_vgg_pools_between_stages_and_ends_each_layer_in_a_relu(vgg_file: pathlib.Path) -> None:
    model, variables = vgg.load_vgg(vgg_file)
    images = photos(1, 32)
    features = jax.jit(model.apply)(variables, images)
    assert [features[f"conv{k}_1"].shape for k in range(1, 6)] == [
        (1, 32, 32, 2),
        (1, 16, 16, 4),
        (1, 8, 8, 8),
        (1, 4, 4, 16),
        (1, 2, 2, 16),
    ]
    kernel, bias = (np.asarray(variables["params"]["conv2_1"][name]) for name in ("kernel", "bias"))
    pooled = np.asarray(features["conv1_2"]).reshape(16, 2, 16, 2, 2).max(axis=(1, 3))
    expected = np.einsum("hwc,hwcd->d", pooled[4:7, 7:10], kernel) + bias
    assert_float32_close(features["conv2_1"][0, 5, 8], np.maximum(expected, 0), depth=2 * 9)


def test_weights_of_another_shape_or_network_are_refused(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "wide.npz"
    save_vgg(file, options={"width": 3})
    with pytest.raises(ValueError, match=r"wide\.npz: 32 arrays do not fit vgg19\n  params/conv1_1/bias: \(2,\), want"):
        vgg.load_vgg(file)
    params = save_vgg(file)
    del params["conv5_4"]
    params["conv6_1"] = params["conv1_1"]
    save_weights(file, {"params": params}, {"model": "vgg19", "options": {"width": 2}})
    with pytest.raises(ValueError, match=r"4 arrays do not fit vgg19") as caught:
        vgg.load_vgg(file)
    assert "params/conv5_4/kernel: missing, wanted (3, 3, 16, 16)" in str(caught.value)
    assert "params/conv6_1/bias: (2,), wanted nothing" in str(caught.value)
    save_vgg(file, model="resnet18")
    with pytest.raises(ValueError, match="holds 'resnet18', not one of vgg16, vgg19"):
        vgg.load_vgg(file)


def test_detector_features_are_its_layers_and_unknown_ones_are_refused() -> None:
    model = CNN(5, widths=(4, 6), head_width=4)
    variables = drawn(model, 16, train=False)
    images = photos(2, 32)
    features = jax.eval_shape(DetectorFeatures(dict(variables), model, input_size=16, layers=("block1",)), images)
    assert {name: feature.shape for name, feature in features.items()} == {
        "input": (2, 32, 32, 3),
        "block1": (2, 8, 8, 4),
    }
    with pytest.raises(ValueError, match=r"no layers \['fc1'\] that give maps; it has .*block2"):
        DetectorFeatures(dict(variables), model, input_size=16, layers=("block1", "fc1"))(images)


def test_kl_divergence_is_that_of_unit_gaussians() -> None:
    posterior = (jnp.ones((2, 2, 2, 3)), jnp.zeros((2, 4, 4, 3)))
    prior = (jnp.zeros((2, 2, 2, 3)), jnp.zeros((2, 4, 4, 3)).at[1, 0, 0, 0].set(3.0))
    coarse, fine = translation_losses.kl_divergences(posterior, prior)
    np.testing.assert_array_equal(coarse, [6, 6])  # Half of twelve dimensions.
    np.testing.assert_array_equal(fine, [0, 4.5])
    slopes = jax.grad(lambda q, p: translation_losses.kl_divergences(q, p)[0].sum(), argnums=(0, 1))(posterior, prior)
    np.testing.assert_array_equal(slopes[0][0], 1.0)
    np.testing.assert_array_equal(slopes[1][0], -1.0)


def test_translation_loss_adds_the_mean_divergence_or_its_sum_and_logs_each_latent() -> None:
    images = photos(4, 16)
    network = LaplacianFeatures()
    scales = jax.jit(translation_losses.layer_scales)(network, images)
    posterior = (jnp.ones((4, 4, 4, 2)), jnp.zeros((4, 8, 8, 2)).at[0, :, :, 0].set(4.0))
    prior = jax.tree.map(jnp.zeros_like, posterior)
    outputs = VUNetOutputs(images, posterior, prior)
    loss, metrics = jax.jit(translation_losses.translation_loss)(outputs, images, network, scales, beta=2.0)
    # 16 and, in the first face, 512 nats; 160 dimensions.
    assert_float32_close(loss, [2 * (16 + 512) / 160, *[2 * 16 / 160] * 3], depth=160)
    summed, _ = jax.jit(functools.partial(translation_losses.translation_loss, summed=True))(
        outputs, images, network, scales, beta=2.0
    )
    assert_float32_close(summed, [2 * (16 + 512), *[2 * 16] * 3], depth=160)
    expected = {"perceptual": 0, "kl_4px": 16, "active_4px": 0, "kl_8px": 128, "active_8px": 0.5}
    assert {name: float(value) for name, value in metrics.items()} == expected


def test_published_warmup() -> None:
    weight = translation.published_warmup(1.0)
    np.testing.assert_allclose([weight(0), weight(25_000)], 1e-6, rtol=0.02)  # A float32 difference from 1.
    assert_float32_close([weight(31_250), weight(37_500), weight(50_000)], [0.5 + 0.5e-6, 1, 1], depth=6)


def test_linear_warmup() -> None:
    weight = translation.linear_warmup(0.5, 100)
    assert_float32_close([weight(0), weight(50), weight(100), weight(1_000)], [0, 0.25, 0.5, 0.5], depth=4)
