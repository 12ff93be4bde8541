"""Output files appear whole, and JSON and TOML of others are read within bounds."""

import dataclasses
import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from jaxlm.files import check_place, read_array, read_json, read_toml, remove_unfinished, replacing, write_whole


@dataclasses.dataclass(frozen=True)
class Size:
    width: int
    height: int = 3


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    file = tmp_path / ("n" * 250)  # As long as names may be; the unfinished one must fit, too.
    write_whole(file, "old")
    with replacing(file) as written:
        written.write(b"new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "mean.npz"
    write_whole(file, "old")

    def fill_the_disk():
        with replacing(file) as written:
            written.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left on device") as caught:
        fill_the_disk()
    assert caught.value.filename == str(file)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    with pytest.raises(FileNotFoundError, match="none"):
        write_whole(tmp_path / "none" / "file", "text")


def test_a_kill_leaves_the_old_file(tmp_path):
    file = tmp_path / "mean.npz"
    write_whole(file, "old")
    script = f"""
        import os, signal
        from jaxlm.files import replacing
        with replacing({str(file)!r}) as written:
            written.write(b"half" * 10_000)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert file.read_text() == "old"


def test_links_stay_links_and_pipes_are_written_themselves(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_whole(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "text"
    write_whole("/dev/null", "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is no JSON"),
        (b"\xff\xfe{", "is not UTF-8 text, at byte 0"),
        (b"[" * 100_000, "is nested too deep"),
        (b'{"width": 9' + b"9" * 5000 + b"}", "is no JSON"),
        (b'{"width": "3"}', "Expected `int`, got `str` - at `width`"),
        (b'{"height": 3}', "missing required field `width`"),
        (b"[1]", "Expected `object`, got `array`"),
    ],
)
def test_json_of_others_keeps_a_schema(tmp_path, content, message):
    file = tmp_path / "size.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_json(file, Size)
    assert str(caught.value).startswith(str(file))


def test_what_fits_is_read(tmp_path):
    (tmp_path / "size.json").write_text('{"width": 2, "more": []}')
    (tmp_path / "size.toml").write_bytes(b"\xef\xbb\xbfwidth = 2\nheight = 4\n")
    assert read_json(tmp_path / "size.json", Size) == Size(2)
    assert read_toml(tmp_path / "size.toml", Size) == Size(2, 4)
    with pytest.raises(ValueError, match="is no regular file"):
        read_toml(tmp_path, Size)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json", Size)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">f8", "<f4", "i2", "?", "U3"])
def test_arrays_are_those_of_numpy(tmp_path, order, dtype):
    array = np.asarray(np.arange(12).reshape(3, 4) % 2, dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    found = read_array(tmp_path / "a.npy", "bifU")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.dtype.isnative


@pytest.mark.parametrize("shape", [(), (0, 3), (1,)])
def test_arrays_of_any_shape_are_read(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    assert read_array(tmp_path / "a.npy", "f").shape == shape


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"0",
        lambda data: data.replace(b"(3,)", b"(9,)"),
        lambda data: data.replace(b"<f8", b"|O8"),
        lambda data: data.replace(b"(3,)", b"(3,)+(exit(),)")[: len(data)],
        lambda data: b"",
    ],
)
def test_damaged_arrays_are_named(tmp_path, change):
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").write_bytes(change((tmp_path / "a.npy").read_bytes()))
    with pytest.raises(ValueError, match=r"a\.npy is not a \.npy file of numbers, or it is damaged"):
        read_array(tmp_path / "a.npy", "f")


def test_what_killed_processes_have_left_is_removed(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    gone, alive = int(dead.stdout), os.getppid()
    left = [f".{gone}.part", f".a.jpg.{gone}.01234567.incomplete", f".b.{os.getpid()}.89abcdef.incomplete"]
    kept = [f".{alive}.part", f".a.{alive}.01234567.incomplete", "1.part", f".{gone}.part.jpg", ".x.part", "a.jpg"]
    for name in (*left, *kept):
        (tmp_path / name).touch()
    (tmp_path / f".{gone}0.part").mkdir()
    with replacing(tmp_path / "now") as written:
        written.write(b"new")
        assert sorted(remove_unfinished(tmp_path)) == sorted(left)
    assert (tmp_path / "now").read_bytes() == b"new"
    assert {file.name for file in tmp_path.iterdir()} == {*kept, "now", f".{gone}0.part"}


def test_nothing_is_written_through_links_inside_a_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    check_place(tmp_path / "link", tmp_path / "link" / "deeper" / "a.jpg")
    (tmp_path / "out" / "a.jpg").touch()
    check_place(tmp_path / "out", tmp_path / "out" / "a.jpg")
    (tmp_path / "out" / "away").symlink_to(tmp_path)
    (tmp_path / "out" / "b.jpg").symlink_to(tmp_path / "nothing")
    for path, link in (("away/x/c.jpg", "away"), ("b.jpg", "b.jpg")):
        with pytest.raises(OSError, match=f"{tmp_path / 'out' / link} is a link"):
            check_place(tmp_path / "out", tmp_path / "out" / path)
    os.mkfifo(tmp_path / "out" / "fifo")
    (tmp_path / "out" / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(OSError, match=f"{name} is no regular file"):
            check_place(tmp_path / "out", tmp_path / "out" / name)
