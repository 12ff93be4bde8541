"""The variational U-Net: published counts, its start from data, what depends on what, and the order of transfers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

from jaxlm.images import structure_maps
from jaxlm.models import vunet
from jaxlm.models.vunet import PUBLISHED, VUNet, layers
from jaxlm.tasks import translation_losses
from tolerances import assert_float32_close

SLIM = {"width": 4, "encoder_width": 4, "max_width": 4}
# Fewest scales: two latents, one step of the pyramid. Every operator more is paid in compilation, which is shorter for
# operators of the same shapes, run one by one, than for whole functions: most tests use batches of 6 and no jit.
SIZE = 8
RNGS = {name: jax.random.key(i, impl="unsafe_rbg") for i, name in enumerate(("params", "latent", "dropout"))}


@functools.cache
def faces(count: int = 6, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Smooth random photos and maps of five dots."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(-1, 1, (count, 4, 4, 3)).astype(np.float32)
    images = np.asarray(jax.image.resize(coarse, (count, size, size, 3), "bilinear"))
    points = rng.uniform(0, size - 1, (count, 5, 2)).astype(np.float32)
    return images, np.asarray(structure_maps.dot_map(jnp.asarray(points), size, 1.5))


@functools.cache
def slim() -> tuple[VUNet, dict]:
    """A small model as `init` starts it."""
    model = VUNet(**SLIM, trailing_block=True)
    return model, model.init(RNGS, *faces(), train=True)


@functools.cache
def shapes_of(size: int, **options: object) -> dict:
    images = structures = jnp.zeros((16, size, size, 3))
    return jax.eval_shape(functools.partial(VUNet(**options).init, train=True), RNGS, images, structures)["params"]


def parameters(tree: dict) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def counts(params: dict) -> dict[str, int]:
    style, renderer = params["style_encoder"], params["renderer"]
    prior = parameters({name: tree for name, tree in renderer.items() if name.startswith("prior")})
    return {
        "enc_up": parameters(style["pyramid"]),
        "enc_down": parameters(style) - parameters(style["pyramid"]),
        "dec_up": parameters(params["structure_encoder"]),
        "dec_down": parameters(renderer) - prior - parameters(renderer["output"]),
        "prior": prior,
        "output": parameters(renderer["output"]),
    }


@pytest.mark.parametrize(
    ("size", "enc_up", "dec_up", "dec_down", "total"),
    [
        (256, 2_954_880, 2_253_216, 6_128_896, 47_253_894),
        (128, 2_511_744, 1_810_080, 4_914_432, 45_153_158),
    ],
)
def test_published_parameters_by_part(size: int, enc_up: int, dec_up: int, dec_down: int, total: int) -> None:
    params = shapes_of(size, **PUBLISHED)
    expected = {"enc_up": enc_up, "enc_down": 2_182_912, "dec_up": dec_up, "dec_down": dec_down}
    assert counts(params) == expected | {"prior": 33_733_120, "output": 870}
    assert parameters(params) == total


def test_the_trailing_block_is_an_option() -> None:
    params = shapes_of(128, **PUBLISHED)
    without = shapes_of(128, **PUBLISHED | {"trailing_block": False})
    assert "block2_8px" not in without["style_encoder"]
    assert parameters(params) - parameters(without) == parameters(params["style_encoder"]["block2_8px"])


def test_slim_parameters() -> None:
    assert [parameters(shapes_of(size)) for size in (256, 128, 64)] == [13_081_766, 10_981_030, 8_880_294]


@pytest.mark.parametrize(("size", "options"), [(64, {}), (256, PUBLISHED)])
def test_shapes(size: int, options: dict) -> None:
    model = VUNet(**options)
    images = structures = jnp.zeros((2, size, size, 3))
    variables = {"params": shapes_of(size, **options)}
    outputs = jax.eval_shape(functools.partial(model.apply, train=True, rngs=RNGS), variables, images, structures)
    assert outputs.images.shape == images.shape
    for latents in (outputs.posterior, outputs.prior):
        assert [means.shape for means in latents] == [(2, 4, 4, 128), (2, 8, 8, 128)]
    style = jax.eval_shape(functools.partial(model.apply, method="encode"), variables, images)
    assert [means.shape for means in style] == [(2, 4, 4, 128), (2, 8, 8, 128)]


def test_depth_to_space_orders_channels_by_row_then_column() -> None:
    x = jnp.arange(8.0).reshape(1, 1, 1, 8)  # Two channels in each of four blocks.
    np.testing.assert_array_equal(layers.depth_to_space(x)[0], [[[0, 1], [2, 3]], [[4, 5], [6, 7]]])


def test_groups_are_sub_lattices_and_merge_to_what_was_split() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    groups = layers.split_groups(x)
    for group, (row, column) in zip(groups, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        np.testing.assert_array_equal(group, x[:, row::2, column::2])
    np.testing.assert_array_equal(layers.merge_groups(groups), x)


def test_every_layer_starts_with_mean_0_and_variance_1_on_the_batch_of_init() -> None:
    model, variables = slim()
    _, state = model.apply(
        variables, *faces(), train=True, rngs=RNGS, mutable=["intermediates"], capture_intermediates=_is_convolution
    )
    outputs = state["intermediates"]
    outputs = traverse_util.flatten_dict(outputs, sep="/")
    assert len(outputs) == sum(path[-1].key == "v" for path, _ in jax.tree.leaves_with_path(variables))
    for (value,) in outputs.values():
        depth, ones = 500 + value[..., 0].size, np.ones(value.shape[-1])
        assert_float32_close(np.mean(value, (0, 1, 2)), 0 * ones, depth, scale=1)
        assert_float32_close(np.var(value, (0, 1, 2)), ones, depth)


def _is_convolution(module: object, method: str) -> bool:
    return isinstance(module, layers.WeightNormConv) and method == "__call__"


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_convolution_has_kernels_of_norm_g(size: int, stride: int) -> None:
    layer = layers.WeightNormConv(5, size, stride)
    x = jax.random.normal(jax.random.key(0), (4, 6, 6, 2))
    params = layer.init(jax.random.key(1), x)["params"]
    params = params | {"g": jnp.arange(1.0, 6.0), "b": jnp.arange(5.0)}
    kernel = np.asarray(params["v"])
    kernel = kernel / np.linalg.norm(kernel.reshape(-1, 5), axis=0) * np.arange(1.0, 6.0)
    # TensorFlow's padding: for stride 2, one row below and one column on the right.
    low = 0 if stride == 2 or size == 1 else 1
    padded = np.pad(x, ((0, 0), (low, size // 2), (low, size // 2), (0, 0)))
    window = padded[:, 2 * stride : 2 * stride + size, stride : stride + size]
    expected = np.einsum("bhwc,hwcd->bd", window, kernel) + np.arange(5.0)
    assert_float32_close(layer.apply({"params": params}, x)[:, 2, 1], expected, depth=2 * 18)


def test_init_refuses_a_batch_that_is_too_small() -> None:
    images, structures = faces()
    with pytest.raises(ValueError, match="init wants 4 different ones at least, best 16, and got 3"):
        VUNet(**SLIM).init(RNGS, images[:3], structures[:3], train=True)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"power of two from 8 on as side, found shape \(16, 96, 96, 3\)"):
        shapes_of(96)
    with pytest.raises(ValueError, match=r"photos \(6, 8, 8, 3\) and structures \(6, 4, 4, 1\) differ"):
        slim()[0].apply(slim()[1], faces()[0], faces()[1][:, ::2, ::2], train=False)


def test_transfer_renders_style_i_in_structure_j_and_reconstructions_on_the_diagonal() -> None:
    model, variables = slim()
    images, structures = faces()
    pairs = vunet.transfer(model, variables, images[:3], structures[:2])
    assert pairs.shape == (3, 2, SIZE, SIZE, 3)
    style, structure = np.repeat(np.arange(3), 2), np.tile(np.arange(2), 3)
    latents = model.apply(variables, images[style], method="encode")
    one_by_one = model.apply(variables, latents, structures[structure], method="decode")
    assert_float32_close(pairs[style, structure], one_by_one, depth=1500)
    assert np.abs(pairs[0, 1] - pairs[1, 0]).max() > 0.1
    # The diagonal.
    rebuilt = model.apply(variables, images, structures, method="reconstruct")
    assert_float32_close(rebuilt[:2], pairs[np.arange(2), np.arange(2)], depth=1500)


def test_the_second_mean_is_given_the_mean_of_the_first_latent_or_as_published_a_draw_of_it() -> None:
    """The draw is the mean plus noise of variance 1: the second mean differs by key, and the first does not."""
    model, variables = slim()
    images = faces()[0]
    coarse, fine = model.apply(variables, images, method="encode")
    published = functools.partial(VUNet.encode, draw=True)
    first, again, other = (
        model.apply(variables, images, method=published, rngs={"latent": jax.random.key(seed)}) for seed in (0, 0, 1)
    )
    for drawn in (first, other):
        np.testing.assert_array_equal(drawn[0], coarse)
        assert np.abs(drawn[1] - fine).max() > 0.1
    np.testing.assert_array_equal(first[1], again[1])
    assert np.abs(first[1] - other[1]).max() > 0.1
    # Where nothing reads the latent, the draw changes nothing: it enters by the kernel of the block's `extra` alone.
    extra = variables["params"]["style_encoder"]["block2_4px"]["extra"]
    deaf = jax.tree.map(jnp.copy, variables)
    deaf["params"]["style_encoder"]["block2_4px"]["extra"]["v"] = extra["v"].at[:, :, 4:].set(0)
    means = model.apply(deaf, images, method="encode")
    drawn = model.apply(deaf, images, method=published, rngs={"latent": jax.random.key(0)})
    np.testing.assert_array_equal(means[1], drawn[1])


def test_samples_differ_by_key_alone() -> None:
    model, variables = slim()
    images, structures = faces()
    first, again, other = (
        model.apply(variables, structures, method="sample", rngs={"latent": jax.random.key(seed)}) for seed in (0, 0, 1)
    )
    assert first.shape == images.shape
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def drawn_variables(layer: nn.Module, x: np.ndarray, latents: np.ndarray | None) -> dict:
    """Random ones, without compiling `init`."""
    shapes = jax.eval_shape(functools.partial(layer.init, train=False), RNGS, x, latents)
    return jax.tree.map(lambda leaf: 0.5 * normal(*leaf.shape), shapes)


@pytest.mark.parametrize("kind", [layers.FactorisedPrior, layers.AutoregressivePrior])
def test_priors_have_the_same_means_for_latents_drawn_and_given(kind: type) -> None:
    layer = kind(features=2, dropout=0.0)
    x = normal(64, 4, 4, 2)
    variables = drawn_variables(layer, x, None)
    means, drawn = jax.jit(functools.partial(layer.apply, train=False, rngs=RNGS))(variables, x, None)
    again, given = jax.jit(functools.partial(layer.apply, train=False))(variables, x, drawn)
    np.testing.assert_array_equal(given, drawn)
    assert_float32_close(again, means, depth=200)
    assert np.var(drawn - means) == pytest.approx(1, abs=0.1)  # Of 2048 draws.


def test_each_group_of_the_published_prior_depends_on_those_before_it_alone() -> None:
    layer = layers.AutoregressivePrior(features=2, dropout=0.0)
    x, latents = normal(4, 4, 4, 2), normal(4, 4, 4, 2, seed=1)
    variables = drawn_variables(layer, x, latents)

    def totals(latents: jax.Array) -> jax.Array:
        """One number for each group of means."""
        means, _ = layer.apply(variables, x, latents, train=False)
        return jnp.stack([jnp.sum(group**2) for group in layers.split_groups(means)])

    slopes = jax.jit(jax.jacrev(totals))(latents)
    reaches = [[bool(jnp.any(part)) for part in layers.split_groups(slope)] for slope in slopes]
    assert reaches == np.tril(np.ones((4, 4), bool), -1).tolist()


def test_means_are_float32_under_bfloat16() -> None:
    model, variables = slim()[0].clone(dtype=jnp.bfloat16), slim()[1]
    full = slim()[0].apply(variables, *faces(), train=False)
    half = jax.jit(functools.partial(model.apply, train=False))(variables, *faces())
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype("float32")}
    # Eight bits of mantissa through some forty layers.
    assert np.mean(np.abs(half.images - full.images)) < 0.05 * np.mean(np.abs(full.images))


def test_training_moves_every_parameter_but_the_trailing_block_and_the_loss_falls() -> None:
    model, variables = slim()
    images, structures = faces()
    # The photo itself, whose gradient compiles faster than that of a pyramid.
    scales = translation_losses.LayerTerms({"photo": jnp.ones(())}, {"photo": jnp.ones(())})

    @jax.jit
    @jax.value_and_grad
    def loss(params: dict) -> jax.Array:
        outputs = model.apply({"params": params}, images, structures, train=True, rngs=RNGS)
        losses, _ = translation_losses.translation_loss(outputs, images, lambda x: {"photo": x}, scales, beta=0.1)
        return jnp.mean(losses)

    params = variables["params"]
    before, grads = loss(params)
    still = {path[:2] for path, slope in traverse_util.flatten_dict(grads).items() if not np.any(slope)}
    assert still == {("style_encoder", "block2_8px")}
    for _ in range(20):
        params = jax.tree.map(lambda value, slope: value - 0.02 * jnp.sign(slope), params, loss(params)[1])
    assert loss(params)[0] < 0.8 * before
