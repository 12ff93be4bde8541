"""Conversion of published networks: files as their authors write them, and the same numbers as PyTorch gives."""

import argparse
import contextlib
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from jaxlm import convert
from jaxlm.checkpoints import Trained, load_bundle
from jaxlm.checkpoints import shipped as shipped_weights
from jaxlm.landmarks import IBUG68
from tolerances import assert_float32_close

torch = pytest.importorskip("torch")
counterparts = pytest.importorskip("torch_counterparts")

IMAGENET = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


class ModelConfig(NamedTuple):
    """What SAN's code pickles with its arguments; the class is not to be had where a file is converted."""

    pts_num: int


def unit(photos: np.ndarray) -> np.ndarray:
    return photos / 255


def minus_one_to_one(photos: np.ndarray) -> np.ndarray:
    return (photos / 255 - 0.5) / 0.5


def grey(photos: np.ndarray) -> np.ndarray:
    brightness = photos @ np.float32([[0.299], [0.587], [0.114]])
    return (brightness / 255 - IMAGENET[0]) / IMAGENET[1]


def run(function: Callable[[Any], Any], argument: Any) -> Any:
    """What a function gives, compiled as a whole without optimisation, which takes half the time."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})(argument)


class Case(NamedTuple):
    """A network.

    Attributes:
      model: What `convert --model` calls it.
      network: Makes PyTorch's.
      pixels: What its authors make of pixels 0..255.
      size: Side of the photos in pixels.
      beside: What its authors save beside the tensors; none: the tensors alone.
    """

    model: str
    network: Callable[[], Any]
    pixels: Callable[[np.ndarray], np.ndarray]
    size: int
    beside: dict[str, Any] | None = None


SAN_BESIDE = {"epoch": 49, "args": argparse.Namespace(sigma=4.0, modelconfig=ModelConfig(69)), "arch": "itn_cpm"}
CASES = {
    "fan": Case("fan", lambda: counterparts.FAN(stacks=2, width=8), unit, 64),
    "san": Case("san", lambda: counterparts.SAN(2, generators=False), minus_one_to_one, 32, SAN_BESIDE),
    "san with generators": Case("san", lambda: counterparts.SAN(2, generators=True), minus_one_to_one, 32, SAN_BESIDE),
    "shufflenetv2_heatmap": Case(
        "shufflenetv2_heatmap",
        lambda: counterparts.ShuffleHeatMaps(8, 4, (14, 28, 56), (40, 32, 16)),
        grey,
        64,
    ),
}


class Converted(NamedTuple):
    """A network, its conversion, and what the command printed."""

    case: Case
    network: Any
    trained: Trained
    printed: str


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    case, folder = request.param, tmp_path_factory.mktemp("converted")
    network = counterparts.drawn(case.network())
    state = network.state_dict()
    if case.beside is not None:
        state = case.beside | {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    torch.save(state, folder / "net.pth", _use_new_zipfile_serialization=case.beside is None)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert convert.main([str(folder / "net.pth"), "--model", case.model, "--out", str(folder / "net.npz")]) == 0
    return Converted(case, network, load_bundle(folder / "net.npz"), printed.getvalue())


def test_maps_are_those_of_pytorch(converted: Converted):
    case, network, trained, _ = converted
    photos = np.random.default_rng(5).uniform(0, 255, (1, case.size, case.size, 3)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(case.pixels(photos).transpose(0, 3, 1, 2).copy()))
    ours = run(lambda images: trained.model.apply(trained.variables, images, train=False), (photos - 127.5) / 128)
    kernels = [leaf for leaf in jax.tree.leaves(trained.variables["params"]) if leaf.ndim == 4]
    depth = sum(int(np.prod(kernel.shape[:3])) for kernel in kernels)
    ours = ours if isinstance(ours, tuple) else (ours,)
    assert len(ours) == len(expected)
    for maps, theirs in zip(ours, expected, strict=True):
        assert_float32_close(maps.transpose(0, 3, 1, 2), theirs.numpy(), depth)


def test_the_file_says_how_points_are_read(converted: Converted):
    """The points of maps with one peak, between two cells, as the authors read them, in pixels of the crop."""
    case, _, trained, _ = converted
    config = trained.config
    cells = config.model.input_size // {"san": 8}.get(case.model, 4)
    maps = np.zeros((1, cells, cells, 68 + (case.model == "san")), np.float32)
    maps[:, 5, 7], maps[:, 5, 8] = 1, 0.5  # Row 5, columns 7 and 8.
    expected = {
        "fan": (4 * (7 + 0.5 + 0.25) - 0.5, 4 * 5 + 1.5),  # A quarter cell towards the higher neighbour.
        "san": (8 * (7 + 0.5 / 1.5) + 3.5, 8 * 5 + 3.5),  # The centroid.
        "shufflenetv2_heatmap": (4 * 5, 4 * 7),  # The cell; rows are x.
    }[case.model]
    points = run(trained.task.points, maps if case.model == "shufflenetv2_heatmap" else (maps,))
    assert_float32_close(points, np.broadcast_to(np.float32(expected), (1, 68, 2)), depth=60)
    assert trained.scheme == IBUG68


def test_detections_become_boxes_of_the_model(converted: Converted):
    """As for the weights that ship, which were trained on boxes of the same convention; some are higher."""
    calibrations = converted.trained.boxes
    shipped = load_bundle(shipped_weights.MODELS["ibug68"].file).boxes
    assert set(calibrations) == set(shipped)
    for name, (scale_x, scale_y, shift_x, shift_y) in shipped.items():
        rise = {"fan": 0.12 / 1.1, "shufflenetv2_heatmap": 0.25}.get(converted.case.model, 0) * scale_y
        assert calibrations[name] == pytest.approx((scale_x, scale_y, shift_x, shift_y - rise))


def test_a_stage_that_is_never_called_is_left_out_by_name(converted: Converted):
    lines = [line for line in converted.printed.splitlines() if line.startswith("ignored")]
    never = {
        line.split()[1].rstrip(",") for line in lines if line.endswith("of a stage that is built and never called")
    }
    assert never == {name for name in converted.network.state_dict() if name.startswith("stage4.")}
    assert bool(never) == (converted.case.model == "shufflenetv2_heatmap")
    assert ", 0 left over, 0 missing in the checkpoint, 0 arrays unfilled, 0 wrong" in converted.printed
