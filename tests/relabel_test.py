"""Faces with the points of models: whose they are, what stays, and that one can train on them."""

import dataclasses
import pathlib

import numpy as np
import pytest

from jaxlm import relabel
from jaxlm.checkpoints import save_bundle
from jaxlm.data_pipelines.input import Faces, open_splits, open_training, write_pack
from jaxlm.landmarks import IBUG68
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
