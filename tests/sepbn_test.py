"""SepBN against K whole BatchNorms, and the properties of its attention and statistics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxlm.models.layers import SeparableBatchNorm
from tolerances import assert_float32_close, assert_float32_trees_close, float32_error

SHAPE = (6, 8, 8, 20)
VALUES = 6 * 8 * 8  # Of a channel.
FORMS = {
    "code": SeparableBatchNorm(sets=3),
    "grouped": SeparableBatchNorm(sets=3, groups=2, attention="grouped", pool=2),
}


def inputs(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).normal(0.4, 1.5, shape).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("layer", "train"))
def run(
    layer: nn.Module, variables: dict, x: jax.Array, *, train: bool = False, temperature: float = 1.0
) -> tuple[jax.Array, dict]:
    """The output and the collections that changed or were sown."""
    return layer.apply(
        variables, x, use_running_average=not train, temperature=temperature, mutable=["batch_stats", "intermediates"]
    )


def variables_of(layer: SeparableBatchNorm, x: np.ndarray) -> dict:
    """Variables as of a trained layer: the sets differ and the running statistics are not 0 and 1."""
    shapes = jax.eval_shape(functools.partial(layer.init, use_running_average=False), jax.random.key(0), x)
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda leaf: rng.uniform(0.2, 0.9, leaf.shape).astype(leaf.dtype), shapes)


def attention_of(layer: SeparableBatchNorm, variables: dict, x: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    return np.asarray(run(layer, variables, x, temperature=temperature)[1]["intermediates"]["attention"][0])


def with_attention(variables: dict, fc2: np.ndarray) -> dict:
    return variables | {"params": variables["params"] | {"fc2": {"kernel": fc2}}}


@functools.partial(jax.jit, static_argnames=("train",))
def batch_norm(variables: dict, x: jax.Array, k: int, *, train: bool) -> tuple[jax.Array, dict]:
    """Flax's BatchNorm with set k of a SepBN layer's variables."""
    params = {name: variables["params"][name][k] for name in ("scale", "bias")}
    norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)
    return norm.apply({"params": params, "batch_stats": variables["batch_stats"]}, x, mutable=["batch_stats"])


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("form", FORMS)
def test_equals_the_mean_of_k_batch_norms(form: str, train: bool) -> None:
    layer, x = FORMS[form], inputs()
    variables = variables_of(layer, x)
    y, changed = run(layer, variables, x, train=train)
    p = np.asarray(changed["intermediates"]["attention"][0])
    p = np.repeat(p, SHAPE[-1] // p.shape[1], axis=1)  # [B, C, K]
    expected = np.zeros(SHAPE)
    for k in range(3):
        normalised, updated = batch_norm(variables, x, k, train=train)
        expected += p[:, None, None, :, k] * normalised
        assert_float32_trees_close(updated["batch_stats"], changed["batch_stats"], depth=VALUES)
    assert_float32_close(y, expected, depth=VALUES)


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
def test_one_set_is_batch_norm_bit_for_bit(train: bool) -> None:
    layer, x = SeparableBatchNorm(sets=1), inputs()
    variables = variables_of(layer, x)
    y, changed = run(layer, variables, x, train=train)
    expected, updated = batch_norm(variables, x, 0, train=train)
    np.testing.assert_array_equal(y, expected)
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], changed["batch_stats"])


@pytest.mark.parametrize(("channels", "hidden"), [(64, 6), (128, 12), (256, 25), (512, 51), (1024, 102), (2048, 204)])
def test_hidden_widths_and_parameters_of_the_released_form(channels: int, hidden: int) -> None:
    init = functools.partial(SeparableBatchNorm(sets=3).init, use_running_average=False)
    params = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 2, 2, channels)))["params"]
    assert [params[name]["kernel"].shape for name in ("fc1", "fc2")] == [(channels, hidden), (hidden, 3)]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count == 2 * 3 * channels + channels * hidden + hidden * 3


def test_parameters_of_the_grouped_form() -> None:
    params = variables_of(FORMS["grouped"], inputs())["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count == 2 * 3 * 20 + 20 * 2 + (2 * 2 * 2) * (2 * 3)


def test_initial_variables() -> None:
    init = jax.jit(functools.partial(SeparableBatchNorm(sets=3).init, use_running_average=False))
    variables = init(jax.random.key(1), inputs((2, 4, 4, 400)))
    params = variables["params"]
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(400))
    np.testing.assert_array_equal(variables["batch_stats"]["var"], np.ones(400))
    np.testing.assert_array_equal(params["scale"], np.ones((3, 400)))
    np.testing.assert_array_equal(params["bias"], np.zeros((3, 400)))
    for name, fan_in in (("fc1", 400), ("fc2", 40)):
        bound = np.sqrt(6 / fan_in)
        kernel = np.asarray(params[name]["kernel"])
        assert 0.95 * bound < np.abs(kernel).max() <= bound
        assert np.std(kernel) == pytest.approx(bound / np.sqrt(3), rel=0.15)  # Of 120 draws and more.


@pytest.mark.parametrize("form", FORMS)
def test_attention_is_a_distribution_that_flattens_with_temperature(form: str) -> None:
    layer, x = FORMS[form], inputs()
    variables = variables_of(layer, x)
    sharp, warm, flat = (attention_of(layer, variables, x, temperature) for temperature in (1.0, 30.0, 1e9))
    assert sharp.shape == (SHAPE[0], layer.groups, 3)
    sums = np.stack([weights.sum(-1) for weights in (sharp, warm, flat)])
    assert_float32_close(sums, np.ones(sums.shape), depth=6)
    assert_float32_close(flat, np.full(flat.shape, 1 / 3), depth=6)
    expected = sharp ** (1 / 30)
    assert_float32_close(warm, expected / expected.sum(-1, keepdims=True), depth=20)
    assert np.ptp(warm, axis=-1).min() > 1e-3


def test_attention_reads_the_raw_input() -> None:
    layer, x = FORMS["code"], inputs()
    variables = variables_of(layer, x)
    fc1, fc2 = (variables["params"][name]["kernel"] for name in ("fc1", "fc2"))
    hidden = x.mean((1, 2)) @ fc1
    logits = np.where(hidden > 0, hidden, 0.01 * hidden) @ fc2
    weights = np.exp(logits)
    expected = weights / weights.sum(-1, keepdims=True)
    assert_float32_close(
        attention_of(layer, variables, x)[:, 0], expected, depth=64 + 20 + 2, scale=np.abs(logits).max()
    )


def test_grouped_attention_follows_its_group() -> None:
    """A group's channels are scaled by its own row, and equal rows give what one group gives."""
    x = inputs()
    grouped, single = FORMS["grouped"], SeparableBatchNorm(sets=3)
    variables = variables_of(grouped, x)
    # All weight on set 0 in the first group and on set 2 in the second, for inputs whose logits are positive.
    fc2 = np.zeros((8, 2, 3), np.float32)
    fc2[:, 0, 0] = fc2[:, 1, 2] = 1e4
    positive = np.abs(x)
    y = run(grouped, with_attention(variables, fc2.reshape(8, 6)), positive)[0]
    stats, params = variables["batch_stats"], variables["params"]
    scale, bias = (np.concatenate([params[name][0, :10], params[name][2, 10:]]) for name in ("scale", "bias"))
    assert_float32_close(y, (positive - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * scale + bias, depth=6)

    uniform = variables_of(single, x)
    uniform = with_attention(uniform, np.zeros_like(uniform["params"]["fc2"]["kernel"]))
    uniform["params"] |= {name: params[name] for name in ("scale", "bias")}
    uniform["batch_stats"] = stats
    equal_rows = with_attention(variables, np.zeros((8, 6), np.float32))
    assert_float32_close(run(grouped, equal_rows, x)[0], run(single, uniform, x)[0], depth=6)


@pytest.mark.parametrize("form", FORMS)
def test_attention_learns_nothing_while_the_sets_are_equal(form: str) -> None:
    layer, x = FORMS[form], inputs()
    variables = variables_of(layer, x)
    variables["params"] |= {"scale": np.ones((3, 20), np.float32), "bias": np.zeros((3, 20), np.float32)}

    @jax.jit
    @jax.grad
    def gradient(params: dict) -> jax.Array:
        y, _ = run(layer, variables | {"params": params}, x, train=True, temperature=30.0)
        return jnp.abs(y - 0.3).mean()

    found = gradient(variables["params"])
    largest = np.abs(found["scale"]).max()
    assert largest > 1e-4
    # What each set gives is the same, so that they cancel out.
    assert max(np.abs(found[name]["kernel"]).max() for name in ("fc1", "fc2")) < float32_error(depth=64, scale=largest)
    other = with_attention(variables, 7.0 * variables["params"]["fc2"]["kernel"])
    assert_float32_close(run(layer, other, x)[0], run(layer, variables, x)[0], depth=6)


@pytest.mark.parametrize("unbiased", [False, True])
def test_running_statistics_keep_nine_tenths(unbiased: bool) -> None:
    layer, x = SeparableBatchNorm(unbiased_running_var=unbiased), inputs((2, 2, 2, 10))
    variables = variables_of(layer, x)
    new, old = run(layer, variables, x, train=True)[1]["batch_stats"], variables["batch_stats"]
    values = x.astype(np.float64).reshape(-1, 10)
    var = values.var(0, ddof=int(unbiased))
    assert_float32_close(new["mean"], 0.9 * old["mean"] + 0.1 * values.mean(0), depth=8)
    assert_float32_close(new["var"], 0.9 * old["var"] + 0.1 * var, depth=8)


def test_evaluation_leaves_the_statistics() -> None:
    variables = variables_of(FORMS["code"], inputs())
    after = run(FORMS["code"], variables, inputs())[1]["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, after, variables["batch_stats"])


@pytest.mark.parametrize("form", FORMS)
def test_evaluation_does_not_depend_on_the_rest_of_the_batch(form: str) -> None:
    layer, x = FORMS[form], inputs()
    variables = variables_of(layer, x)
    together = run(layer, variables, x)[0]
    assert_float32_close(run(layer, variables, x[::-1])[0][::-1], together, depth=64 + 20)
    for i in range(len(x)):
        assert_float32_close(run(layer, variables, x[i : i + 1])[0][0], together[i], depth=64 + 20)


def test_bfloat16_keeps_statistics_and_parameters_in_float32() -> None:
    layer, x = SeparableBatchNorm(dtype=jnp.bfloat16), inputs().astype(jnp.bfloat16)
    variables = variables_of(layer, x)
    y, changed = run(layer, variables, x, train=True)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves([variables, changed])} == {jnp.dtype(jnp.float32)}
    expected, exact = run(SeparableBatchNorm(), variables, x.astype(np.float32), train=True)
    assert_float32_trees_close(changed["batch_stats"], exact["batch_stats"], depth=VALUES)
    # bfloat16 rounds by up to 2^-9 of a value.
    np.testing.assert_allclose(np.asarray(y, np.float32), expected, rtol=0, atol=2**-8 * np.abs(expected).max())


def test_statistics_span_a_sharded_batch() -> None:
    layer = FORMS["code"]
    # Every device's own mean would be another.
    x = inputs((8, 8, 8, 20)) + np.arange(8, dtype=np.float32)[:, None, None, None]
    variables = variables_of(layer, x)
    expected = run(layer, variables, x, train=True)
    split = NamedSharding(jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,)), PartitionSpec("data"))
    result = jax.block_until_ready(run(layer, variables, jax.device_put(x, split), train=True))
    assert len(result[0].sharding.device_set) == 4
    assert_float32_trees_close(result, expected, depth=8 * 64)


def test_no_intermediate_is_k_times_the_activations() -> None:
    layer, x = SeparableBatchNorm(sets=7), inputs()
    variables = variables_of(layer, x)
    jaxpr = jax.make_jaxpr(functools.partial(layer.apply, variables, use_running_average=True))(x)
    assert max(out.aval.size for equation in jaxpr.eqns for out in equation.outvars) == x.size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "grup"}, "'code' or 'grouped', not 'grup'"),
        ({"groups": 2}, "use attention 'grouped'"),
        ({"attention": "grouped", "groups": 3}, "20 channels cannot be cut into 3 groups"),
        ({"attention": "grouped", "pool": 3}, "pool = 3 does not divide a map of 8 x 8"),
        ({"sets": 0}, "start at 1"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        variables_of(SeparableBatchNorm(**options), inputs())
