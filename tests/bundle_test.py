"""Detectors in one file: what goes in comes out, a user's scheme and one head of several included; bad files."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import experiment, models
from jaxlm.checkpoints import ConfidenceMap, Trained, bundle, load_bundle, save_bundle
from jaxlm.checkpoints.confidence import Line, MappedReader
from jaxlm.config import Config
from jaxlm.landmarks import Head, load_scheme, spell_out
from jaxlm.landmarks.schemes import IBUG68
from jaxlm.models import load_weights, save_weights
from runs import changed

CARD = {"data": "rendered faces", "licence": "none needed"}
BOXES = {"dlib": (1.1, 1.2, 0.0, -0.05)}
CONFIDENCE = ConfidenceMap(0.05, "inter_ocular", (Line(2.0, -1.5),) * 68, (Line(-0.5, -3.0),) * 68)
MASK = """
name = "mask+"
names = ["left_eye", "right_eye", "chin"]
flip = [[0, 1]]
eye_corners = [0, 1]
pupils = [[0], [1]]
edges = [[0, 2, 1]]
parts = { mouth = [2] }
mean_face = [[0.3, 0.4], [0.7, 0.4], [0.5, 0.9]]
boundaries = { jaw = [0, 2, 1] }
"""


def untrained(scheme: str = "ibug68", dataset: str = "synthetic", **options: Any) -> Trained:
    """A tiny network as it is drawn."""
    config = changed(experiment.load("debug"), data={"scheme": scheme, "dataset": dataset})
    config = changed(config, model={"options": {**config.model.options, "widths": (2,), **options}})
    model = models.build("cnn", load_scheme(scheme).num_points, config.model.options, jnp.float32)
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, 32, 32, 3)), train=False))(jax.random.key(0))
    return Trained(config, model, variables, 7, load_scheme(scheme))


@pytest.fixture(scope="module")
def trained() -> Trained:
    detector = dataclasses.replace(untrained().with_head(None), card=CARD, boxes=BOXES, least_confidence=0.6)
    return dataclasses.replace(detector, confidence=CONFIDENCE)


@pytest.fixture(scope="module")
def file(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("bundle") / "detector.npz"
    save_bundle(path, trained)
    return path


@pytest.fixture
def mask(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "mask.toml"
    path.write_text(MASK)
    return path


def rewrite(file: pathlib.Path, path: pathlib.Path, **metadata: Any) -> pathlib.Path:
    """A copy of `file` at `path` with other metadata."""
    variables, described = load_weights(file)
    save_weights(path, variables, described | metadata)
    return path


def test_what_goes_in_comes_out(file: pathlib.Path, trained: Trained):
    found = load_bundle(file)
    for field in dataclasses.fields(Trained):
        if field.name != "variables":
            assert getattr(found, field.name) == getattr(trained, field.name)
    assert (found.scheme, found.card, found.boxes, found.least_confidence) == (IBUG68, CARD, BOXES, 0.6)
    assert found.confidence == CONFIDENCE
    jax.tree.map(np.testing.assert_array_equal, found.variables, dict(trained.variables))
    crops = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    ours, theirs = (one.model.apply(one.variables, crops, train=False) for one in (trained, found))
    np.testing.assert_array_equal(found.task.points(theirs), trained.task.points(ours))


def test_files_of_before_confidences_meant_something_open(file: pathlib.Path, tmp_path: pathlib.Path):
    variables, metadata = load_weights(file)
    del metadata["confidence"]
    save_weights(tmp_path / "old.npz", variables, metadata)
    found = load_bundle(tmp_path / "old.npz")
    assert found.confidence is None
    assert not isinstance(found.task, MappedReader)


def test_numpy_alone_reads_it(file: pathlib.Path):
    with np.load(file, allow_pickle=False) as archive:
        metadata = json.loads(str(archive["metadata"]))
        assert archive["params/fc2/bias"].shape == (136,)
    assert metadata["format"] == bundle.FORMAT
    assert metadata["config"]["model"]["name"] == "cnn"
    assert metadata["scheme"]["eye_corners"] == [36, 45]


def test_the_tables_of_a_users_scheme_travel(mask: pathlib.Path, tmp_path: pathlib.Path):
    scheme = load_scheme(str(mask))
    save_bundle(tmp_path / "mask.npz", untrained(str(mask)).with_head(None))
    mask.unlink()
    found = load_bundle(tmp_path / "mask.npz")
    assert found.scheme == scheme
    assert load_scheme(found.config.data.scheme) == scheme
    assert found.head is not None
    assert found.head.scheme == scheme
    save_bundle(tmp_path / "again.npz", found)
    assert load_bundle(tmp_path / "again.npz").scheme == scheme


def test_paths_stay_where_the_model_was_trained(trained: Trained):
    data = {"dataset": "/home/me/300w.npz+ytf68", "data_dir": "/home/me/data", "styled": "/home/me/styled.npz"}
    config = dataclasses.replace(changed(trained.config, data=data), init_from="/home/me/runs/first")
    head = Head("300w", "/home/me/300w.npz", IBUG68, 0, 68)
    told = bundle.metadata_of(config, num_points=68, head=head)
    assert (told["config"]["data"]["dataset"], told["head"]["dataset"]) == ("300w.npz+ytf68", "300w.npz")
    assert "/home/me" not in json.dumps(told)


def test_a_model_that_knows_its_scheme_needs_no_file_either(mask: pathlib.Path):
    config = changed(
        Config(),
        model={"name": "dpr_gsr", "input_size": 256, "options": {"scheme": str(mask)}},
        data={"scheme": str(mask)},
    )
    described = bundle.metadata_of(config, 3)
    scheme = load_scheme(str(mask))
    mask.unlink()
    assert load_scheme(described["config"]["model"]["options"]["scheme"]) == scheme


def test_names_are_spelled_out_only_where_they_are_files(mask: pathlib.Path):
    assert spell_out("wflw98+ibug68") == "wflw98+ibug68"
    both = spell_out(f"{mask}+five")
    assert str(mask) not in both
    assert load_scheme(both) == load_scheme(f"{mask}+five")


def test_one_head_of_several(mask: pathlib.Path, tmp_path: pathlib.Path):
    trained = untrained(f"five+{mask}", "a+b").with_head("b")
    save_bundle(tmp_path / "b.npz", trained)
    found = load_bundle(tmp_path / "b.npz")
    assert found.scheme == load_scheme(str(mask))
    crops = jnp.ones((1, 32, 32, 3))
    outputs = found.model.apply(found.variables, crops, train=False)
    assert outputs.shape == (1, 16)
    np.testing.assert_array_equal(found.task.points(outputs), trained.task.points(outputs))
    assert found.task.points(outputs).shape == (1, 3, 2)


def test_the_checksum(file: pathlib.Path, tmp_path: pathlib.Path):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert bundle.sha256(file) == digest
    bundle.check_sha256(file, digest.upper())
    other = tmp_path / "other.npz"
    other.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ValueError, match=f"other.npz is damaged, or not the file wanted: .*, not {digest}"):
        bundle.check_sha256(other, digest)


def test_files_that_are_no_bundles(file: pathlib.Path, tmp_path: pathlib.Path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz: there is no such file"):
        load_bundle(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_bundle(tmp_path)
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"damaged\.npz is no file of weights that jaxlm wrote, or a damaged one"):
        load_bundle(damaged)
    save_weights(tmp_path / "resnet.npz", {"params": {}}, {"model": "resnet18", "options": {}})
    with pytest.raises(ValueError, match="weights of resnet18, not a whole detector"):
        load_bundle(tmp_path / "resnet.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "is of version 2 of the format, and this jaxlm reads version 1"),
        ({"num_points": 98}, "2 arrays are of another shape, the first is params/fc2/bias"),
        ({"scheme": {"name": "cinq", "count": 5}}, "scheme cinq has 5 points, and the model predicts 68"),
        ({"scheme": {"count": 5}}, "`name` is missing"),
        (
            {"config": {"model": {"name": "cnnn"}}},
            "unknown model 'cnnn'; models are entered in jaxlm/models/registry.py. Did you mean cnn",
        ),
        ({"config": {"colour": 1}}, "the field 'colour' is missing or unknown"),
        ({"scheme": {"name": "five", "count": 7}}, "five is the name of a built-in scheme"),
        ({"config": {"data": {"scheme": "/etc/mask.toml"}}}, "unknown landmark scheme '/etc/mask.toml'"),
        ({"config": {"data": {"crop": "wide"}}}, "config: Expected `float`, got `str` - at `data.crop`"),
        ({"config": {"data": {"crop": -1.0}}}, "data.crop must be above 0, not -1.0"),
        (
            {"config": {"model": {"name": "cnn", "options": {"widths": [10**9]}}}},
            "model.options.widths must be above 0",
        ),
        ({"config": {"model": {"name": "cnn", "options": {"widths": "wide"}}}}, "cannot be used"),
        ({"model": "fan"}, "its model is fan, and that of its config cnn"),
        ({"pixels": "BGR"}, "its model sees pixels as 'BGR', and this jaxlm gives 'RGB, "),
        ({"scheme": {"name": "mine", "count": 68}}, "in scheme mine, and by its config or head in another ibug68"),
        ({"config": [1]}, "metadata: Expected `object`, got `array` - at `config`"),
        ({"num_points": 10**9}, "metadata: Expected `int` <= 10000 - at `num_points`"),
        ({"head": {"name": "a", "dataset": "a", "scheme": "five", "start": 3, "stop": 90}}, "points 3 to 90 of 68"),
        ({"least_confidence": 2}, "metadata: Expected `float` <= 1"),
        ({"confidence": {"within": 0.05}}, "missing required field `normaliser` - at `confidence`"),
        ({"confidence": dataclasses.asdict(CONFIDENCE) | {"error": [[0, 1]]}}, "not said of the 68 points of ibug68"),
        ({"confidence": dataclasses.asdict(CONFIDENCE) | {"error": [[1, 0]] * 68}}, "Expected `float` <= 0.0"),
        ({"boxes": {"dlib": ["1", 1, 0, 0]}}, "Expected `float`, got `str`"),
        ({"boxes": {"dlib": [1, 1]}}, "calibration of dlib is scale_x, scale_y, shift_x, shift_y, not"),
    ],
)
def test_descriptions_that_do_not_fit(file: pathlib.Path, tmp_path: pathlib.Path, change: dict, message: str):
    changed = rewrite(file, tmp_path / "changed.npz", **change)
    with pytest.raises(ValueError, match=message) as caught:
        load_bundle(changed)
    assert str(changed) in str(caught.value)


def test_arrays_that_do_not_fit(file: pathlib.Path, tmp_path: pathlib.Path):
    variables, metadata = load_weights(file)
    variables["params"]["fc3"] = variables["params"].pop("fc1")
    variables["params"]["fc2"]["bias"] = np.zeros(3, np.float32)
    path = tmp_path / "arrays.npz"
    save_weights(path, variables, metadata)
    with pytest.raises(ValueError, match=r"arrays\.npz does not hold what cnn needs") as caught:
        load_bundle(path)
    for part in (
        "2 arrays are missing, the first is params/fc1/bias",
        "2 arrays are left over, the first is params/fc3/bias",
        "1 arrays are of another shape, the first is params/fc2/bias",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full(136, np.nan, np.float32), "params/fc2/bias holds NaN or infinity"),
        (np.full(136, True), r"params/fc2/bias is bool \[136\], not integers or"),
        (np.full(136, "1.0"), r"params/fc2/bias is <U3 \[136\], not"),
        (np.full(136, {}, object), "an array of numbers or strings should have another header"),
        (np.zeros(136, np.int32), "1 arrays are of another type, the first is params/fc2/bias"),
    ],
    ids=["NaN", "bool", "strings", "objects", "integers"],
)
def test_weights_that_are_no_numbers(file: pathlib.Path, tmp_path: pathlib.Path, array: np.ndarray, message: str):
    stored = dict(np.load(file))
    np.savez(tmp_path / "wrong.npz", **stored | {"params/fc2/bias": array})
    with pytest.raises(ValueError, match=message) as caught:
        load_bundle(tmp_path / "wrong.npz")
    assert str(tmp_path / "wrong.npz") in str(caught.value)


def test_a_variance_below_0_is_no_variance(file: pathlib.Path, tmp_path: pathlib.Path):
    stored = dict(np.load(file)) | {"batch_stats/norm/var": np.float32([1, -1e-9])}
    np.savez(tmp_path / "wrong.npz", **stored)
    with pytest.raises(
        ValueError, match=r"wrong\.npz: batch_stats/norm/var holds a variance below 0; the file is damaged"
    ):
        load_bundle(tmp_path / "wrong.npz")


def test_no_path_in_a_bundle_is_followed(file: pathlib.Path, tmp_path: pathlib.Path):
    _, metadata = load_weights(file)
    metadata["config"]["data"] |= {"dataset": "/home/me/faces.npz", "data_dir": "/etc", "styled": "../styled.npz"}
    metadata["config"]["init_from"] = "/home/me/runs/first"
    data = load_bundle(rewrite(file, tmp_path / "paths.npz", config=metadata["config"])).config.data
    assert (data.dataset, data.data_dir, data.styled) == ("faces.npz", "etc", "styled.npz")


def test_what_cannot_be_saved(trained: Trained, tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match="calibration of dlib"):
        save_bundle(tmp_path / "a.npz", dataclasses.replace(trained, boxes={"dlib": (1.0, 1.0)}))
    translator = dataclasses.replace(trained, config=changed(trained.config, model={"name": "vunet"}))
    with pytest.raises(ValueError, match="model vunet finds no landmarks; a bundle holds one of cnn, "):
        save_bundle(tmp_path / "a.npz", translator)
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize(("text", "message"), [("{", "is no JSON"), ("[1]", "must hold a JSON object")])
def test_cards_that_are_none(tmp_path: pathlib.Path, text: str, message: str):
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(ValueError, match=f"card.json {message}"):
        bundle.read_card(tmp_path / "card.json")
