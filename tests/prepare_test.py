"""Preparing sets from start to end, on tiny archives."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from jaxlm.data_pipelines import prepare, source
from jaxlm.data_pipelines.input import open_faces
from jaxlm.data_pipelines.record import ATTRIBUTES
from jaxlm.data_pipelines.sources.wflw import WFLW
from jaxlm.landmarks import WFLW98, load_scheme
from tiny_archives import LISTS, ring, wflw_line, write_300w, write_annotated, write_photo, write_wflw

GOOD = wflw_line("0--Parade/photo_0.jpg", ring(98))
BAD_LINES = {
    "206 values instead of 207": " ".join(GOOD.split()[1:]),
    "value 3 is 'nan', not a finite number": " ".join([*GOOD.split()[:2], "nan", *GOOD.split()[3:]]),
    "value 1 is 'x', not a number": " ".join(["x", *GOOD.split()[1:]]),
    "box .* has zero size": wflw_line("0--Parade/photo_0.jpg", ring(98), box=(30, 20, 30, 20)),
    "wholly outside its image": wflw_line("0--Parade/photo_0.jpg", ring(98, (500, 500)), box=(480, 480, 520, 520)),
    "absent.jpg is missing": wflw_line("0--Parade/absent.jpg", ring(98)),
    "cut.jpg is truncated": wflw_line("0--Parade/cut.jpg", ring(98)),
}


def run(name, source, data_dir, *options):
    prepare.main([name, "--source", str(source), "--data-dir", str(data_dir), "--frame-size", "32", *map(str, options)])


def write_wflw_with(source_dir, train):
    write_wflw(source_dir, train)
    photos = source_dir / "WFLW_images" / "0--Parade"
    data = (photos / "photo_0.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(data[: len(data) * 3 // 4])
    return source_dir


def test_wflw_ends_with_counts_and_a_contact_sheet(tmp_path, capsys):
    run("wflw", write_wflw(tmp_path / "wflw"), tmp_path / "data")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["split", "faces", *ATTRIBUTES] in lines
    assert ["train", "5", "1", "1", "1", "1", "1", "0"] in lines
    assert ["test", "3", "0", "0", "0", "0", "0", "1"] in lines
    sheet = cv2.imread(str(tmp_path / "data" / "wflw" / "32px" / "1.1.0" / "contact_sheet.png"))
    assert sheet.shape[1] > 6 * 200
    assert sheet[:200].std() > 0
    faces = open_faces("wflw", "train", tmp_path / "data")
    assert (faces.scheme, faces.frame_size, faces.margin) == (WFLW98, 32, 2.0)
    assert "rectangle" in faces.box
    assert faces.names[4] == "0--Parade/photo_1.jpg:5"
    assert faces.groups[1] == faces.groups[4] == "0--Parade/photo_1.jpg"


def test_300w_counts_the_full_set(tmp_path, capsys):
    run("ibug300w", write_300w(tmp_path / "300w"), tmp_path / "data")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for row in (["train", "2"], ["common", "2"], ["challenging", "1"], ["full", "3"]):
        assert row in lines
    full = open_faces("ibug300w", "full", tmp_path / "data")
    parts = [open_faces("ibug300w", split, tmp_path / "data") for split in ("common", "challenging")]
    assert full.names == parts[0].names + parts[1].names
    np.testing.assert_array_equal(full.images(np.array([2, 0]))[0], parts[1].images(np.array([0]))[0])


@pytest.mark.parametrize("message", BAD_LINES)
def test_the_first_bad_face_stops_with_file_and_line_and_nothing_written(tmp_path, message):
    write_wflw_with(tmp_path / "wflw", [GOOD, BAD_LINES[message], GOOD])
    with pytest.raises(SystemExit, match=rf"list_98pt_rect_attr_train\.txt, line 2: .*{message}(.|\n)*--skip-bad"):
        run("wflw", tmp_path / "wflw", tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_skip_bad_leaves_out_counts_and_lists_bad_faces(tmp_path, capsys):
    write_wflw_with(tmp_path / "wflw", [GOOD, *BAD_LINES.values(), GOOD])
    run("wflw", tmp_path / "wflw", tmp_path / "data", "--skip-bad")
    out = capsys.readouterr().out
    assert f"Skipped {len(BAD_LINES)} bad faces." in out
    for number in range(2, 2 + len(BAD_LINES)):
        assert f"list_98pt_rect_attr_train.txt, line {number}:" in out
    faces = open_faces("wflw", "train", tmp_path / "data")
    assert [name.split(":")[1] for name in faces.names] == ["1", str(2 + len(BAD_LINES))]


def test_a_split_of_bad_faces_only_is_an_error(tmp_path):
    write_wflw_with(tmp_path / "wflw", list(BAD_LINES.values()))
    with pytest.raises(SystemExit, match="split train of wflw: not one"):
        run("wflw", tmp_path / "wflw", tmp_path / "data", "--skip-bad")


def test_a_finished_set_is_left_alone_and_survives_a_failed_overwrite(tmp_path, capsys):
    write_wflw(tmp_path / "wflw")
    run("wflw", tmp_path / "wflw", tmp_path / "data")
    run("wflw", tmp_path / "wflw", tmp_path / "data")
    assert re.search("already prepared, on .*, from the same files; --overwrite", capsys.readouterr().out)
    assert len(open_faces("wflw", "train", tmp_path / "data")) == 5

    train_list = tmp_path / "wflw" / LISTS / "list_98pt_rect_attr_train.txt"

    train_list.write_text("broken\n")
    with pytest.raises(SystemExit):
        run("wflw", tmp_path / "wflw", tmp_path / "data", "--overwrite")
    assert len(open_faces("wflw", "train", tmp_path / "data")) == 5

    train_list.write_text(f"{GOOD}\n")
    run("wflw", tmp_path / "wflw", tmp_path / "data", "--overwrite")
    assert len(open_faces("wflw", "train", tmp_path / "data")) == 1


def test_an_interrupt_leaves_nothing_and_a_second_run_finishes(tmp_path, monkeypatch):
    write_wflw(tmp_path / "wflw")

    def interrupt(label, frame_size, margin):
        if label.name.endswith(":3"):
            raise KeyboardInterrupt
        return original(label, frame_size, margin)

    original = WFLW.to_record
    monkeypatch.setattr(WFLW, "to_record", staticmethod(interrupt))
    with pytest.raises(SystemExit, match="run the same command again"):
        run("wflw", tmp_path / "wflw", tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())
    monkeypatch.undo()
    run("wflw", tmp_path / "wflw", tmp_path / "data")
    assert len(open_faces("wflw", "train", tmp_path / "data")) == 5


def test_a_killed_run_is_never_taken_for_a_set_and_its_remains_go_at_the_next(tmp_path):
    write_wflw(tmp_path / "wflw", [GOOD] * 3000)
    data_dir = tmp_path / "data"
    command = [sys.executable, "-m", "data_pipelines.prepare", "wflw", "--frame-size", "32"]
    command += ["--source", str(tmp_path / "wflw"), "--data-dir", str(data_dir)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(data_dir.glob(".incomplete-*/wflw/32px/incomplete.*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(data_dir.glob(".incomplete-*"))
    with pytest.raises(FileNotFoundError, match=r"wflw is not prepared .*jaxlm prepare wflw"):
        open_faces("wflw", "train", data_dir)

    (tmp_path / "wflw" / LISTS / "list_98pt_rect_attr_train.txt").write_text(f"{GOOD}\n")
    run("wflw", tmp_path / "wflw", data_dir)
    assert len(open_faces("wflw", "train", data_dir)) == 1
    assert not list(data_dir.glob(".incomplete-*"))


def test_worker_processes_make_the_same_set_in_the_same_order(tmp_path, monkeypatch):
    write_wflw_with(tmp_path / "wflw", [GOOD, *BAD_LINES.values(), GOOD, GOOD])
    run("wflw", tmp_path / "wflw", tmp_path / "one", "--skip-bad")
    monkeypatch.setattr(source, "CHUNK", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    run("wflw", tmp_path / "wflw", tmp_path / "two", "--skip-bad")
    one, two = (open_faces("wflw", "train+test", tmp_path / name) for name in ("one", "two"))
    assert one.names == two.names
    assert one.read_encoded(np.arange(len(one))) == two.read_encoded(np.arange(len(two)))


def test_synthetic_faces_need_no_source_and_come_in_the_numbers_asked_for(tmp_path):
    sizes = ["--train-faces", "3", "--test-faces", "2", "--frame-size", "64"]
    for name in ("one", "two"):
        prepare.main(["synthetic", "--data-dir", str(tmp_path / name), *sizes])
    one, two = (open_faces("synthetic", "train+test", tmp_path / name) for name in ("one", "two"))
    assert len(one) == 5
    assert len(set(one.names)) == len(set(one.groups)) == 5
    np.testing.assert_array_equal(one.points, two.points)
    np.testing.assert_array_equal(one.images(np.arange(5)), two.images(np.arange(5)))


def test_a_users_own_set_and_scheme_travel_in_set_and_pack(tmp_path):
    for i in range(3):
        write_annotated(tmp_path / "photos" / f"cat_{i}.jpg", ring(9), seed=i)
    scheme = tmp_path / "whiskers.toml"
    scheme.write_text('name = "whiskers9"\ncount = 9\nflip = [[0, 1]]\nedges = [[0, 1, 2]]\n')
    pack = tmp_path / "packs" / "cats.npz"
    options = ("--name", "cats", "--scheme", scheme, "--margin", 1.5, "--pack", pack)
    run("points_table", tmp_path / "photos", tmp_path / "data", *options)
    whiskers = load_scheme(str(scheme))
    scheme.unlink()
    assert (tmp_path / "data" / "cats" / "32px_margin1.5" / "1.1.0").is_dir()
    for name in ("cats", str(pack)):
        faces = open_faces(name, "train", tmp_path / "data")
        assert faces.dataset == "cats"
        assert faces.points.shape == (3, 9, 2)
        assert faces.scheme == whiskers


def test_missing_and_wrong_options_are_told(tmp_path, capsys):
    with pytest.raises(SystemExit, match="WFLW_images and WFLW_annotations"):
        run("wflw", tmp_path / "nowhere", tmp_path / "data")
    wrong = {("--margin", "0"): "--margin must be above 0 and at most 100", ("--pack", "a.zip"): "ends in .npz"}
    for options, message in wrong.items():
        with pytest.raises(SystemExit):
            run("wflw", tmp_path, tmp_path / "data", *options)
        assert message in capsys.readouterr().err
    write_photo(tmp_path / "a.jpg")
    with pytest.raises(SystemExit):
        run("points_table", tmp_path, tmp_path / "data", "--name", "mine", "--scheme", "ibug86")
    assert "unknown landmark scheme 'ibug86'; did you mean ibug68" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit, match=r"absent\.toml: no such scheme file"):
        run("points_table", tmp_path, tmp_path / "data", "--name", "mine", "--scheme", "absent.toml")


def prepare_pack(folder, *options):
    write_annotated(folder / "photos" / "0.jpg", ring(5))
    given = ("--source", folder / "photos", "--name", "mine", "--scheme", "five", "--frame-size", 32, *options)
    prepare.main(["points_table", *map(str, given)])


def test_a_pack_replaces_an_earlier_one_and_no_other_file(tmp_path, capsys):
    pack, sheet = tmp_path / "mine.npz", tmp_path / "mine.png"
    sheet.write_text("of the user")
    with pytest.raises(SystemExit, match=r"mine\.png is there already, where the pack's contact sheet goes"):
        prepare_pack(tmp_path, "--pack", pack)
    assert sheet.read_text() == "of the user"
    assert not pack.exists()
    pack.write_text("of the user, too")
    for more in ((), ("--data-dir", tmp_path / "data")):
        with pytest.raises(SystemExit, match=r"mine\.npz is there already and is no whole pack"):
            prepare_pack(tmp_path, "--pack", pack, *more)
    assert pack.read_text() == "of the user, too"
    prepare_pack(tmp_path, "--pack", pack, "--overwrite")
    for more in ((), ("--data-dir", tmp_path / "data")):
        prepare_pack(tmp_path, "--pack", pack, *more, "--name", "other")
        assert "mine.npz is there already, a pack of" in capsys.readouterr().out
        assert open_faces(str(pack), "train", "").dataset == "other"
    assert len(open_faces(str(pack), "train", "")) == 1
    assert cv2.imread(str(sheet)) is not None


def test_hidden_points_are_counted(tmp_path, capsys):
    points = [" ".join(f"{value:.2f}" for value in point) for point in ring(5)]
    prepare_pack(tmp_path, "--pack", tmp_path / "whole.npz")
    assert "Hidden" not in capsys.readouterr().out
    text = "version: 1\nn_points: 5\n{\n" + "\n".join([*points[:3], "-1 -1", "nan nan"]) + "\n}\n"
    (tmp_path / "photos" / "1.pts").write_text(text)
    write_photo(tmp_path / "photos" / "1.jpg")
    prepare_pack(tmp_path, "--pack", tmp_path / "some.npz", "--hidden", "-1 -1")
    assert "Hidden: 2 of 10 points, in 1 faces, have no place." in capsys.readouterr().out


def test_a_face_that_cannot_be_is_named_with_the_scheme_of_its_source(tmp_path):
    write_photo(tmp_path / "a.jpg")
    (tmp_path / "eyes.toml").write_text('name = "eyes"\ncount = 3\neye_corners = [0, 1]\n')
    (tmp_path / "t.csv").write_text("file,x0,y0,x1,y1,x2,y2\na.jpg,30,20,30,20,40,50\n")
    options = ["--source", tmp_path, "--annotations", tmp_path / "t.csv", "--scheme", tmp_path / "eyes.toml"]
    with pytest.raises(SystemExit, match=r"t\.csv, line 2: its eye corners, points 0 and 1, are equal"):
        prepare.main(["points_table", *map(str, options), "--name", "mine", "--pack", str(tmp_path / "a.npz")])


def test_a_list_of_wflw_is_checked_face_by_face(tmp_path, capsys):
    far, huge = ring(98), ring(98)
    far[3], huge[7] = (700.0, 35.0), (1e17, 35.0)
    lines = [GOOD, wflw_line("0--Parade/photo_0.jpg", far), wflw_line("0--Parade/photo_0.jpg", huge)]
    lines += [
        wflw_line("0--Parade/photo_0.jpg", ring(98, radius=2.0)),
        "",
        GOOD.replace(" 0 0 0 0 0 0 ", " 0 0 0 0 0 0\t"),
    ]
    write_wflw_with(tmp_path / "wflw", lines)
    run("wflw", tmp_path / "wflw", tmp_path / "data", "--skip-bad")
    told = capsys.readouterr().out
    assert "Skipped 3 bad faces." in told
    for message in (
        "line 2: point 3 at (700, 35) lies",
        "line 3: point 7 is at (1e+17, 35)",
        "line 4: the face is 4 px",
    ):
        assert message in told
    assert len(open_faces("wflw", "train", tmp_path / "data")) == 2
