"""Faces with the points of models: whose they are, what stays, and that one can train on them."""

import dataclasses
import pathlib

import numpy as np
import pytest

from jaxlm import relabel
from jaxlm.checkpoints import save_bundle
from jaxlm.data_pipelines.input import Faces, open_splits, open_training, write_pack
from jaxlm.evaluation.relabelling import correct_by_labels
from jaxlm.landmarks import FIVE, IBUG68, WFLW98, conversion, geometry
from tiny_landmarker import mean_face_in, mean_face_model, shifted
from tolerances import assert_float32_close


@pytest.fixture
def weights(tmp_path: pathlib.Path) -> list[str]:
    """The mean face, and the same further to the right and below by a tenth of the box."""
    files = [tmp_path / "plain.npz", tmp_path / "shifted.npz"]
    for file, trained in zip(files, (mean_face_model(), shifted(mean_face_model(), 0.1)), strict=True):
        save_bundle(file, trained)
    return list(map(str, files))


def test_points_are_the_mean_of_those_of_the_models_and_all_else_stays(
    weights: list[str], pack: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    out = tmp_path / "new.npz"
    relabel.main(["--weights", *weights, "--dataset", str(pack), "--out", str(out)])
    assert "synthetic, train: 60 faces\n" in capsys.readouterr().out  # 98 points became 68: nothing to compare.
    old, new = open_splits(str(pack), ""), open_splits(str(out), "")
    assert list(new) == ["train", "test"]
    # The box is the middle half of the frame of 64 px.
    wanted = mean_face_in((16, 16, 47, 47)) + 0.05 * 32
    for split, faces in new.items():
        assert (faces.dataset, faces.scheme) == ("synthetic_relabelled", IBUG68)
        assert faces.visible.all()
        assert_float32_close(faces.points, np.broadcast_to(wanted, (len(faces), 68, 2)), depth=20, scale=64)
        assert (faces.names, faces.groups, faces.box) == (old[split].names, old[split].groups, old[split].box)
        everyone = np.arange(len(faces))
        assert faces.read_encoded(everyone) == old[split].read_encoded(everyone)


def test_how_far_points_moved_is_printed_and_the_flip_test_centres_them(
    weights: list[str], pack: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    relabel.main(["--weights", weights[1], "--dataset", str(pack), "--out", str(first)])
    relabel.main(["--weights", weights[1], "--dataset", str(first), "--out", str(second), "--flip-test"])
    shown = capsys.readouterr().out
    moved = [float(line.split("moved by ")[1].split(" %")[0]) for line in shown.splitlines() if "moved by" in line]
    plain, centred = open_splits(str(first), "")["train"].points, open_splits(str(second), "")["train"].points
    # In the mirrored crop the points are as far to the right, so to the left of the face: x is that of the mean face.
    x = mean_face_in((16, 16, 47, 47))[:, 0]
    assert_float32_close(plain[0, :, 0], x + 3.2, depth=20, scale=64)
    assert_float32_close(centred[0, :, 0].mean(), 31.5, depth=68, scale=64)
    eyes = np.linalg.norm(plain[0, 36] - plain[0, 45])
    expected = 100 * np.linalg.norm(centred - plain, axis=-1).mean() / eyes
    np.testing.assert_allclose(moved[0], expected, rtol=0, atol=0.006)  # Two decimals are printed.


def test_students_hold_the_same_faces_out_of_both_kinds_of_labels(
    weights: list[str], pack: pathlib.Path, tmp_path: pathlib.Path
):
    """Mixed with their own hand-made labels, the faces held out stay out under their new labels, too."""
    hand, new = tmp_path / "hand.npz", tmp_path / "new.npz"
    relabel.main(["--weights", weights[0], "--dataset", str(pack), "--out", str(hand)])
    relabel.main(["--weights", *weights, "--dataset", str(pack), "--out", str(new)])
    training, validation = open_training(f"{hand}+{new}", "train", "", "ibug68", 20)
    assert len(training) == 2 * (60 - len(validation))
    assert not set(training.groups) & set(validation.groups)
    half = len(training) // 2
    assert training.names[:half] == training.names[half:]
    moved = training.points[half:] - training.points[:half]
    assert_float32_close(moved, np.full(moved.shape, 1.6), depth=20, scale=64)


def test_what_cannot_be_used_is_told(weights: list[str], pack: pathlib.Path, tmp_path: pathlib.Path, capsys):
    save_bundle(tmp_path / "other.npz", mean_face_model("wflw98"))
    for arguments, message in (
        (["--dataset", str(pack)], "no model is named"),
        (["--weights", weights[0], str(tmp_path / "other.npz"), "--dataset", str(pack)], "schemes: ibug68, wflw98"),
        (["--weights", weights[0], "--dataset", str(tmp_path / "none.npz")], "no such file"),
    ):
        with pytest.raises(SystemExit) as caught:
            relabel.main([*arguments, "--out", str(tmp_path / "out.npz")])
        assert caught.value.code == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out.npz").exists()


def test_the_labels_that_it_starts_from_are_never_lost(weights: list[str], pack: pathlib.Path, tmp_path: pathlib.Path):
    copy = tmp_path / "faces.npz"
    copy.write_bytes(pack.read_bytes())
    with pytest.raises(SystemExit):
        relabel.main(["--weights", weights[0], "--dataset", str(copy), "--out", str(copy)])
    assert copy.read_bytes() == pack.read_bytes()


def test_faces_that_no_pack_may_hold_are_left_out_and_told(
    pack: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    """The model puts all points into a tenth of the box, 3.2 px in the frame; photos are as large, or 8 times so."""
    trained = mean_face_model()
    bias = trained.variables["params"]["fc2"]["bias"]
    bias[:] = bias / 10
    save_bundle(tmp_path / "tiny.npz", trained)
    splits = open_splits(str(pack), "")
    scales = np.where(np.arange(60) % 3 == 0, 1.0, 8.0)
    maps = np.stack([scale * np.eye(2, 3, dtype=np.float32) for scale in scales])
    faces = tmp_path / "faces.npz"
    write_pack(faces, {"train": dataclasses.replace(splits["train"], to_source=maps)})
    relabel.main(["--weights", str(tmp_path / "tiny.npz"), "--dataset", str(faces), "--out", str(tmp_path / "new.npz")])
    told = capsys.readouterr().out
    assert "Left out: 20 faces of synthetic, train:" in told
    assert "px large; a face has 8 px at least" in told
    assert len(open_splits(str(tmp_path / "new.npz"), "")["train"]) == 40
    command = ["--weights", str(tmp_path / "tiny.npz"), "--dataset", str(pack), "--out", str(tmp_path / "none.npz")]
    with pytest.raises(SystemExit):
        relabel.main(command)
    assert "find no possible face in synthetic, train; nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "none.npz").exists()
    with pytest.raises(ValueError, match=r"none\.npz is not written: split train, face 0 \(train/0\): .* px"):
        write_pack(tmp_path / "none.npz", {"train": relabelled_small(splits["train"])})


def relabelled_small(faces: Faces) -> Faces:
    return dataclasses.replace(faces, points=faces.points / 50)


def test_relabel_replaces_no_other_file(weights: list[str], pack: pathlib.Path, tmp_path: pathlib.Path, capsys):
    (tmp_path / "mine.npz").write_text("of the user")
    with pytest.raises(SystemExit):
        relabel.main(["--weights", weights[0], "--dataset", str(pack), "--out", str(tmp_path / "mine.npz")])
    assert "mine.npz is there already and is not a pack" in capsys.readouterr().err
    assert (tmp_path / "mine.npz").read_text() == "of the user"
    other = tmp_path / "other.npz"
    other.write_bytes(pack.read_bytes())
    with pytest.raises(SystemExit):
        relabel.main(["--weights", weights[0], "--dataset", str(pack), "--out", str(other)])
    assert "other.npz is there already and is not a pack of relabelled faces" in capsys.readouterr().err
    assert other.read_bytes() == pack.read_bytes()
    for _ in range(2):
        relabel.main(["--weights", weights[0], "--dataset", str(pack), "--out", str(tmp_path / "new.npz")])


@dataclasses.dataclass(frozen=True)
class _Labelled:
    """What `correct_by_labels` reads of faces."""

    points: np.ndarray
    scheme = IBUG68


_MEAN = np.array(WFLW98.mean_face) * 100
_FROM_FACE = np.stack([np.eye(2, 3), geometry.rotation(30, np.zeros(2)) * 2 + [[0, 0, 50], [0, 0, 20]]])


def _labels(moves: np.ndarray) -> _Labelled:
    """Labels of two kinds of faces, one turned and twice as large, by habits that differ from the models'."""
    habit = np.random.default_rng(0).normal(0, 3, (68, 2))
    places = _MEAN[conversion(WFLW98, IBUG68)] + habit + np.stack([moves, -moves])
    return _Labelled(np.tile(geometry.transform(places, _FROM_FACE).astype(np.float32), (10, 1, 1)))


def _corrected(labels: _Labelled) -> np.ndarray:
    """How far points of the first two faces moved, [2, 98, 2], in the frame of the mean face; of two splits."""
    found = np.tile(geometry.transform(_MEAN, _FROM_FACE).astype(np.float32), (10, 1, 1))
    splits = [_Labelled(labels.points[:8]), _Labelled(labels.points[8:])]
    first, second = correct_by_labels([found[:8], found[8:]], WFLW98, splits)
    assert (len(first), len(second)) == (8, 12)
    return geometry.transform(first[:2].astype(np.float64), geometry.invert(_FROM_FACE)) - _MEAN


def test_labels_correct_the_points_of_a_face_and_their_habits_do_not():
    moved = _corrected(_labels(np.full((68, 2), [4.0, -1.0])))
    assert_float32_close(moved, np.broadcast_to([[[4.0, -1.0]], [[-4.0, 1.0]]], moved.shape), depth=98, scale=300)


def test_points_without_a_label_follow_the_nearest_ones_by_their_distance():
    """Of the 33 points along the contour every second has a label; here that of point 2 moves, which is point 4."""
    moves = np.zeros((68, 2))
    moves[2] = [6.0, 0.0]
    moved = _corrected(_labels(moves))[0, :, 0]
    near = (0, 2, 4, 6)
    weights = [1 / np.sum((_MEAN[3] - _MEAN[point]) ** 2) for point in near]
    expected = np.zeros(98)
    expected[4] = 6.0
    assert_float32_close(moved[3], 6 * weights[2] / sum(weights), depth=98, scale=300)
    assert 2 < moved[3] < 4  # A half of it, but for those farther away.
    assert_float32_close(moved[[4, 2, 6, 40, 96]], expected[[4, 2, 6, 40, 96]], depth=98, scale=300)


def test_points_whose_label_has_no_place_follow_the_nearest_ones():
    labels = _labels(np.full((68, 2), [4.0, -1.0]))
    labels.points[::2, [5, 27, 28, 29, 30]] = np.nan  # The whole bridge of the nose, of every other face.
    labels.points[:, 33] = np.nan
    moved = _corrected(labels)[0, [10, 51, 52, 53, 54, 57]]
    assert_float32_close(moved, np.broadcast_to([4.0, -1.0], moved.shape), depth=98, scale=300)


def test_few_faces_tell_no_habits():
    faces = _Labelled(np.zeros((19, 68, 2), np.float32))
    with pytest.raises(ValueError, match="19 faces are too few for that; give 20 or more"):
        correct_by_labels([np.zeros((19, 98, 2), np.float32)], WFLW98, [faces])


def test_relabel_follows_labels_of_a_part_of_the_points_alone(
    pack: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    save_bundle(tmp_path / "w98.npz", mean_face_model("wflw98"))
    faces = open_splits(str(pack), "")
    for scheme, file in ((IBUG68, "f68.npz"), (FIVE, "five.npz")):
        own = faces["train"].in_scheme(IBUG68)
        points, visible = own.points[:, : scheme.num_points], own.visible[:, : scheme.num_points]
        write_pack(tmp_path / file, {"train": dataclasses.replace(own, scheme=scheme, points=points, visible=visible)})
    command = [
        "--weights",
        str(tmp_path / "w98.npz"),
        "--follow-labels",
        "--out",
        str(tmp_path / "new.npz"),
        "--dataset",
    ]
    relabel.main([*command, str(tmp_path / "f68.npz")])
    new = open_splits(str(tmp_path / "new.npz"), "")["train"]
    assert (new.scheme, new.dataset) == (WFLW98, "synthetic_relabelled")
    # One constant face, corrected by what tells the faces apart, has their differences.
    true = open_splits(str(tmp_path / "f68.npz"), "")["train"].points
    ours = new.points[:, conversion(WFLW98, IBUG68)]
    assert_float32_close(ours - ours.mean(0), true - true.mean(0), depth=98, scale=64)
    with pytest.raises(SystemExit):
        relabel.main([*command, str(tmp_path / "five.npz")])
    assert "points of scheme wflw98 cannot be read as five" in capsys.readouterr().err
