"""Which files predict takes, and what they and their pictures are called in its results."""

import os
import pathlib

import pytest

from jaxlm.prediction import sources
from jaxlm.prediction.sources import picture_names, printable, real_name


def find_files(arguments: list[str]) -> list[pathlib.Path]:
    """The files that arguments stand for, where nothing is wrong with them."""
    files, problems = found_and_told(arguments)
    assert problems == []
    return files


def found_and_told(arguments: list[str]) -> tuple[list[pathlib.Path], list[str]]:
    problems: list[str] = []
    return sources.find_files(arguments, problems.append), problems


def test_folders_and_patterns_stand_for_their_files(tmp_path: pathlib.Path):
    for name in ("b.PNG", "a.jpg", "deeper/c.webp", "deeper/d.mp4", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = ["a.jpg", "b.PNG", "deeper/c.webp", "deeper/d.mp4"]
    assert find_files([str(tmp_path)]) == [tmp_path / name for name in names]
    assert find_files([f"{tmp_path}/*.[jP]*", f"{tmp_path}/a.jpg"]) == [
        tmp_path / "a.jpg",
        tmp_path / "b.PNG",
    ]
    (tmp_path / "nothing").mkdir()
    for argument in ("nothing", "*.gif"):
        name = str(tmp_path / argument)
        assert found_and_told([name]) == ([], [f"{name}: there are no photos or videos"])


def test_pictures_of_one_name_do_not_meet():
    files = [pathlib.Path(name) for name in ("x/a/face.png", "x/b/face.png", "x/b/face.jpg", "x/other.png")]
    names = ["a/face_landmarks", "b/face.png_landmarks", "face.jpg_landmarks", "other_landmarks"]
    assert picture_names(files) == [pathlib.Path(name) for name in names]
    far = [pathlib.Path("/far/off/face.png"), pathlib.Path("/elsewhere/clip.mp4"), pathlib.Path("/far/off/face.png")]
    assert picture_names(far) == [pathlib.Path(f"{name}_landmarks") for name in ("face", "clip", "face")]
    assert picture_names([]) == []


def test_what_is_passed_over_in_a_folder_is_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a.jpg", "b.HEIC", "c.gif", "d.avif", "notes.txt"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "link").symlink_to(tmp_path)
    assert [file.name for file in find_files([str(tmp_path)])] == ["a.jpg", "b.HEIC", "c.gif", "d.avif"]
    told = capsys.readouterr().err
    assert f"{tmp_path}: passed over 3 files that are no photos or videos" in told
    assert "fifo.jpg (a FIFO), link (a link to a folder), notes.txt" in told


def test_special_files_of_a_pattern_are_passed_over(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "a.jpg").touch()
    os.mkfifo(tmp_path / "b.jpg")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.jpg").touch()
    assert find_files([f"{tmp_path}/*"]) == [tmp_path / "a.jpg", tmp_path / "deeper" / "c.jpg"]
    assert "passed over b.jpg (a FIFO)" in capsys.readouterr().err


def test_one_bad_argument_leaves_the_others(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "good" / "closed").mkdir(parents=True)
    (tmp_path / "good" / "a.jpg").touch()

    def scan(folder: str | None = None) -> object:
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(folder))
        return original(folder)

    original, closed = os.scandir, str(tmp_path / "good" / "closed")
    monkeypatch.setattr(os, "scandir", scan)
    arguments = [f"{tmp_path}/*.gif", str(tmp_path / "good"), closed, "n" * 300]
    files, problems = found_and_told(arguments)
    assert files == [tmp_path / "good" / "a.jpg", pathlib.Path("n" * 300)]
    assert problems == [
        f"{tmp_path}/*.gif: there are no photos or videos",
        f"{closed}: the folder cannot be read: Permission denied",
        f"{closed}: the folder cannot be read: Permission denied",
        f"{closed}: there are no photos or videos",
    ]


def test_links_that_lead_in_circles_are_followed_once(tmp_path: pathlib.Path):
    for name in ("a.jpg", "x/b.jpg", "x/y/c.jpg", "x/.hidden/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for number in range(9):
        (tmp_path / f"loop{number}").symlink_to(tmp_path)
        (tmp_path / "x" / f"loop{number}").symlink_to(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "e.jpg").touch()
    (tmp_path / "x" / "y" / "away").symlink_to(tmp_path / "elsewhere")
    below = [tmp_path / "x" / name for name in ("b.jpg", "y/away/e.jpg", "y/c.jpg")]
    assert find_files([f"{tmp_path}/x/**/*.jpg"])[:2] == [tmp_path / "x" / "b.jpg", tmp_path / "x" / "loop0" / "a.jpg"]
    for pattern in ("**/*.jpg", "**", "**/**/*", "*", "loop*/**/*.jpg"):
        found = {os.path.realpath(file) for file in find_files([f"{tmp_path}/{pattern}"])}
        expected = {os.path.realpath(file) for file in (tmp_path / "a.jpg", *below)}
        hidden = {str(tmp_path / "x" / ".hidden" / "d.jpg")}  # Of a folder that is matched, all is taken.
        assert expected <= found <= expected | hidden


def test_brackets_in_the_name_of_a_folder_are_no_pattern(tmp_path: pathlib.Path):
    (tmp_path / "holiday [1]").mkdir()
    (tmp_path / "holiday [1]" / "a.jpg").touch()
    for argument in ("holiday [1]", "holiday [1]/*.jpg", "*/*.jpg"):
        assert find_files([f"{tmp_path}/{argument}"]) == [tmp_path / "holiday [1]" / "a.jpg"]


def test_a_file_is_taken_once_however_it_is_called(tmp_path: pathlib.Path):
    (tmp_path / "a[1].jpg").touch()
    (tmp_path / "x").mkdir()
    names = [f"{tmp_path}/a[1].jpg", f"{tmp_path}/./a[1].jpg", f"{tmp_path}/x/../a[1].jpg", str(tmp_path)]
    assert find_files(names) == [tmp_path / "a[1].jpg"]


def test_pictures_below_earlier_results_are_not_taken(tmp_path: pathlib.Path):
    (tmp_path / "out" / "b").mkdir(parents=True)
    for name in ("a_landmarks.jpg", "out/predictions.jsonl", "out/b/a_landmarks.jpg", "out/b/mine.jpg"):
        (tmp_path / name).touch()
    for argument in ("out", "out/b", "out/b/*", "out/**/*.jpg", "out/*"):
        assert find_files([f"{tmp_path}/{argument}"]) == [tmp_path / "out" / "b" / "mine.jpg"]
    assert find_files([f"{tmp_path}/**/*.jpg"]) == [tmp_path / "a_landmarks.jpg", tmp_path / "out" / "b" / "mine.jpg"]


@pytest.mark.parametrize("out", [".", "points", "points/again"])
def test_results_of_earlier_calls_are_not_taken(tmp_path: pathlib.Path, out: str, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / out
    (folder / "deeper").mkdir(parents=True)
    for name in ("a.jpg", f"{out}/photo.jpg", "mine_landmarks.jpg" if out != "." else "mine.jpg"):
        (tmp_path / name).touch()
    for name in ("predictions.json", "a_landmarks.jpg", "deeper/b.png_landmarks.jpg", "clip_landmarks.mp4"):
        (folder / name).touch()
    mine = "mine.jpg" if out == "." else "mine_landmarks.jpg"
    expected = {tmp_path / "a.jpg", tmp_path / mine, folder / "photo.jpg"}
    assert set(find_files([str(tmp_path)])) == expected
    assert "passed over 4 files of earlier results" in capsys.readouterr().err
    assert find_files([f"{folder}/*.jpg"]) == sorted(file for file in expected if file.parent == folder)


def test_pictures_stay_below_their_folder():
    """`/face.png` has no folders in front that could tell it from the others."""
    root = pathlib.Path(os.path.abspath("/"))
    names = picture_names([root / "face.png", root / "r" / "face.png", root / "r" / "face.jpg"])
    assert names == [pathlib.Path(f"{name}_landmarks") for name in ("face", "r/face.png", "face.jpg")]
    assert not any(name.is_absolute() for name in names)


def test_pictures_of_earlier_calls_keep_their_names():
    taken = {"/x/a/face.png": pathlib.Path("face_landmarks")}
    files = [pathlib.Path("/x/a/face.png"), pathlib.Path("/x/b/face.png"), pathlib.Path("/x/b/other.png")]
    names = [pathlib.Path(f"{name}_landmarks") for name in ("face", "b/face", "other")]
    assert picture_names(files, taken) == names
    assert picture_names(files[1:], taken)[0] != pathlib.Path("face_landmarks")


def test_long_names_are_cut_and_stay_apart(tmp_path: pathlib.Path):
    names = ["ü" * 123 + ending for ending in (".png", "é.png", "è.png")]
    given = picture_names([tmp_path / name for name in names])
    assert len(set(given)) == 3
    for name in given:
        assert len(os.fsencode(name)) <= 255 - len(".jpg.new")
        (tmp_path / f"{name}.jpg.new").touch()
    assert picture_names([pathlib.Path("n" * 200 + ".png")]) == [pathlib.Path("n" * 200 + "_landmarks")]


def test_names_that_some_file_systems_take_for_one_stay_apart():
    names = picture_names(
        [pathlib.Path(name) for name in ("/x/A.jpg", "/x/a.jpg", "/x/caf\u00e9.jpg", "/x/cafe\u0301.jpg")]
    )
    assert len({str(name).casefold() for name in names}) == 4


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain.jpg", "plain.jpg"),
        ("grüße 1:2.jpg".encode(), "grüße 1:2.jpg"),
        (b"caf\xe9.jpg", r"caf\xe9.jpg"),
        (rb"caf\xe9.jpg", r"caf\\xe9.jpg"),
        ("ü".encode() + b"\xff\\", "ü" + r"\xff\\"),
    ],
)
def test_printable_names_are_turned_back(name: bytes, shown: str):
    real = os.fsdecode(name)
    assert printable(real) == shown
    assert real_name(shown) == real
