"""Exported detectors: files that give our points for any number of faces, their description, and what is refused."""

import dataclasses
import importlib.util
import json
import pathlib
import re
import sys
from collections.abc import Callable

import cv2
import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import experiment, export, models
from jaxlm.checkpoints import ConfidenceMap, Trained, bundle, load_bundle, save_bundle
from jaxlm.checkpoints.confidence import Line
from jaxlm.config import Config, DataConfig, ModelConfig, TaskConfig
from jaxlm.interop import export_description, exporting, parity, parity_faces, programs, tflite
from jaxlm.landmarks import geometry, photos
from jaxlm.landmarks.schemes import FIVE
from jaxlm.models import layers
from jaxlm.models.layers import operators
from runs import changed
from tolerances import assert_float32_close, assert_float64_close, float32_error

SIZE = 32
DEPTH = 9 * 3 + 9 + 4 * 6 + 9 * 6 + 30
"""Operations one after another of `Operators` and of finding points in maps."""


class Operators(nn.Module):
    """Five heat-maps by all operators that have several forms."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool, temperature: float = 1.0) -> jax.Array:
        x = nn.relu(layers.Conv3x3(6)(images))
        x = layers.MaxPool3x3()(layers.DepthwiseConv3x3()(x))
        return layers.Conv3x3(5)(layers.ConvTranspose4x4(6)(x))


@pytest.fixture(scope="module")
def detected() -> Trained:
    config = Config(
        model=ModelConfig("cnn", SIZE),
        task=TaskConfig("heatmaps", {"stride": 1}),
        data=DataConfig(scheme="five", dataset="unknown", crop=1.25),
    )
    model = Operators()
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, SIZE, SIZE, 3)), train=False))(jax.random.key(0))
    boxes = {"dlib": (1.0, 1.0, 0.0, 0.1)}
    meaning = ConfidenceMap(0.05, "box", (Line(2.0, -1.0),) * 5, (Line(-0.5, -3.0),) * 5)
    trained = Trained(config, model, variables, 7, FIVE, card={"licence": "none needed"}, boxes=boxes)
    return dataclasses.replace(trained, confidence=meaning)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def outputs(detected: Trained, crops: np.ndarray) -> list[np.ndarray]:
    """Ours for all crops, the plain way."""
    trained = detected
    raw = jax.jit(trained.model.apply, static_argnames="train")(
        trained.variables, (crops - np.float32(127.5)) / 128, train=False
    )
    return [np.asarray(trained.task.points(raw)), np.asarray(trained.task.confidence(raw))]


@pytest.fixture(scope="module")
def stablehlo(detected: Trained, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    file = tmp_path_factory.mktemp("export") / "detector.stablehlo"
    programs.write_stablehlo(programs.detect_function(detected), SIZE, file)
    return file


@pytest.mark.parametrize("count", [1, 5])
def test_stablehlo_takes_any_number_of_faces(
    stablehlo: pathlib.Path, crops: np.ndarray, outputs: list[np.ndarray], count: int
):
    found = programs.read_stablehlo(stablehlo)(crops[:count])
    assert len(found) == 2
    for ours, theirs in zip(outputs, found, strict=True):
        assert_float32_close(theirs, ours[:count], DEPTH)


def test_stablehlo_runs_everywhere_with_the_operators_of_each_platform(stablehlo: pathlib.Path):
    program = jax.export.deserialize(bytearray(stablehlo.read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert program.in_avals[0].dtype == np.uint8
    text = program.mlir_module()
    assert "feature_group_count = 6" in text  # The depthwise convolution, which a CPU gets as nine products.
    assert "stablehlo.case" in text


@pytest.mark.parametrize(
    "count_operations",
    [
        lambda text: text.count("feature_group_count=6"),
        lambda text: text.count("lhs_dilation=(2, 2)"),
    ],
    ids=["depthwise", "transposed"],
)
def test_operators_are_those_of_the_target(detected: Trained, count_operations: Callable[[str], int]):
    def traced(target: operators.Target) -> str:
        with operators.traced_for(target):
            spec = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.uint8)
            return str(jax.make_jaxpr(programs.detect_function(detected))(spec))

    assert [count_operations(traced(target)) for target in ("cpu", "accelerator")] == [0, 1]
    assert "reduce_window_max" in traced("accelerator")
    assert operators.rewritten()


def test_the_description_has_what_gives_expected_errors(detected: Trained, tmp_path: pathlib.Path):
    file = tmp_path / "program"
    file.write_bytes(b"")
    found = parity.Parity("faces of a test", 0.0, "box", None, 0.0)
    about = export_description.describe_program(detected, file, "onnx", 2, "float32", found)
    assert about["expected_error"]["normaliser"] == "box"
    assert about["expected_error"]["lines"] == [[-0.5, -3.0]] * 5
    raw = dataclasses.replace(detected, confidence=None)
    about = export_description.describe_program(raw, file, "onnx", 2, "float32", found)
    assert about["expected_error"] is None


def test_files_of_onnx_take_any_number_of_faces(
    detected: Trained, crops: np.ndarray, outputs: list[np.ndarray], tmp_path: pathlib.Path
):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    file = tmp_path / "detector.onnx"
    programs.write_onnx(detected, file)
    for count in (1, 5):
        found = programs.read_onnx(file)(crops[:count])
        for ours, theirs in zip(outputs, found, strict=True):
            assert_float32_close(theirs, ours[:count], DEPTH)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A bundle of a tiny network as it is drawn; its data set is not there."""
    config = experiment.load("debug")
    options = config.model.options | {"norm": "none", "head_width": 64}  # Its first dense layer has 32,768 weights.
    config = changed(config, data={"scheme": "five", "dataset": "unknown"}, model={"options": options})
    model = models.build("cnn", 5, config.model.options, jnp.float32)
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, SIZE, SIZE, 3)), train=False))(jax.random.key(0))
    path = tmp_path_factory.mktemp("bundle") / "detector.npz"
    card = {"data": "none", "licence": "none needed"}
    save_bundle(path, Trained(config, model, variables, 7, FIVE, card=card))
    return path


@pytest.fixture(autouse=True)
def few_faces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parity_faces, "COUNT", 3)


def test_the_command_writes_a_program_and_what_it_takes(file: pathlib.Path, tmp_path: pathlib.Path, capsys):
    out, card = tmp_path / "detector.stablehlo", tmp_path / "card.json"
    card.write_text('{"data": "rendered faces"}')
    options = ["--weights", str(file), "--format", "stablehlo", "--out", str(out), "--card", str(card)]
    export.main(options)
    printed = capsys.readouterr().out
    assert re.search(r"differ by up to \d\S* crop pixels on 3 rendered faces", printed)
    description = json.loads((tmp_path / "detector.json").read_text())
    assert description["sha256"] == bundle.sha256(out)
    assert description["input"]["shape"] == ["any", SIZE, SIZE, 3]
    assert [output["name"] for output in description["outputs"]] == ["points"]
    assert description["scheme"]["count"] == 5
    assert description["card"] == {"data": "rendered faces", "licence": "none needed"}
    assert description["parity"]["largest_difference_in_crop_pixels"] < float32_error(depth=500, scale=SIZE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "detector.json", "detector.stablehlo"]


def test_the_command_writes_a_bundle_of_a_run(
    file: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    runs = {(pathlib.Path("run"), None, "b"): load_bundle(file)}
    monkeypatch.setattr(exporting, "open_model", lambda path, step, head: runs[path, step, head])
    out = tmp_path / "detector.npz"
    export.main(["--workdir", "run", "--head", "b", "--format", "bundle", "--out", str(out)])
    assert "on 3 rendered faces" in capsys.readouterr().out
    assert load_bundle(out).step == 7
    assert [path.name for path in tmp_path.iterdir()] == ["detector.npz"]


def test_a_file_whose_points_are_off_is_not_written(
    file: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    read = programs.read_stablehlo
    monkeypatch.setattr(programs, "read_stablehlo", lambda path: lambda crops: (read(path)(crops)[0] + 0.02,))
    options = ["--weights", str(file), "--format", "stablehlo", "--out", str(tmp_path / "detector.stablehlo")]
    with pytest.raises(SystemExit, match="1"):
        export.main(options)
    assert "is more than 0.01 pixels" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_crops_are_held_out_faces_where_the_set_is_there(pack: pathlib.Path):
    config = changed(experiment.load("debug"), data={"dataset": str(pack)})
    faces = parity_faces.load(config)
    assert faces.crops.shape == (3, 32, 32, 3)
    assert faces.crops.dtype == np.uint8
    assert faces.description == "3 faces of synthetic, validation"
    assert parity_faces.load(config, str(pack)).description == "3 faces of synthetic, test"


def test_a_crop_shows_the_box():
    """Of a frame of two boxes a side, whose box is white."""
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    frame[:, 16:48, 16:48] = 255
    config = changed(experiment.load("debug"), data={"crop": 2.0})
    assert (parity_faces.cut_crops(frame, 2.0, changed(config, data={"crop": 1.0})) == 255).all()
    crop = parity_faces.cut_crops(frame, 2.0, config)[0, ..., 0]
    assert (crop[8:24, 8:24] == 255).all()
    assert crop.mean() == 255 / 4


@pytest.mark.parametrize("box", [(10, 20, 59, 69), (3, 5, 40, 91), (-7, 4, 30, 20.4)])
def test_crops_are_cut_as_described(box: tuple[float, ...]):
    """The steps, followed to the letter, lead a point of the crop to where our own crop has it."""
    size, crop = 48, 1.25
    steps = " ".join(export_description.crop_steps(size, crop))
    for part in ("round(1.25 * side)", "resize it to 48 x 48", "((x + 0.5) * region / 48 - 0.5 + left"):
        assert part in steps
    x1, y1, x2, y2 = (round(value) for value in box)
    width, height = x2 - x1 + 1, y2 - y1 + 1
    side = max(width, height)
    left, top = x1 - (side - width) // 2, y1 - (side - height) // 2
    side += side % 2
    region = round(crop * side)
    left, top = left - (region - side) // 2, top - (region - side) // 2
    points = np.float64([[0, 0], [47, 12], [20.5, 30]])
    expected = (points + 0.5) * region / size - 0.5 + [left, top]
    photo = np.zeros((80, 90, 3), np.uint8)
    _, to_crop = photos.cut_crop(photo, np.float64(box), size, crop)
    assert_float64_close(geometry.transform(points, geometry.invert(to_crop)), expected, depth=12, scale=90)


def test_what_cannot_be_exported(file: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def error(*options: str) -> str:
        with pytest.raises(SystemExit, match="1"):
            export.main([*options, "--out", str(tmp_path / "none" / "detector")])
        return capsys.readouterr().err

    of_file = ("--weights", str(file), "--format")
    assert "no training run here" in error("--workdir", str(tmp_path), "--format", "bundle")
    assert "there is no such file" in error("--weights", str(tmp_path / "none.npz"), "--format", "bundle")
    assert "there is no folder" in error(*of_file, "stablehlo")
    assert "No such file or directory" in error(*of_file, "bundle", "--card", str(tmp_path / "none.json"))
    (tmp_path / "none").mkdir()
    assert "nowhere" in error(*of_file, "bundle", "--faces", "nowhere")
    with pytest.raises(SystemExit):
        export.main([*of_file, "bundle", "--out", "a", "--head", "b"])
    assert "has no head 'b'" in capsys.readouterr().err
    trained = load_bundle(file)
    translator = dataclasses.replace(trained, config=changed(trained.config, model={"name": "vunet"}))
    monkeypatch.setattr(exporting, "open_model", lambda path, step, head: translator)
    assert "run holds the translator vunet, which finds no landmarks" in error("--workdir", "run", "--format", "onnx")


def test_the_command_writes_onnx_and_what_it_takes(file: pathlib.Path, tmp_path: pathlib.Path, capsys):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "detector.onnx"
    export.main(["--weights", str(file), "--format", "onnx", "--out", str(out)])
    assert re.search(r"batch 3: \S+ ms a face in JAX \(\w+\), \S+ in onnxruntime", capsys.readouterr().out)
    description = json.loads((tmp_path / "detector.json").read_text())
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type) == (description["input"]["name"], "tensor(uint8)")
    assert taken.shape == ["batch", *description["input"]["shape"][1:]]
    for given, described in zip(session.get_outputs(), description["outputs"], strict=True):
        assert (given.name, given.shape[1:]) == (described["name"], described["shape"][1:])


def test_precisions_are_those_of_formats(tmp_path: pathlib.Path, capsys):
    def error(*options: str) -> str:
        with pytest.raises(SystemExit, match="1"):
            export.main(["--weights", "shipped", "--out", str(tmp_path / "a"), *options])
        return capsys.readouterr().err

    assert "a file of --format bundle is float32" in error("--format", "bundle", "--precision", "float16")
    assert "--accept is for another --precision than float32" in error("--format", "onnx", "--accept")


@pytest.fixture(scope="module")
def onnx_files(file: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """The bundle as ONNX in each precision, whatever that costs."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("onnx")
    files = {precision: folder / f"{precision}.onnx" for precision in exporting.PRECISIONS}
    for precision, out in files.items():
        accepted = [] if precision == "float32" else ["--precision", precision, "--accept"]
        export.main(["--weights", str(file), "--format", "onnx", "--out", str(out), *accepted])
    return files


def test_small_formats_keep_crops_and_points_as_they_are(onnx_files: dict[str, pathlib.Path]):
    onnx = pytest.importorskip("onnx")
    models = {precision: onnx.load(path) for precision, path in onnx_files.items()}
    sizes = {precision: path.stat().st_size for precision, path in onnx_files.items()}
    for model in models.values():
        (taken,), (given,) = model.graph.input, model.graph.output
        assert taken.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert given.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert sizes["float16"] < 0.6 * sizes["float32"]
    assert sizes["int8"] < 0.4 * sizes["float32"]
    parities = {
        precision: json.loads(path.with_suffix(".json").read_text())["parity"] for precision, path in onnx_files.items()
    }
    # Points of 32 px, in a network of four layers that round to 11 bits, or one whose weights have 7 bits and a sign.
    assert 0 < parities["float16"]["largest_difference_in_crop_pixels"] < 4 * SIZE * 2**-11
    assert 0 < parities["int8"]["largest_difference_in_crop_pixels"] < 2 * SIZE * 2**-8


def points_of_page(page: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points that the Python code of a page finds in a photo beside it; the photo, and the box in the code."""
    noise = np.random.default_rng(3).integers(0, 256, (12, 14, 3)).astype(np.uint8)
    cv2.imwrite(str(page.parent / "photo.jpg"), cv2.resize(noise, (220, 200), interpolation=cv2.INTER_CUBIC))
    (code,) = re.findall("```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(code.strip().splitlines()) <= 20
    monkeypatch.chdir(page.parent)
    found: dict = {}
    exec(code, found)
    return found["points"], found["photo"], np.float64([found[name] for name in ("x1", "y1", "x2", "y2")])


def assert_points_are_ours(file: pathlib.Path, points: np.ndarray, photo: np.ndarray, box: np.ndarray, within: float):
    """Asserts that points in a photo are those of a bundle, within some pixels of its crop."""
    trained = load_bundle(file)
    crop, to_crop = photos.cut_crop(photo, box, SIZE, trained.config.data.crop)
    ours = np.asarray(jax.jit(programs.detect_function(trained))(crop[None])[0])[0]
    np.testing.assert_allclose(geometry.transform(points, to_crop), ours, rtol=0, atol=within)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_code_of_the_page_beside_onnx_finds_our_points(
    precision: str, file: pathlib.Path, onnx_files: dict[str, pathlib.Path], monkeypatch: pytest.MonkeyPatch
):
    page = onnx_files[precision].with_suffix(".md")
    within = parity.TOLERANCE if precision == "float32" else 2 * SIZE * 2**-8  # As above.
    assert_points_are_ours(file, *points_of_page(page, monkeypatch), within)


def test_tflite_takes_one_crop_and_its_outputs_have_names(
    file: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd
):
    if not all(importlib.util.find_spec(package) for package in ("tensorflow", "ai_edge_litert")):
        pytest.skip("needs TensorFlow and LiteRT")  # Imported here, they would say what the command keeps from saying.
    out = tmp_path / "detector.tflite"
    export.main(["--weights", str(file), "--format", "tflite", "--out", str(out)])
    printed = capfd.readouterr()
    assert re.search(r"batch 3: \S+ ms a face in JAX \(\w+\), \S+ in LiteRT, one at a time", printed.out)
    assert not printed.err
    description = json.loads((tmp_path / "detector.json").read_text())
    interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter(str(out))
    run = interpreter.get_signature_runner()
    (taken,), (given,) = run.get_input_details().items(), run.get_output_details().items()
    for (name, tensor), described in ((taken, description["input"]), (given, description["outputs"][0])):
        assert (name, tensor["dtype"].__name__) == (described["name"], described["type"])
        assert tensor["shape"].tolist() == described["shape"]
    points = points_of_page(tmp_path / "detector.md", monkeypatch)
    assert_points_are_ours(file, *points, parity.TOLERANCE)


@pytest.mark.parametrize(("name", "precision"), [("a.tflite", "float32"), ("b.onnx", "float32")])
def test_pages_of_others_stay(file: pathlib.Path, tmp_path: pathlib.Path, name: str, precision: str, capsys):
    """Beside a page of somebody else ours has another name; where that is taken, too, nothing is written."""
    out = tmp_path / name
    pages = out.with_suffix(".md"), tmp_path / f"{name}.md"
    for page in pages:
        page.write_text("# My notes\n")
    with pytest.raises(SystemExit, match="1"):
        export.main(["--weights", str(file), "--format", out.suffix[1:], "--out", str(out)])
    assert f"{pages[1]} is there already and does not describe" in capsys.readouterr().err
    assert {page.read_text() for page in pages} == {"# My notes\n"}
    pages[1].unlink()
    assert export_description.places(out, out.suffix[1:])[1] == pages[1]
    pages[0].write_text(f"# {name}\n")
    assert export_description.places(out, out.suffix[1:])[1] == pages[0]


@pytest.mark.parametrize(("kind", "package"), [("onnx", "onnx"), ("tflite", "tensorflow")])
def test_formats_without_their_packages(
    kind: str, package: str, file: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit, match="1"):
        export.main(["--weights", str(file), "--format", kind, "--out", str(tmp_path / "a")])
    assert f'there is no {package}: pip install "jaxlm[{kind}]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("write", "reason"),
    [(programs.write_onnx, "as ONNX: the primitive sort has no"), (tflite.write_tflite, "as TFLite: ")],
    ids=["onnx", "tflite"],
)
def test_models_that_cannot_be_written_are_told(
    write: Callable, reason: str, tmp_path: pathlib.Path, detected: Trained
):
    for package in ("onnx", "onnxruntime") if "ONNX" in reason else ("tensorflow", "ai_edge_litert"):
        pytest.importorskip(package)

    class Sorted(Operators):
        @nn.compact
        def __call__(self, images: jax.Array, *, train: bool, temperature: float = 1.0) -> jax.Array:
            return jnp.sort(super().__call__(images, train=train), axis=1)

    trained = dataclasses.replace(detected, model=Sorted())
    with pytest.raises(
        programs.ExportError, match=f"the model cnn cannot be written {reason}.*; StableHLO takes"
    ) as told:
        write(trained, tmp_path / "a")
    assert "\n" not in str(told.value)
