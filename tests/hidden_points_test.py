"""Hidden points without a place, from a table to the numbers of an evaluation; and faces that cannot be judged."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import evaluate, train
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.points_table import PointsTable
from jaxlm.evaluation import inference
from jaxlm.evaluation.judged_faces import notes_on
from jaxlm.landmarks import Scheme, load_scheme
from jaxlm.landmarks.geometry import box_around
from jaxlm.tasks import metrics
from jaxlm.tasks.coordinates import CoordinateTask
from jaxlm.tasks.heatmaps import HeatMapTask
from jaxlm.tasks.san import SANTask
from jaxlm.training import loop
from tiny_archives import ring, write_photo
from tiny_faces import synthetic_faces
from tolerances import assert_float32_close

FACES, POINTS = 12, 5
QUICK = ("--data.batch-size", "4", "--epochs", "1", "--model.options.widths", "4")
SCHEME = 'name = "ring"\ncount = 5\nflip = [[0, 1]]\neye_corners = [0, 1]\npupils = [[0, 2], [1, 3]]\n'


def hidden_of(face: int) -> list[int]:
    """The hidden points of a face: none, one or two, and an eye corner of the last."""
    return [[], [3], [2, 4], [4], [], [3], [], [2], [], [], [], [0]][face]


def points_of(face: int) -> np.ndarray:
    return ring(POINTS, (43.0 + face % 4, 34.0), 15.0 + face % 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Photos and a scheme of five points."""
    folder = tmp_path_factory.mktemp("hidden")
    for face in range(FACES):
        write_photo(folder / f"{face}.png", seed=face)
    (folder / "ring.toml").write_text(SCHEME)
    return folder


def table(folder: pathlib.Path, x: str, y: str, visible: bool = False) -> pathlib.Path:
    """A table whose hidden points have the values `x` and `y`; with `visible`, columns say that they are hidden."""
    header = ["file", *(f"{axis}{i}" for i in range(POINTS) for axis in ("xyv" if visible else "xy"))]
    lines = [",".join(header)]
    for face in range(FACES):
        cells = [f"{face}.png"]
        for i, place in enumerate(points_of(face)):
            hidden = i in hidden_of(face)
            cells += [x, y] if hidden else [f"{value:.3f}" for value in place]
            cells += [str(int(not hidden))] if visible else []
        lines.append(",".join(cells))
    path = folder / f"{x}{y}{visible}.csv"
    path.write_text("\n".join(lines))
    return path


def stop(error: BadFaceError) -> None:
    raise error


def source_of(folder: pathlib.Path, annotations: pathlib.Path, hidden: str | None = None) -> PointsTable:
    return PointsTable(folder, "mine", load_scheme(str(folder / "ring.toml")), annotations, hidden=hidden)


@pytest.mark.parametrize(
    ("x", "y", "visible", "hidden"),
    [
        ("-1", "-1", False, "-1 -1"),
        ("0", "0", False, "0 0"),
        ("0", "0", True, None),
        ("77", "5", True, None),
        ("", "", True, None),
        ("", "", False, None),
        ("nan", "NaN", False, None),
        ("-40.5", "-31", False, "negative"),
    ],
)
def test_hidden_points_are_no_places_and_boxes_are_those_of_the_others(
    folder: pathlib.Path, x: str, y: str, visible: bool, hidden: str | None
):
    labels = source_of(folder, table(folder, x, y, visible), hidden).read(stop)["train"]
    for face, label in enumerate(labels):
        seen = ~np.isin(np.arange(POINTS), hidden_of(face))
        np.testing.assert_array_equal(label.visible, seen)
        assert np.isnan(label.points[~seen]).all()
        np.testing.assert_allclose(label.points[seen], points_of(face)[seen], atol=1e-3)  # Of three decimals.
        np.testing.assert_array_equal(label.box, box_around(label.points[seen], 1.1))
    record = PointsTable.to_record(labels[2], 64, 2.0)
    np.testing.assert_array_equal(record.visible, [True, True, False, True, False])
    assert np.isnan(record.points[[2, 4]]).all()
    assert np.isfinite(record.points[[0, 1, 3]]).all()


@pytest.mark.parametrize(("x", "y", "hidden"), [("-1", "-1", None), ("0", "0", "-1 -1"), ("-40", "-31", None)])
def test_a_guess_names_file_line_and_option(folder: pathlib.Path, x: str, y: str, hidden: str | None):
    path = table(folder, x, y)
    with pytest.raises(BadFaceError, match=rf"csv, line 3: point 3 is \({x}, {y}\), which may mark .* --hidden "):
        source_of(folder, path, hidden).read(stop)


def test_visibility_as_coco_has_it_ends_the_reading(folder: pathlib.Path):
    path = folder / "coco.csv"
    path.write_text(table(folder, "0", "0", True).read_text().replace(",1", ",2"))
    with pytest.raises(ValueError, match=r"coco\.csv, line 2: visibility 1 is 2, as COCO has it"):
        source_of(folder, path).read(lambda error: None)


def test_point_files_hide_points_by_the_values_as_they_are_written(folder: pathlib.Path, tmp_path: pathlib.Path):
    rows = ["31 20", "60 21", "0 0", "nan nan", "45 51"]
    (tmp_path / "1.pts").write_text("version: 1\nn_points: 5\n{\n" + "\n".join(rows) + "\n}\n")
    with pytest.raises(BadFaceError, match=r"1\.pts: point 2 is \(0, 0\)"):
        source_of(folder, tmp_path).read(stop)
    (label,) = source_of(folder, tmp_path, "0 0").read(stop)["train"]
    np.testing.assert_array_equal(label.points[label.visible], [[30, 19], [59, 20], [44, 50]])
    np.testing.assert_array_equal(label.visible, [True, True, False, False, True])


def test_a_face_without_points_is_refused(folder: pathlib.Path):
    path = folder / "none.csv"
    path.write_text("file,x0,y0,x1,y1,x2,y2,x3,y3,x4,y4\n0.png,,,,,,,,,,\n1.png,30,20,,,,,,,,\n")
    errors: list[str] = []
    labels = source_of(folder, path).read(lambda error: errors.append(str(error)))["train"]
    assert errors == [f"{path}, line 2: all of its points are hidden"]
    with pytest.raises(BadFaceError, match=r"line 3: only 1 of its 5 points have a place"):
        PointsTable.to_record(labels[0], 64, 2.0)


@pytest.fixture(scope="module")
def pack(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "mine.npz"
    options = ["--source", str(folder), "--annotations", str(table(folder, "-1", "-1")), "--hidden", "-1 -1"]
    options += ["--scheme", str(folder / "ring.toml"), "--name", "mine", "--frame-size", "64"]
    prepare.main(["points_table", *options, "--pack", str(path)])
    return path


def test_a_set_with_hidden_points_is_trained_on_and_judged_by_the_others(
    pack: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    workdir, scheme = tmp_path / "run", str(pack.with_name("ring.toml"))
    options = ["--data.dataset", str(pack), "--data.scheme", scheme, "--data.cache", "device", *QUICK]
    train.main(["--experiment", "debug", *options, "--workdir", str(workdir)])
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(row[key]) for row in rows for key in ("loss", "nme") if key in row)
    capsys.readouterr()
    evaluate.main(["--workdir", str(workdir), "--split", "train"])
    told = capsys.readouterr().out
    count = sum(len(hidden_of(face)) for face in range(FACES))
    assert f"hidden:     {count} of 60 points, in 6 faces, have no place; errors are those of the {60 - count} " in told
    assert "left out:   1 faces, inter-ocular distance 0 or unknown: 11.png" in told

    (written,) = workdir.glob("evaluation/*-train/predictions.npz")
    arrays = np.load(written)
    errors = np.linalg.norm(arrays["points"] - arrays["truth"], axis=-1)
    distance = np.linalg.norm(arrays["truth"][:, 0] - arrays["truth"][:, 1], axis=-1)
    by_hand = [np.nanmean(error) / length for error, length in zip(errors, distance, strict=True)]
    assert_float32_close(arrays["nme"][:-1], by_hand[:-1], depth=100)
    document = json.loads(written.with_name("metrics.json").read_text(), parse_constant=pytest.fail)
    (full,) = [row for row in document["rows"] if row["subset"] == "full"]
    assert full["faces"] == FACES - 1
    assert_float32_close(full["nme"], 100 * np.mean(by_hand[:-1]), depth=100)


def test_tasks_that_need_all_places_say_so(pack: pathlib.Path):
    training = input_lib.open_faces(str(pack), "train", "")
    with pytest.raises(
        ValueError, match=r"task boundaries needs a place .* 6 of the 12 faces of mine, train, .*1\.png"
    ):
        loop.check_places(training, "task boundaries")
    loop.check_places(training.take(np.array([0, 4])), "task boundaries")


@pytest.mark.parametrize(
    ("task", "outputs"),
    [
        (CoordinateTask(32), (2, 10)),
        (HeatMapTask(32, loss_name="mse"), (2, 8, 8, 5)),
        (HeatMapTask(32, loss_name="star"), (2, 8, 8, 5)),
        (SANTask(32, 4, True), (2, 8, 8, 6)),
    ],
    ids=["coordinates", "mse", "star", "san"],
)
def test_losses_pass_hidden_points_over(task, outputs):
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.uniform(4, 27, (2, 5, 2)), jnp.float32).at[1, 3].set(jnp.nan)
    visible = jnp.isfinite(points).all(-1)
    raw = jnp.asarray(rng.normal(size=outputs), jnp.float32)

    @jax.jit
    def loss(raw):
        return task.loss((raw,) if isinstance(task, SANTask) else raw, points, visible).sum()

    value, gradient = jax.value_and_grad(loss)(raw)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    of_point = gradient.reshape(2, 5, 2)[1] if isinstance(task, CoordinateTask) else jnp.moveaxis(gradient[1], -1, 0)
    assert not of_point[3].any()
    assert of_point[2].any()


def test_normalisers_take_the_points_with_a_place():
    scheme = Scheme("four", flip=(1, 0, 2, 3), eye_corners=(0, 1), pupils=((0, 2), (1, 3)))
    nan = (np.nan, np.nan)
    truth = jnp.asarray([[(0, 0), (8, 0), nan, (8, 4)], [(0, 0), (6, 0), (0, 2), nan], [nan, (5, 0), (3, 4), (1, 1)]])
    assert_float32_close(metrics.normaliser_distance(truth, scheme, "inter_ocular"), [8, 6, np.nan], depth=4)
    box = metrics.normaliser_distance(truth, scheme, "box")
    assert_float32_close(box, np.sqrt([32, 12, 16]), depth=4)
    pupils = metrics.normaliser_distance(truth, scheme, "inter_pupil")
    assert_float32_close(pupils, [np.hypot(8, 2), np.hypot(6, 1), np.hypot(0, 3.5)], depth=8)


def with_equal_corners(faces: Faces, chosen: list[int]) -> Faces:
    points = faces.points.copy()
    points[chosen, 60] = points[chosen, 72]
    return dataclasses.replace(faces, points=points)


def test_faces_of_equal_eye_corners_are_named_and_have_no_error():
    faces = with_equal_corners(synthetic_faces(4, "train"), [1, 3])
    nme = inference.face_errors(faces.points + 1, faces, faces.scheme, "inter_ocular")
    np.testing.assert_array_equal(np.isnan(nme), [False, True, False, True])
    assert np.isnan(inference.point_errors(faces.points, faces, faces.scheme, "inter_ocular")[1]).all()
    notes = notes_on(faces, faces.scheme, "inter_ocular")
    assert notes == {"left out": "2 faces, inter-ocular distance 0 or unknown: train/1, train/3"}
    assert notes_on(faces, faces.scheme, "box") == {}
    with pytest.raises(ValueError, match="left out are all 4 faces, inter-ocular distance 0 or unknown: train/0"):
        notes_on(with_equal_corners(faces, [0, 1, 2, 3]), faces.scheme, "inter_ocular")


def test_held_out_faces_without_a_normaliser_are_told_and_left_out():
    faces = synthetic_faces(4, "train")
    assert loop.judged_faces(faces) == (faces, "")
    judged, note = loop.judged_faces(with_equal_corners(faces, [1, 3]))
    assert judged.names == ("train/0", "train/2")
    assert note == (
        "2 of the 4 faces held out have inter-ocular distance 0 or unknown (train/1 first) and are left out of the"
        " validation's NME."
    )
    judged, note = loop.judged_faces(with_equal_corners(faces, [0, 1, 2, 3]))
    assert not len(judged)
    assert note.endswith("(train/0 first), so there is no validation NME.")


def test_a_run_whose_held_out_faces_have_no_normaliser_says_so_and_ends(
    pack: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    splits = input_lib.open_splits(str(pack), "")
    points = splits["train"].points.copy()
    points[:, 0] = np.nan
    visible = np.isfinite(points).all(-1)
    faces = dataclasses.replace(splits["train"], points=points, visible=visible)
    input_lib.write_pack(tmp_path / "profiles.npz", {"train": faces})
    options = ["--data.dataset", str(tmp_path / "profiles.npz"), "--data.scheme", str(pack.with_name("ring.toml"))]
    options += ["--data.cache", "device", *QUICK, "--data.validation-percent", "30"]
    train.main(["--experiment", "debug", *options, "--workdir", str(tmp_path / "run")])
    told = capsys.readouterr().err
    assert "faces held out have inter-ocular distance 0 or unknown" in told
    assert "5 held out: " in told
    assert "so there is no validation NME" in told
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["split"] == "train" for row in rows)
