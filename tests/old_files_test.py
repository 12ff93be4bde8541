"""Packs, runs and bundles of the code before modules moved into rooms still open, and give the numbers of then.

tests/data/before_rooms/ has them; README.md there says how they were made.
"""

import functools
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from jaxlm import Landmarker, checkpoints, evaluate, train
from jaxlm.data_pipelines.input import open_splits
from jaxlm.landmarks import load_scheme
from jaxlm.runtime.progress import read_metrics
from tolerances import assert_float32_close

FILES = pathlib.Path(__file__).parent / "data" / "before_rooms"
TINY = ("--experiment", "debug", "--model.options.widths", "2", "3", "--model.options.head-width", "2")
DATA = ("--data.dataset", "faces.npz", "--data.batch-size", "4", "--data.validation-percent", "40")
DEBUG = (*TINY, *DATA, "--data.cache", "device", "--epochs", "4", "--eval-every", "2")


@pytest.fixture(autouse=True)
def old_files(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the files in the working directory, from which runs name their packs and schemes."""
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    shutil.unpack_archive(tmp_path / "runs.tar.xz", tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def numbers() -> dict[str, np.ndarray]:
    """What the old code gave, by name."""
    with np.load(FILES / "numbers.npz") as stored:
        return dict(stored)


# Between a photo and the detectors' points: convolutions of 9 x 3 and 9 x 2 products, dense layers of 3 x 8 x 8 and 2,
# and the way to the crop and back. Between structures and the translator's picture: 9 x 16 products, then 20 of 9 x 2.
DETECTOR = 27 + 18 + 192 + 2 + 10
TRANSLATOR = 144 + 20 * 18


@pytest.mark.parametrize(("pack", "scheme"), [("faces", "wflw98"), ("mask", "mask.toml")])
def test_packs(numbers: dict[str, np.ndarray], pack: str, scheme: str):
    splits = open_splits(f"{pack}.npz", "")
    assert list(splits) == ["train", "test"]
    for split, faces in splits.items():
        assert (faces.scheme, faces.frame_size) == (load_scheme(scheme), 64)
        np.testing.assert_array_equal(faces.points, numbers[f"{pack}/{split}/points"])
        brightness = faces.images(np.arange(len(faces))).mean((1, 2, 3))
        # Decoders of JPEG differ by a grey level here and there.
        np.testing.assert_allclose(brightness, numbers[f"{pack}/{split}/brightness"], rtol=0, atol=0.5)


@pytest.mark.parametrize(
    ("name", "arguments", "folder"),
    [
        ("debug", ["--workdir", "runs/debug"], "synthetic-test"),
        ("heads_mask", ["--workdir", "runs/heads", "--head", "mask"], "masks-test-mask"),
    ],
)
def test_runs_are_judged_alike(numbers: dict[str, np.ndarray], name: str, arguments: list[str], folder: str):
    evaluate.main([*arguments, "--split", "test"])
    written = pathlib.Path(arguments[1]) / "evaluation" / folder
    predictions = np.load(written / "predictions.npz")
    (row, *_) = json.loads((written / "metrics.json").read_text())["rows"]
    for key, found in (("points", predictions["points"]), ("nme", predictions["nme"]), ("mean", row["nme"])):
        assert_float32_close(found, numbers[f"{name}/{key}"], DETECTOR)


@pytest.mark.parametrize(("name", "scheme"), [("debug", "wflw98"), ("heads_mask", "mask.toml")])
def test_bundles(numbers: dict[str, np.ndarray], name: str, scheme: str):
    expected = load_scheme(scheme)
    pathlib.Path("mask.toml").unlink()  # Bundles hold what they need.
    landmarker = Landmarker.load(f"bundles/{name}.npz")
    assert landmarker.scheme == expected
    photo = open_splits("faces.npz", "")["test"].images(np.arange(1))[0]
    (face,) = landmarker.predict(photo, [10, 12, 47, 50])
    assert_float32_close(face.points, numbers[f"{name}/face"], DETECTOR)


def test_a_translator_draws_alike(numbers: dict[str, np.ndarray]):
    trained = checkpoints.open_model("runs/vunet")
    assert (trained.config.model.name, trained.step) == ("vunet", 2)
    images, structures = numbers["vunet/images"], numbers["vunet/structures"]
    reconstruct = jax.jit(functools.partial(trained.model.apply, method="reconstruct"))
    rendered = reconstruct({"params": trained.variables["params"]}, images, structures)
    assert_float32_close(rendered, numbers["vunet/rendered"], TRANSLATOR)


def check_rows(workdir: str, numbers: dict[str, np.ndarray], name: str) -> None:
    """Compares losses and errors; AdamW divides gradients by their size: rounding of small ones grows, say 32-fold."""
    rows = read_metrics(pathlib.Path(workdir, "metrics.jsonl"))
    kinds = [(step, split) for step in (4, 8) for split in ("train", "validation")]
    assert [(row["step"], row["split"]) for row in rows] == kinds
    for row in rows:
        for key in {"loss", "nme"} & row.keys():
            expected = numbers[f"{name}/{row['step']}/{row['split']}/{key}"]
            assert_float32_close(row[key], expected, DETECTOR, scale=32 * abs(float(expected)))


def test_a_run_goes_on_as_it_would_have(numbers: dict[str, np.ndarray]):
    before = read_metrics(pathlib.Path("runs/debug/metrics.jsonl"))
    train.main([*DEBUG, "--workdir", "runs/debug"])
    # Its speed, too, is in the rows: steps up to the checkpoint are not trained again.
    assert read_metrics(pathlib.Path("runs/debug/metrics.jsonl"))[:2] == before
    check_rows("runs/debug", numbers, "resumed")


def test_another_run_starts_from_it(numbers: dict[str, np.ndarray]):
    train.main([*DEBUG, "--workdir", "runs/started", "--init-from", "runs/debug"])
    check_rows("runs/started", numbers, "started")
