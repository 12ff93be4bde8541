"""The stacked hourglass: published counts, what its parts compute, which stack sees what; FAN."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

from jaxlm import models
from jaxlm.evaluation.cost import count_parameters
from jaxlm.models.fan import FAN, MultiScaleUnit
from jaxlm.models.hourglass import Bottleneck, Hourglass, MapHead, Resize, StackedHourglass, interpolation
from tolerances import assert_float32_close

# Of the normalisation before each of the stem's two projected units, which published code builds and never uses.
UNUSED = 384


def shapes(module: nn.Module, *shape: int) -> dict:
    return jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), jnp.zeros((1, *shape)))


def drawn(module: nn.Module, *shape: int) -> dict:
    """Random weights without compiling `init`, variances above 0."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(np.float32), shapes(module, *shape))


def run(module: nn.Module) -> Callable[[dict, np.ndarray], jax.Array]:
    return jax.jit(functools.partial(module.apply, train=False))


@pytest.mark.parametrize(
    ("module", "channels", "count"),
    [
        (Bottleneck(128), 64, 23_808 - 2 * 64),
        (Bottleneck(128), 128, 17_792),
        (Bottleneck(256), 128, 94_720 - 2 * 128),
        (Bottleneck(256), 256, 70_400),
        (Hourglass(4), 256, 915_200),
        (Hourglass(4), 128, 13 * 17_792),
        (Hourglass(2, bottom=False), 32, 6 * 1_184),
    ],
)
def test_counts_of_units_and_hourglasses(module: nn.Module, channels: int, count: int):
    assert count_parameters(shapes(module, 16, 16, channels)["params"]) == count


def test_counts_of_the_published_fan():
    """A unit of 256 channels has 406,400 parameters, the stem 476,288; four stacks come to 23,820,176."""
    stack = 14 * 406_400 + 256 * 256 + 256 + 2 * 256 + 68 * 256 + 68
    following = 256 * 256 + 256 + 68 * 256 + 256
    assert 476_288 + 4 * stack + 3 * following == 23_820_176
    assert count_parameters(shapes(MultiScaleUnit(256), 8, 8, 256)["params"]) == 406_400
    fan = FAN(68, stacks=2, units="published")
    assert count_parameters(shapes(fan, 64, 64, 3)["params"]) == 476_288 + 2 * stack + following


@pytest.mark.parametrize(("stacks", "published"), [(1, 1_195_328), (2, 2_320_192), (4, 4_569_920)])
def test_counts_of_the_published_estimator(stacks: int, published: int):
    model = StackedHourglass(functools.partial(MapHead, 13), stacks)
    assert count_parameters(shapes(model, 64, 64, 1)["params"]) == published - UNUSED


def test_interpolation_in_numbers():
    assert_float32_close(interpolation(2, 4, aligned_corners=True)[:, 1], [0, 1 / 3, 2 / 3, 1], depth=4)
    assert_float32_close(interpolation(2, 4, aligned_corners=False)[:, 1], [0, 0.25, 0.75, 1], depth=4)
    np.testing.assert_allclose(interpolation(4, 2, aligned_corners=False), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    np.testing.assert_array_equal(interpolation(1, 3, aligned_corners=True), np.ones((3, 1)))


@pytest.mark.parametrize("new", [4, 8, 32])
def test_resizing_is_bilinear_about_pixel_centres(new: int):
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    expected = jax.image.resize(x, (2, new, new, 3), "linear", antialias=False)
    assert_float32_close(Resize(new).apply({}, x), expected, depth=2 * 8)


def without_branches(variables: dict) -> dict:
    """The last convolution of every unit 0."""
    flat = traverse_util.flatten_dict(variables)
    return traverse_util.unflatten_dict({path: 0 * x if "conv3" in path else x for path, x in flat.items()})


def test_an_hourglass_of_units_that_add_nothing_adds_coarser_maxima():
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 4)).astype(np.float32)
    module = Hourglass(2)
    out = run(module)(without_branches(drawn(module, 4, 4, 4)), x)
    halved = x.reshape(1, 2, 2, 2, 2, 4).max((2, 4))
    up = interpolation(2, 4, aligned_corners=True)
    inner = halved + halved.max((1, 2), keepdims=True)
    assert_float32_close(out, x + np.einsum("ih,jw,bhwc->bijc", up, up, inner), depth=20)


def test_a_projected_unit_adds_a_convolution_of_the_same_input():
    x = np.random.default_rng(0).uniform(size=(1, 5, 5, 4)).astype(np.float32)
    module = Bottleneck(8, stride=2)
    variables = without_branches(drawn(module, 5, 5, 4))
    expected = x[:, ::2, ::2] @ variables["params"]["shortcut"]["kernel"][0, 0]
    assert_float32_close(run(module)(variables, x), expected, depth=8)


def test_a_stack_sees_the_maps_of_the_one_before_and_nothing_of_the_next():
    model = StackedHourglass(functools.partial(MapHead, 3), stacks=2, width=8, depth=1)
    variables = drawn(model, 16, 16, 3)
    images = np.random.default_rng(1).normal(size=(1, 16, 16, 3)).astype(np.float32)
    apply = run(model)
    maps = apply(variables, images)
    assert [leaf.shape for leaf in maps] == [(1, 4, 4, 3)] * 2
    for changed, differ in (("stack0_head", [True, True]), ("stack1_head", [False, True])):
        other = dict(variables["params"])
        other[changed] = jax.tree.map(lambda leaf: leaf + 0.1, other[changed])
        moved = apply(variables | {"params": other}, images)
        assert [bool(np.any(a != b)) for a, b in zip(maps, moved, strict=True)] == differ


@pytest.mark.parametrize(
    ("model", "side", "message"),
    [
        (StackedHourglass(functools.partial(MapHead, 3), stacks=0), 64, "at least 1 stack, not 0"),
        (StackedHourglass(functools.partial(MapHead, 3), depth=3), 48, "depth 3 need square images whose side 32"),
        (FAN(3, width=12, units="published"), 64, "need a width that 8 divides, not 12"),
        (FAN(3, width=8, units="published"), 96, "need square images whose side 64 divides"),
    ],
)
def test_what_cannot_be_built_is_named(model: nn.Module, side: int, message: str):
    with pytest.raises(ValueError, match=message):
        shapes(model, side, side, 3)


@pytest.mark.parametrize("stacks", [1, 2])
def test_fan_has_a_map_of_each_landmark_from_each_stack(stacks: int):
    fan = functools.partial(models.build, "fan", options={"stacks": stacks, "width": 32}, dtype=jnp.bfloat16)
    init = functools.partial(fan(num_points=68).init_with_output, train=False)
    maps, variables = jax.eval_shape(init, jax.random.key(0), jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32))
    assert [(leaf.shape, leaf.dtype) for leaf in maps] == [((2, 16, 16, 68), jnp.float32)] * stacks
    more = count_parameters(shapes(fan(num_points=98), 64, 64, 3)["params"]) - count_parameters(variables["params"])
    assert more == 30 * 32 * (stacks + stacks - 1)
