"""What `prepare` tells of faces, and how it keeps sets, files and processes apart."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxlm.data_pipelines import prepare, source
from jaxlm.data_pipelines.input import open_faces
from jaxlm.data_pipelines.optional import load_tfds
from jaxlm.data_pipelines.preparing.stamps import STAMP_FILE
from runs import ROOT
from tiny_archives import ring, wflw_line, write_annotated, write_photo, write_wflw

HEADER = "file,split," + ",".join(f"x{i},y{i}" for i in range(5))


def row(name: str, points: np.ndarray, split: str = "train") -> str:
    return ",".join([name, split, *(f"{value:.2f}" for value in points.reshape(-1))])


def write_table(folder: pathlib.Path, rows: list[str]) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "points.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return folder / "points.csv"


def arguments(folder: pathlib.Path, *options: object) -> list[str]:
    given = ("--source", folder, "--annotations", folder / "points.csv", "--name", "mine", "--scheme", "five")
    return ["points_table", *map(str, (*given, "--frame-size", 32, *options))]


def prepared(folder: pathlib.Path, *options: object) -> None:
    prepare.main(arguments(folder, *options))


def test_points_beyond_the_photo_are_kept_and_counted(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    for name in ("a.png", "b.png", "c.png"):
        write_photo(tmp_path / name, 90, 70, seed=ord(name[0]))
    inside, cut = ring(5), ring(5, (85.0, 35.0))  # x of points 0, 1 and 4 of the second: 100, 89.6 and 89.6.
    write_table(tmp_path, [row("a.png", inside), row("b.png", cut), row("c.png", inside + 1)])
    prepared(tmp_path, "--pack", tmp_path / "p.npz")
    told = capsys.readouterr().out
    assert (
        "Outside: 3 of 15 points, of 1 faces, lie beyond the borders of their photos and are kept, b.png first" in told
    )
    assert "Turned" not in told
    assert open_faces(str(tmp_path / "p.npz"), "train", "").visible.all()


def test_faces_twice_and_photos_of_two_splits_are_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    write_photo(tmp_path / "a.png", seed=1)
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    write_photo(tmp_path / "b.png", seed=2)
    points = ring(5)
    rows = [row("a.png", points), row("a.png", points), row("b.png", points), row("b.png", points + 1)]
    write_table(
        tmp_path, [*rows, row("copy.png", points), row("copy.png", points, "test"), row("b.png", points, "test")]
    )
    prepared(tmp_path, "--pack", tmp_path / "p.npz")
    told = capsys.readouterr().out
    assert (
        "Twice: 2 faces repeat another of their split, the same points in the same photo, as a.png and a.png:2 in train"
        in told
    )
    assert "Groups: 1 photos are in several groups, as a.png and copy.png in train" in told
    assert (
        "WARNING: train and test share 2 photos, 2 faces with the same points: a.png in train is copy.png in test"
        in told
    )
    assert len(open_faces(str(tmp_path / "p.npz"), "train+test", "")) == 7


def test_points_are_pixels_of_the_upright_photo(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    """A photo of 60 x 120 pixels that EXIF data turn by a quarter to 120 x 60."""
    stored = np.zeros((120, 60, 3), np.uint8)
    stored[20:25, 40:45] = 255  # Centre (42, 22); turned clockwise it is at (119 - 22, 42) = (97, 42).
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    upright = np.array([[97.0, 42], [70, 40], [80, 20], [100, 10], [75, 50]])
    write_table(tmp_path, [row("a.png", upright)])
    prepared(tmp_path, "--pack", tmp_path / "p.npz", "--frame-size", 64)
    assert "Turned" not in capsys.readouterr().out
    faces = open_faces(str(tmp_path / "p.npz"), "train", "")
    x, y = np.rint(faces.points[0, 0]).astype(int)
    frame = faces.images(np.array([0]))[0]
    assert frame[y, x].min() > 200
    assert frame.mean() < 20
    write_table(tmp_path, [row("a.png", np.array([[42.0, 22], [30, 50], [20, 40], [40, 90], [20, 80]]))])
    prepared(tmp_path, "--pack", tmp_path / "p.npz")
    assert (
        "Turned: 1 of these faces, a.png first: its points lie in the photo as it is stored" in capsys.readouterr().out
    )
    write_table(tmp_path, [row("a.png", ring(5, (30.0, 100.0)))])
    with pytest.raises(
        SystemExit, match=r"wholly outside its image .*\(120 x 60\); its points lie in the photo as it is"
    ):
        prepared(tmp_path, "--pack", tmp_path / "p.npz")


def test_a_set_whose_files_have_changed_is_neither_kept_nor_packed(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    photos, data, pack = tmp_path / "photos", ("--data-dir", tmp_path / "data"), tmp_path / "p.npz"
    write_photo(photos / "a.png", seed=1)
    write_table(photos, [row("a.png", ring(5))])
    prepared(photos, *data)
    write_table(photos, [row("a.png", ring(5) + 1)])
    with pytest.raises(
        SystemExit, match=r"mine was prepared on .*, and its annotations, options or scheme have changed"
    ):
        prepared(photos, *data, "--pack", pack)
    write_table(photos, [row("a.png", ring(5))])
    prepared(photos, *data)
    write_photo(photos / "a.png", 95, 70, seed=2)
    with pytest.raises(
        SystemExit, match=r"and photos have been changed or copied since, .*: --overwrite prepares it anew"
    ):
        prepared(photos, *data, "--pack", pack)
    assert not pack.exists()
    photos.rename(tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match="and photos have been changed"):
        prepared(tmp_path / "elsewhere", *data)
    capsys.readouterr()
    prepared(photos, *data)
    assert "its files cannot be compared with those of then: " in capsys.readouterr().out
    (tmp_path / "data" / "mine" / "32px" / "1.1.0" / STAMP_FILE).unlink()
    prepared(photos, *data, "--pack", pack)
    assert "by an earlier version, from its files of then" in capsys.readouterr().out
    prepared(tmp_path / "elsewhere", *data, "--overwrite")
    prepared(tmp_path / "elsewhere", *data)
    assert "from the same files; --overwrite" in capsys.readouterr().out


def start(command: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "jaxlm.data_pipelines.prepare", *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(folder: pathlib.Path, pattern: str) -> None:
    deadline = time.monotonic() + 120
    while not list(folder.glob(pattern)) and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_process_says_a_line_and_leaves_nothing(tmp_path: pathlib.Path, number: signal.Signals):
    """The signal goes to all its processes, as a terminal sends it; before that a second process is refused."""
    load_tfds("a second process")  # It takes seconds, in which the first could end.
    rows = [row(f"{i}.png", ring(5, (40.0 + i % 5, 35.0))) for i in range(3000)]
    write_photo(tmp_path / "photos" / "0.png", 800, 600)
    for i in range(1, 3000):
        os.link(tmp_path / "photos" / "0.png", tmp_path / "photos" / f"{i}.png")
    write_table(tmp_path / "photos", rows)
    data = tmp_path / "data"
    process = start(arguments(tmp_path / "photos", "--data-dir", data))
    wait_for(data, ".incomplete-*/mine/32px/incomplete.*")
    with pytest.raises(SystemExit, match=r"another process prepares mine/32px in .*data; wait until it ends"):
        prepared(tmp_path / "photos", "--data-dir", data)
    time.sleep(0.3)  # Workers start now.
    os.killpg(process.pid, number)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + number
    assert told.strip().splitlines()[-1] == "Interrupted; nothing half-done was written, so run the same command again."
    assert "Traceback" not in told
    assert not list(data.iterdir())


def test_only_contact_sheets_of_ours_are_replaced(tmp_path: pathlib.Path):
    write_photo(tmp_path / "a.png", seed=1)
    write_table(tmp_path, [row("a.png", ring(5))])
    pack, sheet = tmp_path / "mine.npz", tmp_path / "mine.png"
    prepared(tmp_path, "--pack", pack)
    prepared(tmp_path, "--pack", pack)
    assert cv2.imread(str(sheet)) is not None
    write_photo(sheet)  # The user's own, beside an earlier pack.
    before = sheet.read_bytes()
    with pytest.raises(SystemExit, match=r"mine\.png is there already, where the pack's contact sheet goes"):
        prepared(tmp_path, "--pack", pack)
    assert sheet.read_bytes() == before


def test_no_photo_of_the_set_becomes_the_contact_sheet(tmp_path: pathlib.Path):
    write_photo(tmp_path / "a.png", seed=1)
    write_table(tmp_path, [row("a.png", ring(5))])
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(
        SystemExit, match=r"a\.png is there already, .*; it lies in --source, .*--overwrite replaces no"
    ):
        prepared(tmp_path, "--pack", tmp_path / "a.npz", "--overwrite")
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize("place", ["points.csv/a.npz", "points.csv/new/a.npz"])
def test_a_pack_that_cannot_be_written_is_told_before_the_work(tmp_path: pathlib.Path, place: str, monkeypatch):
    write_photo(tmp_path / "a.png", seed=1)
    write_table(tmp_path, [row("a.png", ring(5))])
    monkeypatch.setattr("jaxlm.data_pipelines.prepare.good_records", None)
    with pytest.raises(SystemExit, match=r"a\.npz cannot be written: .*points\.csv is no folder"):
        prepared(tmp_path, "--pack", tmp_path / place)


def test_a_folder_of_the_users_is_no_set(tmp_path: pathlib.Path):
    folder = tmp_path / "data" / "mine" / "32px" / "1.1.0"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("of the user")
    write_photo(tmp_path / "a.png")
    write_table(tmp_path, [row("a.png", ring(5))])
    for more in ((), ("--overwrite",)):
        with pytest.raises(SystemExit, match=r"1\.1\.0 is there already and is no prepared set"):
            prepared(tmp_path, "--data-dir", tmp_path / "data", *more)
    assert (folder / "notes.txt").exists()


def test_an_empty_list_says_so(tmp_path: pathlib.Path):
    write_wflw(tmp_path / "wflw")
    lists = tmp_path / "wflw" / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    (lists / "list_98pt_rect_attr_train.txt").write_text("\n")
    with pytest.raises(SystemExit, match="split train of wflw has no faces"):
        prepare.main(["wflw", "--source", str(tmp_path / "wflw"), "--pack", str(tmp_path / "a.npz")])


def test_an_interrupt_waits_until_workers_have_started():
    steps = []

    def begin() -> None:
        with source._interrupts_later():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("started")

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert steps == ["started"]


def test_boxes_beside_their_points_are_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    """A rectangle as x, y, width and height may be one of two corners, too."""
    lines = [wflw_line(f"0--Parade/photo_{i}.jpg", ring(98, (65, 50), 14), box=(10 + i, 20, 40, 40)) for i in range(2)]
    write_wflw(tmp_path / "wflw", lines)
    prepare.main(["wflw", "--source", str(tmp_path / "wflw"), "--frame-size", "32", "--pack", str(tmp_path / "a.npz")])
    assert "Boxes: 2 faces, 0--Parade/photo_0.jpg:1 first, have most of their points outside" in capsys.readouterr().out


def test_links_to_nothing_are_told_and_skipped_alone(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    """As git-annex leaves the files that it has not fetched."""
    write_annotated(tmp_path / "a.jpg", ring(5))
    write_photo(tmp_path / "b.jpg", seed=1)
    (tmp_path / "b.pts").symlink_to("nothing")
    options = ["points_table", "--source", str(tmp_path), "--name", "mine", "--scheme", "five"]
    options += ["--frame-size", "32", "--pack", str(tmp_path / "p.npz")]
    with pytest.raises(SystemExit, match=r"No such file or directory: .*b\.pts"):
        prepare.main(options)
    prepare.main([*options, "--skip-bad"])
    assert "Skipped 1 bad faces" in capsys.readouterr().out
