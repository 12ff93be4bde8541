"""EfficientNet-Lite: its published size, its weights from PyTorch, and statistics that are kept."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import convert
from jaxlm.models import build, load_weights
from jaxlm.models.efficientnet import STAGES, EfficientNet, Encoder, NormedConv
from tolerances import assert_float32_close

State = dict[str, np.ndarray]


def shapes_of(model: EfficientNet) -> dict:
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), images)


@pytest.mark.parametrize(
    ("size", "encoder", "width", "parameters"),
    [("lite0", 2_958_848, 64, 3_143_492), ("lite0", 2_958_848, 128, 3_622_980), ("lite1", 3_723_520, 64, 3_908_164)],
)
def test_published_sizes(size: str, encoder: int, width: int, parameters: int):
    params = shapes_of(EfficientNet(68, size, width))["params"]
    counts = [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (params["encoder"], params)]
    assert counts == [encoder, parameters]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_maps_and_variables_are_float32(dtype: str):
    init = functools.partial(EfficientNet(5, dtype=jnp.dtype(dtype)).init_with_output, train=True)
    maps, variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((2, 64, 64, 3)))
    assert maps.shape == (2, 16, 16, 5)
    assert {leaf.dtype for leaf in jax.tree.leaves((maps, variables))} == {jnp.dtype("float32")}


def test_finer_maps_are_one_more_level_beside_the_same_layers():
    fine, coarse = (shapes_of(EfficientNet(5, stride=stride)) for stride in (2, 4))
    added = {"lateral0", "lateral_norm0", "smooth0", "smooth_norm0"}
    assert fine["params"].keys() - coarse["params"].keys() == added
    assert {name: fine["params"][name] for name in coarse["params"]} == coarse["params"]
    images = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    maps = jax.eval_shape(functools.partial(EfficientNet(5, stride=2).apply, train=False), fine, images)
    assert maps.shape == (2, 32, 32, 5)


def test_running_statistics_normalise_as_the_formula_has_it():
    """A kernel of one on 2, 4 and 6 of mean 1 and variance 3.999: (x - 1) / 2 times 3, plus 5."""
    layer = NormedConv(1, use_running_average=True)
    params = {"kernel": np.ones((1, 1, 1, 1), np.float32), "scale": np.float32([3]), "bias": np.float32([5])}
    statistics = {"mean": np.float32([1]), "var": np.float32([3.999])}
    x = np.float32([2, 4, 6]).reshape(1, 1, 3, 1)
    result = layer.apply({"params": params, "batch_stats": statistics}, x)
    assert_float32_close(result.ravel(), [6.5, 9.5, 12.5], depth=4)


def test_batches_normalise_by_their_own_and_move_the_running_statistics_by_a_tenth():
    """2, 4 and 6 have mean 4 and variance 8 / 3."""
    layer = NormedConv(1)
    variables = layer.init(jax.random.key(0), np.zeros((1, 1, 3, 1), np.float32))
    variables = {**variables, "params": {**variables["params"], "kernel": np.ones((1, 1, 1, 1), np.float32)}}
    x = np.float32([2, 4, 6]).reshape(1, 1, 3, 1)
    result, moved = layer.apply(variables, x, mutable=["batch_stats"])
    deviation = (8 / 3 + 1e-3) ** 0.5
    assert_float32_close(result.ravel(), [-2 / deviation, 0, 2 / deviation], depth=12)
    assert_float32_close(moved["batch_stats"]["mean"], [0.4], depth=4)
    assert_float32_close(moved["batch_stats"]["var"], [0.9 + 0.1 * 8 / 3], depth=12)


def test_padding_is_after_for_stride_2_on_even_sides():
    """The kernel of ones counts the pixels it sees: all nine but in the last row and column."""
    layer = NormedConv(None, 3, 2, use_running_average=True)
    params = {"kernel": np.ones((3, 3, 1, 1), np.float32), "scale": np.ones(1, np.float32), "bias": np.zeros(1)}
    statistics = {"mean": np.zeros(1, np.float32), "var": np.float32([1 - 1e-3])}
    result = layer.apply({"params": params, "batch_stats": statistics}, np.ones((1, 4, 4, 1), np.float32))
    assert_float32_close(result[0, :, :, 0], [[9, 6], [6, 4]], depth=9)


def test_kept_statistics_are_kept_in_training_and_every_parameter_is_in_use():
    model, rng = EfficientNet(5, decoder_width=8, kept_statistics=True), np.random.default_rng(0)
    x = rng.normal(size=(2, 32, 32, 3)).astype(np.float32)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32), shapes_of(model))

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def gradient_of(params: dict) -> tuple[jax.Array, dict]:
        maps, moved = model.apply(variables | {"params": params}, x, train=True, mutable=["batch_stats"])
        return jnp.square(maps - 1.0).mean(), moved["batch_stats"]

    gradient, statistics = jax.device_get(gradient_of(variables["params"]))
    jax.tree.map(np.testing.assert_array_equal, statistics["encoder"], variables["batch_stats"]["encoder"])
    assert not np.array_equal(statistics["lateral_norm1"]["mean"], variables["batch_stats"]["lateral_norm1"]["mean"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def torch_state(size: str) -> State:
    """Tensors as efficientnet_lite_pytorch names them, with values near those of trained networks."""
    rng, state = np.random.default_rng(0), {}

    def add(conv: str, norm: str, *shape: int) -> None:
        deviation = (2 / np.prod(shape[1:])) ** 0.5
        state[f"{conv}.weight"] = rng.normal(0, deviation, shape)
        state[f"{norm}.weight"], state[f"{norm}.bias"] = rng.uniform(0.8, 1.2, shape[0]), rng.normal(0, 0.3, shape[0])
        state[f"{norm}.running_mean"] = rng.normal(0, 0.1, shape[0])
        state[f"{norm}.running_var"] = rng.uniform(0.8, 1.2, shape[0])
        state[f"{norm}.num_batches_tracked"] = np.asarray(7)

    add("_conv_stem", "_bn0", 32, 3, 3, 3)
    block, channels = 0, 32
    for stage in STAGES[size]:
        for _ in range(stage.blocks):
            name, hidden = f"_blocks.{block}", stage.expansion * channels
            if stage.expansion != 1:
                add(f"{name}._expand_conv", f"{name}._bn0", hidden, channels, 1, 1)
            add(f"{name}._depthwise_conv", f"{name}._bn1", hidden, 1, stage.side, stage.side)
            add(f"{name}._project_conv", f"{name}._bn2", stage.features, hidden, 1, 1)
            block, channels = block + 1, stage.features
    add("_conv_head", "_bn1", 1280, 320, 1, 1)
    state |= {"_fc.weight": rng.normal(size=(10, 1280)), "_fc.bias": np.zeros(10)}
    return {name: np.asarray(tensor, np.float32) for name, tensor in state.items()}


def torch_maps(state: dict, size: str, images: np.ndarray) -> list[np.ndarray]:
    """What the PyTorch network gives at 1/4, 1/8, 1/16 and 1/32 of the side, written with PyTorch's functions."""
    import torch
    from torch.nn import functional

    def layer(x: torch.Tensor, conv: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{conv}.weight"]
        side = weight.shape[-1]
        pad = max(side - stride if x.shape[-1] % stride == 0 else side - x.shape[-1] % stride, 0)
        x = functional.pad(x, (pad // 2, pad - pad // 2, pad // 2, pad - pad // 2))
        groups = len(weight) if weight.shape[1] == 1 else 1
        x = functional.conv2d(x, weight, stride=stride, groups=groups)
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state[f"{norm}.{name}"] for name in names), eps=1e-3)

    x = functional.relu6(layer(torch.from_numpy(images).permute(0, 3, 1, 2), "_conv_stem", "_bn0", 2))
    block, maps = 0, []
    for stage in STAGES[size]:
        for index in range(stage.blocks):
            stride, name = stage.stride if index == 0 else 1, f"_blocks.{block}"
            if stride == 2:
                maps.append(x)
            y = functional.relu6(layer(x, f"{name}._expand_conv", f"{name}._bn0")) if stage.expansion != 1 else x
            y = functional.relu6(layer(y, f"{name}._depthwise_conv", f"{name}._bn1", stride))
            y = layer(y, f"{name}._project_conv", f"{name}._bn2")
            x, block = x + y if x.shape == y.shape else y, block + 1
    return [feature.permute(0, 2, 3, 1).numpy() for feature in [*maps, x]]


def test_weights_of_pytorch_give_its_maps(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(tensor) for name, tensor in torch_state("lite0").items()}
    torch.save(tensors, tmp_path / "lite0.pth")
    out = tmp_path / "lite0.npz"
    arguments = [str(tmp_path / "lite0.pth"), "--model", "efficientnet_lite0", "--out", str(out)]
    assert convert.main(arguments) == 0
    assert "0 left over, 0 missing" in capsys.readouterr().out
    variables, metadata = load_weights(out)
    assert metadata["options"] == {"size": "lite0"}
    images = np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    encoder = Encoder("lite0", functools.partial(NormedConv, use_running_average=True))
    maps = jax.jit(encoder.apply)({name: tree["encoder"] for name, tree in variables.items()}, images)
    for ours, theirs in zip(maps, torch_maps(tensors, "lite0", images), strict=True):
        # 49 convolutions one after the other, sums of up to 1,152 products.
        assert_float32_close(ours, theirs, depth=49 * 300)


def test_the_table_of_models_has_it():
    assert build("efficientnet", 5, {"decoder_width": 96}, jnp.float32) == EfficientNet(5, decoder_width=96)
