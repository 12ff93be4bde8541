"""What commands write over: files of the kind that they write, never others, and never what they read."""

import json
import pathlib
import shutil

import pytest

from jaxlm import average, calibrate, convert, export, relabel, report
from jaxlm.checkpoints import load_bundle
from jaxlm.files import check_output
from tiny_landmarker import mean_face_bundle

COMMANDS = {
    "average": (average.main, ["--weights", "a.npz", "b.npz"]),
    "bundle": (export.main, ["--weights", "a.npz", "--format", "bundle"]),
    "program": (export.main, ["--weights", "a.npz", "--format", "stablehlo"]),
    "calibrate": (calibrate.main, ["--weights", "a.npz", "--detector", "dlib", "--dataset", "faces.npz"]),
    "convert": (convert.main, ["a.npz", "--model", "dpr_gsr"]),
    "relabel": (relabel.main, ["--weights", "a.npz", "--dataset", "faces.npz"]),
    "report": (report.main, ["--weights", "a.npz", "--dataset", "faces.npz"]),
}


@pytest.fixture(autouse=True)
def here(pack: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with two bundles, a pack and a file of somebody's own."""
    monkeypatch.chdir(tmp_path)
    mean_face_bundle(tmp_path / "a.npz")
    mean_face_bundle(tmp_path / "b.npz")
    shutil.copy(pack, tmp_path / "faces.npz")
    (tmp_path / "mine.npz").write_text("my own")


def error_of(name: str, out: str, capsys: pytest.CaptureFixture[str]) -> str:
    command, arguments = COMMANDS[name]
    with pytest.raises(SystemExit) as ended:
        command([*arguments, "--out", out])
    assert ended.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("out", ["mine.npz/o.npz", "mine.npz/new/o.npz", "/proc/o.npz"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(out: str, capsys: pytest.CaptureFixture[str]):
    assert f"{out} cannot be written" in error_of("relabel", out, capsys)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_of_another_kind_stays(name: str, capsys: pytest.CaptureFixture[str]):
    assert "mine.npz is there already and is not " in error_of(name, "mine.npz", capsys)
    assert pathlib.Path("mine.npz").read_text() == "my own"


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_read_stays(name: str, capsys: pytest.CaptureFixture[str]):
    read = "faces.npz" if name == "relabel" else "a.npz"
    before = pathlib.Path(read).read_bytes()
    pathlib.Path("link.npz").symlink_to(read)
    for out in (read, "link.npz"):
        assert "is read by this command, and would be lost" in error_of(name, out, capsys)
    assert pathlib.Path(read).read_bytes() == before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_is_no_file(name: str, capsys: pytest.CaptureFixture[str]):
    pathlib.Path("folder.npz").mkdir()
    assert "folder" in error_of(name, "folder.npz", capsys)


def test_a_file_of_the_same_kind_is_replaced():
    mean_face_bundle(pathlib.Path("out.npz"), dlib=(1, 1, 0, 0))
    for _ in range(2):
        average.main(["--weights", "a.npz", "b.npz", "--out", "out.npz"])
    assert load_bundle("out.npz").boxes == {}


def test_a_program_and_its_description_are_replaced_and_no_others(capsys: pytest.CaptureFixture[str]):
    """A program is known by its description, which goes where nothing else lies."""
    arguments = ["--weights", "a.npz", "--format", "stablehlo", "--out"]
    pathlib.Path("mine.json").write_text('{"my": "own"}')
    for _ in range(2):
        export.main([*arguments, "mine.stablehlo"])
        assert json.loads(pathlib.Path("mine.stablehlo.json").read_text())["file"] == "mine.stablehlo"
    assert pathlib.Path("mine.json").read_text() == '{"my": "own"}'
    export.main([*arguments, "other.hlo"])
    assert json.loads(pathlib.Path("other.json").read_text())["file"] == "other.hlo"
    pathlib.Path("other.hlo").write_text("my own")
    with pytest.raises(SystemExit):
        export.main([*arguments, "other.hlo"])
    assert "other.hlo is there already and is not the program that other.json describes" in capsys.readouterr().err
    assert pathlib.Path("other.hlo").read_text() == "my own"


def test_devices_may_be_written_and_a_device_is_no_program(capsys: pytest.CaptureFixture[str]):
    check_output(pathlib.Path("/dev/null"), "a bundle", lambda file: False)
    assert "/dev/null is no file" in error_of("program", "/dev/null", capsys)
    assert pathlib.Path("/dev/null").is_char_device()
