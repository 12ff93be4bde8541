"""Conversion of hand-made state dicts: values layer by layer, reports of what does not fit, and files of weights."""

import argparse
import functools
import json
import pathlib
import sys
import zipfile

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

from jaxlm import convert, models
from jaxlm.checkpoints import load_bundle
from jaxlm.interop import torch_checkpoints, torch_files
from jaxlm.interop import torch_layers as layers
from jaxlm.interop.torch_maps import MAPS, name_map
from jaxlm.landmarks.schemes import WFLW98
from jaxlm.models import load_weights, save_weights
from jaxlm.models.layers import SeparableBatchNorm
from jaxlm.tasks.reinitialisation import ReinitialisationTask
from tolerances import assert_float32_close

State = dict[str, np.ndarray]


@pytest.fixture(autouse=True, scope="module")
def shapes_once():
    """Each model is traced once for all tests: that takes seconds."""
    known, trace = {}, name_map.shapes_of

    def shapes_of(*model: object, **options: object) -> dict:
        key = repr((model, options))
        if key not in known:
            known[key] = trace(*model, **options)
        return dict(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(name_map, "shapes_of", shapes_of)
        yield


@functools.partial(jax.jit, static_argnums=0)
def run(model: nn.Module, variables: dict, images: np.ndarray) -> jax.Array:
    """What a model gives, compiled as a whole."""
    return model.apply(variables, images, train=False)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).uniform(0.1, 1, shape).astype(np.float32)


def batch_norm(name: str, width: int) -> State:
    values = {tensor: draw(width, seed=len(tensor)) for tensor in ("weight", "bias", "running_mean", "running_var")}
    counter = {f"{name}.num_batches_tracked": np.asarray(7)}
    return {f"{name}.{tensor}": value for tensor, value in values.items()} | counter


def weights(name: str, *shape: int, bias: bool = True) -> State:
    return {f"{name}.weight": draw(*shape)} | ({f"{name}.bias": draw(shape[0])} if bias else {})


def slope(name: str) -> State:
    return {f"{name}.weight": np.float32([-0.3])}


def released_mobilenet(features: str, head: str, inputs: int, width: int, outputs: int) -> State:
    """Tensors by the tables of the paper's code; `inputs` and `width` are those of the head."""
    state = weights(f"{features}.0.0", 8, 3, 3, 3, bias=False) | batch_norm(f"{features}.0.1", 8)
    stages = ((1, 8, 1), (6, 12, 2), (6, 16, 2), (6, 24, 3), (6, 32, 3), (6, 48, 3), (6, 64, 2), (6, 80, 1))
    block, channels = 0, 8
    for expansion, out, count in stages:
        for _ in range(count):
            block, hidden = block + 1, expansion * channels
            kernels = [(hidden, channels, 1, 1)] * (expansion > 1) + [(hidden, 1, 3, 3), (out, hidden, 1, 1)]
            for i, kernel in enumerate(kernels):
                state |= weights(f"{features}.{block}.conv.{3 * i}", *kernel, bias=False)
                state |= batch_norm(f"{features}.{block}.conv.{3 * i + 1}", kernel[0])
            channels = out
    state |= weights(f"{features}.18.0", 64, 80, 1, 1, bias=False) | batch_norm(f"{features}.18.1", 64)
    state |= weights(f"{head}.0", width, inputs) | weights(f"{head}.2", width, width) | slope(f"{head}.1")
    return state | weights(f"{head}.4", outputs, width) | slope(f"{head}.3")


@functools.cache
def released_gsr(points: int = 98) -> State:
    """Tensors of the released global networks."""
    convolutions = {0: (8, 3, 5, 5), 3: (16, 8, 3, 3), 5: (16, 16, 3, 3)}
    convolutions |= {8: (32, 16, 3, 3), 10: (32, 32, 3, 3), 13: (64, 32, 3, 3)}
    state = released_mobilenet("features", "pts_net", 256, 256, 2 * points)
    for number, shape in convolutions.items():
        state |= weights(f"localization.{number}", *shape)
    for number in (2, 4, 7, 9, 12, 14):
        state |= slope(f"localization.{number}")
    return state | weights("fc_loc.0", 32, 256) | slope("fc_loc.1") | weights("fc_loc.2", 6, 32)


def released_local(points: int, outputs: dict[str, int]) -> State:
    """Tensors of the local networks; `outputs` are two for each point of a part."""
    state: State = {}
    for part, count in outputs.items():
        state |= weights(f"{part}_net.0", 128, 2 * points) | weights(f"{part}_net.2", 64, 128)
        state |= weights(f"{part}_net.4", 6, 64) | slope(f"{part}_net.1") | slope(f"{part}_net.3")
        state |= released_mobilenet(f"{part}_net", f"{part}_loc", 64, 64, count)
    return state


def released_sepbn(widths: tuple[int, ...] = (6, 6, 8, 8, 10, 12), sets: int = 3) -> State:
    """Tensors of the released SepBN network, with fewer channels; the copies of a layer have equal statistics."""
    state: State = {}
    for i, (inputs, width) in enumerate(zip((3, *widths), widths, strict=False), start=1):
        state |= weights(f"conv{i}", width, inputs, 3, 3)
        for k in range(sets):
            state |= batch_norm(f"bn{i}.bn.{k}", width)
            state |= {f"bn{i}.bn.{k}.{name}": draw(width, seed=10 + k) for name in ("weight", "bias")}
        hidden = max(1, int(0.1 * width))
        state |= weights(f"bn{i}.fc1", hidden, width, 1, 1, bias=False) | weights(
            f"bn{i}.fc2", sets, hidden, 1, 1, bias=False
        )
    return state | weights("fc1", 20, widths[-1] * 4) | weights("fc2", 196, 20)


def torchvision_resnet18() -> State:
    state = weights("conv1", 64, 3, 7, 7, bias=False) | batch_norm("bn1", 64) | weights("fc", 1000, 512)
    for stage, width in ((1, 64), (2, 128), (3, 256), (4, 512)):
        for block in range(2):
            inputs = width // 2 if stage > 1 and block == 0 else width
            name = f"layer{stage}.{block}"
            state |= weights(f"{name}.conv1", width, inputs, 3, 3, bias=False) | batch_norm(f"{name}.bn1", width)
            state |= weights(f"{name}.conv2", width, width, 3, 3, bias=False) | batch_norm(f"{name}.bn2", width)
            if inputs != width:
                state |= weights(f"{name}.downsample.0", width, inputs, 1, 1, bias=False)
                state |= batch_norm(f"{name}.downsample.1", width)
    return state


def torchvision_vgg(indices: tuple[int, ...], widths: tuple[int, ...]) -> State:
    state = weights("classifier.6", 5, 4)
    for index, inputs, width in zip(indices, (3, *widths), widths, strict=False):
        state |= {f"features.{index}.weight": np.zeros((width, inputs, 3, 3), np.float32)}
        state |= {f"features.{index}.bias": np.zeros(width, np.float32)}
    return state


VGG16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG19 = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)


def array(entries: list[layers.Entry], name: str, state: State) -> np.ndarray:
    (entry,) = (entry for entry in entries if entry.target.endswith(f"/{name}"))
    return entry.convert(*(state[source] for source in entry.sources))


def parameters(variables: dict) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def correlate(images: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A valid convolution as PyTorch defines it: images [B, C, H, W], weight [D, C, h, w]."""
    windows = np.lib.stride_tricks.sliding_window_view(images, weight.shape[2:], axis=(2, 3))
    return np.einsum("bcijhw,dchw->bdij", windows, weight)


def test_convolution():
    images, state = draw(2, 4, 6, 5), weights("c", 3, 4, 3, 3)
    entries = layers.conv("c", "c", bias=True)
    params = {name: array(entries, name, state) for name in ("kernel", "bias")}
    ours = nn.Conv(3, (3, 3), padding="VALID").apply({"params": params}, images.transpose(0, 2, 3, 1))
    expected = correlate(images, state["c.weight"]) + state["c.bias"][:, None, None]
    assert_float32_close(ours.transpose(0, 3, 1, 2), expected, depth=4 * 9)


def test_depthwise_convolution():
    images, state = draw(1, 4, 6, 5), weights("c", 4, 1, 3, 3, bias=False)
    conv = nn.Conv(4, (3, 3), padding="VALID", use_bias=False, feature_group_count=4)
    params = {"kernel": array(layers.conv("c", "c"), "kernel", state)}
    ours = conv.apply({"params": params}, images.transpose(0, 2, 3, 1))
    for channel in range(4):
        expected = correlate(images[:, channel : channel + 1], state["c.weight"][channel : channel + 1])
        assert_float32_close(ours[..., channel], expected[:, 0], depth=9)


def test_the_first_convolution_takes_rgb_in_this_projects_range():
    photo, weight = np.random.default_rng(0).uniform(0, 255, (1, 6, 6, 3)), draw(2, 3, 3, 3)
    theirs = correlate(((photo[..., ::-1] / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2), weight)
    kernel = layers.bgr_kernel(weight).transpose(3, 2, 0, 1)
    ours = correlate(((photo - 127.5) / 128).transpose(0, 3, 1, 2), kernel)
    assert_float32_close(ours, theirs, depth=3 * 9)


def test_dense_layer_after_a_flattened_map():
    maps, state = draw(2, 5, 2, 3), weights("fc", 4, 30)
    kernel = array(layers.dense("fc", "fc", cells=6), "kernel", state)
    ours = maps.transpose(0, 2, 3, 1).reshape(2, -1) @ kernel
    assert_float32_close(ours, maps.reshape(2, -1) @ state["fc.weight"].T, depth=30)


def test_sepbn_layer_is_the_mean_of_its_normalisations():
    x, sets = draw(2, 4, 4, 20), 3
    state = released_sepbn((20,) * 6)
    entries = layers.separable_norm("bn1", "norm", sets)
    arrays = {entry.target: entry.convert(*(state[source] for source in entry.sources)) for entry in entries}
    variables = traverse_util.unflatten_dict({path.replace("norm/", ""): a for path, a in arrays.items()}, sep="/")
    hidden = x.mean((1, 2)) @ state["bn1.fc1.weight"][:, :, 0, 0].T
    logits = np.maximum(hidden, 0.01 * hidden) @ state["bn1.fc2.weight"][:, :, 0, 0].T
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = 0
    for k in range(sets):
        bn = {name: state[f"bn1.bn.{k}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")}
        normalised = (x - bn["running_mean"]) / np.sqrt(bn["running_var"] + 1e-5) * bn["weight"] + bn["bias"]
        expected = expected + shares[:, k, None, None, None] * normalised
    ours = SeparableBatchNorm(sets=sets).apply(variables, x, use_running_average=True)
    assert_float32_close(ours, expected, depth=60)


def test_released_global_networks():
    converted = torch_checkpoints.convert_state(released_gsr(), "dpr_gsr")
    report = converted.report
    assert report.ok
    assert len(released_gsr()) == 320 + 23
    assert (len(report.used), len(report.ignored)) == (320 + 23 - 52, 52)
    assert parameters(converted.variables) == 538_419
    assert converted.variables["params"]["global_reinit"]["prelu1"]["negative_slope"] == np.float32(-0.3)
    block = converted.variables["params"]["global_regress"]["block17"]
    np.testing.assert_array_equal(
        block["expand_conv"]["kernel"][0, 0].T, released_gsr()["features.17.conv.0.weight"][..., 0, 0]
    )
    stats = converted.variables["batch_stats"]["global_regress"]["block1"]["project_norm"]
    np.testing.assert_array_equal(stats["var"], released_gsr()["features.1.conv.4.running_var"])


def options_of(converted: torch_checkpoints.Converted) -> dict:
    """Of the model, as the metadata have them."""
    return converted.metadata["config"]["model"]["options"]


def test_released_local_networks_of_68_points():
    state = released_gsr(68) | released_local(68, {"left_eye": 22, "right_eye": 22, "nose": 18, "mouth": 40})
    converted = torch_checkpoints.convert_state(state, "dpr_glsr", scheme="ibug68")
    assert converted.report.ok, converted.report
    assert converted.metadata["scheme"]["name"] == "ibug68"
    assert options_of(converted)["scheme"] == "ibug68"
    assert options_of(converted)["local"] == "network"
    local = {source for entry in layers.perceptron("left_eye_net", "", layers=3) for source in entry.sources}
    local |= {name.replace("left_eye", part) for name in local for part in ("right_eye", "nose", "mouth")}
    without = {name: tensor for name, tensor in state.items() if name not in local}
    assert len(state) - len(without) == 32
    converted = torch_checkpoints.convert_state(without, "dpr_glsr", scheme="ibug68")
    assert converted.report.ok, converted.report
    assert options_of(converted)["local"] == "closed_form"


def test_a_network_can_be_left_out():
    converted = torch_checkpoints.convert_state(released_gsr(), "dpr_glsr", without=["part_regressors"])
    assert converted.report.ok
    assert set(converted.variables["params"]) == {"global_reinit", "global_regress"}
    assert converted.metadata["without"] == ["part_regressors"]
    with pytest.raises(
        torch_files.ConversionError, match="no network part_regressor to leave out, only global_regress"
    ):
        torch_checkpoints.convert_state(released_gsr(), "dpr_glsr", without=["part_regressor"])


def test_released_sepbn_network():
    state = released_sepbn()
    converted = torch_checkpoints.convert_state(state, "cnn")
    assert converted.report.ok, converted.report
    model = models.build("cnn", 98, options_of(converted), "float32")
    outputs = run(model, converted.variables, draw(2, 128, 128, 3))
    assert outputs.shape == (2, 196)
    np.testing.assert_array_equal(converted.variables["params"]["block2"]["norm"]["scale"][2], state["bn2.bn.2.weight"])


@pytest.mark.parametrize(("norm", "used"), [("none", 16), ("batch", 16 + 6 * 4)])
def test_the_same_network_without_sepbn(norm: str, used: int):
    """The paper's baseline has 16 tensors: six convolutions and two dense layers, a weight and a bias each."""
    state = {name: tensor for name, tensor in released_sepbn().items() if not name.startswith("bn")}
    if norm == "batch":
        for i, width in enumerate((6, 6, 8, 8, 10, 12), start=1):
            state |= batch_norm(f"bn{i}", width)
    converted = torch_checkpoints.convert_state(state, "cnn")
    assert converted.report.ok, converted.report
    assert sum(map(len, converted.report.used.values())) == used
    assert options_of(converted)["norm"] == norm
    outputs = run(models.build("cnn", 98, options_of(converted), "float32"), converted.variables, draw(1, 128, 128, 3))
    assert outputs.shape == (1, 196)


def test_differing_statistics_are_refused():
    state = released_sepbn()
    state["bn4.bn.2.running_var"] = state["bn4.bn.2.running_var"] * 1.01
    report = torch_checkpoints.convert_state(state, "cnn").report
    assert not report.ok
    assert len(report.wrong) == 1
    assert "batch_stats/block4/norm/var" in report.wrong[0]
    assert "the 3 normalisations have different statistics" in report.wrong[0]


@pytest.mark.parametrize(
    ("model", "state", "used", "ignored", "parameters_"),
    [
        ("resnet18", torchvision_resnet18, 100, 22, 11_176_512),
        (
            "vgg16",
            functools.partial(torchvision_vgg, VGG16, (64, 64, 128, 128, *[256] * 3, *[512] * 6)),
            26,
            2,
            14_714_688,
        ),
        (
            "vgg19",
            functools.partial(torchvision_vgg, VGG19, (64, 64, 128, 128, *[256] * 4, *[512] * 8)),
            32,
            2,
            20_024_384,
        ),
    ],
    ids=["resnet18", "vgg16", "vgg19"],
)
def test_torchvision_backbones(model: str, state: functools.partial, used: int, ignored: int, parameters_: int):
    converted = torch_checkpoints.convert_state(state(), model)
    assert converted.report.ok, converted.report
    assert (len(converted.report.used), len(converted.report.ignored)) == (used, ignored)
    assert parameters(converted.variables) == parameters_


def test_reports_name_what_does_not_fit():
    state = dict(released_gsr())
    del state["pts_net.2.bias"]
    state["extra"] = draw(3)
    state["fc_loc.0.weight"] = draw(32, 255)
    state["features.3.conv.1.running_mean"] = draw(71)
    report = torch_checkpoints.convert_state(state, "dpr_gsr").report
    assert not report.ok
    assert (report.missing, report.left_over) == (["pts_net.2.bias"], ["extra"])
    assert report.unfilled == ["params/global_regress/head/fc2/bias"]
    assert [line.split(":")[0] for line in report.wrong] == [
        "params/global_reinit/head/fc1/kernel",
        "batch_stats/global_regress/block3/expand_norm/mean",
    ]
    assert "features.3.conv.1.running_mean [71] gives [71], and our model wants [72]" in str(report)
    assert "1 left over, 1 missing in the checkpoint, 1 arrays unfilled, 2 wrong" in str(report)


@pytest.mark.parametrize("model", sorted(MAPS))
def test_the_likely_model_of_some_tensors(model: str):
    names = {name for entry in MAPS[model]({}, "wflw98").entries for name in entry.sources}
    assert torch_checkpoints.likely_model(dict.fromkeys(names, draw(1))) == model


def test_one_tensor_in_two_files():
    with pytest.raises(
        torch_files.ConversionError, match=r"b\.pth and a file before it both have a tensor conv1\.weight"
    ):
        torch_files.merge({"a.pth": {"conv1.weight": draw(1)}, "b.pth": {"conv1.weight": draw(1)}})


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> dict[str, State]:
    """State dicts that the command reads in place of files."""
    states: dict[str, State] = {}
    monkeypatch.setattr(torch_files, "read_checkpoint", states.__getitem__)
    return states


def test_command_writes_what_fits(checkpoints: dict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    state = released_gsr()
    checkpoints["a"] = {name: tensor for name, tensor in state.items() if name.startswith(("localization", "fc_loc"))}
    checkpoints["b"] = {name: tensor for name, tensor in state.items() if name not in checkpoints["a"]}
    out = tmp_path / "gsr.npz"
    assert convert.main(["a", "b", "--model", "dpr_gsr", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "localization.0.weight -> params/global_reinit/conv1/kernel" in printed
    assert "291 tensors used for 291 arrays, 52 ignored, 0 left over, 0 missing" in printed
    variables, metadata = load_weights(out)
    assert metadata["model"] == "dpr_gsr"
    jax.tree.map(np.testing.assert_array_equal, variables, torch_checkpoints.convert_state(state, "dpr_gsr").variables)
    found = load_bundle(out)
    assert (found.scheme, found.config.data.crop) == (WFLW98, 2.0)
    assert isinstance(found.task, ReinitialisationTask)
    assert found.config.data.dataset == "wflw"
    assert found.boxes == {"landmarks": (0.981, 1.28, 0.003, -0.145)}  # How rectangles of WFLW lie about points.
    assert found.card["origin"] == "converted from PyTorch: a, b"


def test_command_refuses_another_model(checkpoints: dict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    checkpoints["a"] = torchvision_resnet18()
    out = tmp_path / "out.npz"
    assert convert.main(["a", "--model", "dpr_gsr", "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert "the tensors look like resnet18's" in captured.err
    assert "left over   layer1.0.conv1.weight" in captured.out
    assert "missing     fc_loc.0.weight" in captured.out
    assert not out.exists()


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit) as stop:
        convert.main(["a.pth", "--model", "cnn", "--out", "b.npz"])
    assert stop.value.code == 1
    assert 'pip install "jaxlm[convert]"' in capsys.readouterr().err


def test_pytorch_files(tmp_path: pathlib.Path):
    torch = pytest.importorskip("torch")
    file = tmp_path / "net.pth.tar"
    half = torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16)
    torch.save({"epoch": 3, "state_dict": {"module.fc.weight": half, "module.n": torch.tensor(4)}}, file)
    state = torch_files.read_checkpoint(file)
    np.testing.assert_array_equal(state["fc.weight"], np.float32([[1.5, -2.0]]))
    assert state["n"] == 4


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model", "net"])
def test_state_dicts_beside_anything(tmp_path: pathlib.Path, wrapper: str):
    """An epoch, NumPy's scalars as of a best error, and the optimiser's state, under any of the usual keys."""
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(2, 3)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    tensors = {f"module._orig_mod.{name}": tensor for name, tensor in layer.state_dict().items()}
    beside = {"epoch": 3, "nme": np.float64(5.35), "best": np.float32(1), "n": np.int64(4), "done": np.bool_(True)}
    torch.save({wrapper: tensors, "optimizer": optimiser.state_dict(), "args": {"lr": 0.1}} | beside, tmp_path / "a.pt")
    state = torch_files.read_checkpoint(tmp_path / "a.pt")
    assert set(state) == {"weight", "bias"}
    np.testing.assert_array_equal(state["weight"], layer.weight.detach())


class Settings(dict):
    """A class of somebody's training script."""

    def __reduce__(self) -> tuple:
        return Settings, (), {"rate": 0.1}


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_of_unknown_classes_beside_tensors(tmp_path: pathlib.Path, zipped: bool):
    """As of arguments, paths and arrays; of no class anything but the name is looked at, let alone run."""
    torch = pytest.importorskip("torch")
    beside = {"args": argparse.Namespace(out=pathlib.PurePosixPath("a")), "cfg": Settings(), "mean": np.zeros((3, 2))}
    torch.save({"state_dict": {"a": torch.ones(2)}, **beside}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(sys.modules[__name__], "Settings")
        state = torch_files.read_checkpoint(tmp_path / "a.pt")
    np.testing.assert_array_equal(state["a"], [1, 1])


@pytest.mark.parametrize("form", ["model", "model beside", "program", "traced program"])
def test_whole_models_and_programs(tmp_path: pathlib.Path, form: str):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU()).eval()
    file = tmp_path / "net.pt"
    if form == "program":
        torch.jit.script(network).save(file)
    elif form == "traced program":
        torch.jit.trace(network, torch.zeros(1, 3, 4, 4)).save(file)
    else:
        torch.save({"model": network, "epoch": 3} if form == "model beside" else network, file)
    state = torch_files.read_checkpoint(file)
    assert state.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(state[name], tensor)


def test_files_that_hold_no_tensors(tmp_path: pathlib.Path):
    torch = pytest.importorskip("torch")
    file = tmp_path / "bad.pth"
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(torch_files.ConversionError, match=r"bad\.pth is no file of tensors, or a damaged one"):
        torch_files.read_checkpoint(file)
    torch.save(torch.optim.SGD, file)
    with pytest.raises(torch_files.ConversionError, match=r"bad\.pth is no file of tensors"):
        torch_files.read_checkpoint(file)
    for contents in ({"state_dict": {"epoch": 3}}, pathlib.PurePosixPath("code")):
        torch.save(contents, file)
        with pytest.raises(torch_files.ConversionError, match=r"bad\.pth holds no state dict"):
            torch_files.read_checkpoint(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(2**26 + 1))
    with pytest.raises(torch_files.ConversionError, match=r"bad\.pth is no file of tensors"):
        torch_files.read_checkpoint(file)
    with pytest.raises(FileNotFoundError):
        torch_files.read_checkpoint(tmp_path / "none.pth")


def test_the_scheme_is_that_of_as_many_points():
    assert torch_checkpoints.convert_state(released_gsr(68), "dpr_gsr").metadata["scheme"]["name"] == "ibug68"
    assert torch_checkpoints.convert_state(released_gsr(98), "dpr_gsr").metadata["scheme"]["name"] == "wflw98"


def test_sepbn_network_gives_what_pytorch_gives():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    state = released_sepbn()
    tensors = {name: torch.from_numpy(np.array(tensor)) for name, tensor in state.items()}
    images = np.random.default_rng(5).uniform(-1, 1, (2, 128, 128, 3)).astype(np.float32)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    for i in range(1, 7):
        x = functional.conv2d(x, tensors[f"conv{i}.weight"] * 0.1, tensors[f"conv{i}.bias"], padding=1)
        hidden = functional.leaky_relu(functional.conv2d(x.mean((2, 3), keepdim=True), tensors[f"bn{i}.fc1.weight"]))
        shares = functional.conv2d(hidden, tensors[f"bn{i}.fc2.weight"]).softmax(1)
        normalised = [
            functional.batch_norm(
                x, *(tensors[f"bn{i}.bn.{k}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
            )
            for k in range(3)
        ]
        x = sum(shares[:, k : k + 1] * normalised[k] for k in range(3))
        x = functional.max_pool2d(functional.leaky_relu(x), 2)
    x = functional.leaky_relu(functional.linear(x.flatten(1), tensors["fc1.weight"], tensors["fc1.bias"]))
    expected = functional.linear(x, tensors["fc2.weight"], tensors["fc2.bias"]).numpy()
    scaled = {
        name: tensor * 0.1 if name.startswith("conv") and tensor.ndim == 4 else tensor for name, tensor in state.items()
    }
    converted = torch_checkpoints.convert_state(scaled, "cnn")
    model = models.build("cnn", 98, options_of(converted), "float32")
    # Six convolutions and two full layers; attention takes means over up to 128 x 128 cells.
    depth = 9 * (3 + 6 + 6 + 8 + 8 + 10) + 48 + 20 + 128**2
    assert_float32_close(run(model, converted.variables, images), expected, depth)


def test_resnet18_gives_what_pytorch_gives():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(5)
    state = torchvision_resnet18() | weights("fc", 136, 512)
    for name, tensor in state.items():
        if tensor.ndim == 4:  # Of both signs and He's size, so that values stay near 1 through all layers.
            state[name] = np.float32(rng.normal(0, np.sqrt(2 / tensor[0].size), tensor.shape))
    tensors = {name: torch.from_numpy(np.array(tensor)) for name, tensor in state.items()}

    def conv_norm(x, conv: str, norm: str, stride: int = 1):
        weight = tensors[f"{conv}.weight"]
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(tensors[f"{norm}.{name}"] for name in names))

    photos = rng.uniform(0, 255, (2, 96, 96, 3)).astype(np.float32)
    pixels = (photos / 255 - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    x = conv_norm(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), "conv1", "bn1", stride=2).relu()
    x = functional.max_pool2d(x, 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = conv_norm(x, f"{name}.conv1", f"{name}.bn1", stride).relu()
            y = conv_norm(y, f"{name}.conv2", f"{name}.bn2")
            if f"{name}.downsample.0.weight" in tensors:
                x = conv_norm(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
            x = (x + y).relu()
    expected = functional.linear(x.mean((2, 3)), tensors["fc.weight"], tensors["fc.bias"]).numpy()
    variables = torch_checkpoints.convert_state(state, "resnet18", scheme="ibug68").variables
    variables["params"]["head"] = {"kernel": state["fc.weight"].T, "bias": state["fc.bias"]}
    model = models.build("resnet18", 68, {}, "float32")
    ours = run(model, variables, (photos - 127.5) / 128)
    # 17 convolutions, by the channels that they take, and the last layer.
    depth = 49 * 3 + 9 * (5 * 64 + 4 * 128 + 4 * 256 + 3 * 512) + 512
    assert_float32_close(ours, expected, depth)


def test_weights_come_back(tmp_path: pathlib.Path):
    variables = {"params": {"a": {"b": draw(3, 2), "slope": np.float32(0.25)}}, "batch_stats": {"a": {"mean": draw(2)}}}
    metadata = {"model": "x", "options": {"widths": [1, 2]}}
    file = tmp_path / "weights.npz"
    save_weights(file, variables, metadata)
    loaded, described = load_weights(file)
    assert described == metadata
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)
    with np.load(file) as archive:
        assert sorted(archive.files) == ["batch_stats/a/mean", "metadata", "params/a/b", "params/a/slope"]
        assert json.loads(str(archive["metadata"])) == metadata


def test_files_that_are_no_weights(tmp_path: pathlib.Path):
    file = tmp_path / "weights.npz"
    save_weights(file, {"params": {"a": draw(1000)}}, {"model": "x"})
    whole = file.read_bytes()
    for damaged in (b"", b"text", whole[:2000], whole[:2000] + b"!!!" + whole[2003:]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"weights\.npz is (no file of weights that jaxlm wrote|damaged)"):
            load_weights(file)
    np.savez(file, a=draw(3))
    with pytest.raises(ValueError, match="is no file of weights"):
        load_weights(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("metadata.npy", b"nothing")
    with pytest.raises(ValueError, match="is no file of weights"):
        load_weights(file)
    with pytest.raises(FileNotFoundError):
        load_weights(tmp_path / "none.npz")
