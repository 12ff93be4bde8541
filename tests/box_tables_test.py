"""Boxes from a table, and which photo each is for."""

import pathlib

import numpy as np
import pytest

from jaxlm.prediction.box_tables import boxes_of_table, read_boxes

HEADER = "file,x1,y1,x2,y2\n"


def table_of(folder: pathlib.Path, rows: str, header: str = HEADER) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "boxes.csv").write_text(header + rows)
    return folder / "boxes.csv"


def test_rows_are_read_whatever_stands_beside_them(tmp_path: pathlib.Path):
    file = table_of(tmp_path, "a.png;0.9;1;2;3;4.5\n\nb.png;1;5;6;7;8\n", "\ufefffile; Score; X1; Y1; X2; Y2\n")
    first, second = read_boxes(file)
    assert (first.name, first.where) == ("a.png", f"{file}, line 2")
    np.testing.assert_array_equal([first.box, second.box], [[1, 2, 3, 4.5], [5, 6, 7, 8]])
    assert second.where == f"{file}, line 4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "a.png,1,2,3,4\nb.png,5,6,seven,8\n", r"boxes\.csv, line 3: .* four numbers, not 5, 6, seven, 8"),
        (HEADER + "a.png,1,2,nan,4\n", r"boxes\.csv, line 2: .* four numbers"),
        (HEADER + "a.png,1,2,3\n", r"boxes\.csv, line 2: 4 values instead of 5"),
        (HEADER + '"a.png,1,2,3,4\n', r"boxes\.csv, line 2: a quote is opened"),
        ("a.png,1,2,3,4\n", r"boxes\.csv, line 1: .*file, x1, y1, x2, y2 not found"),
        ("file,x1,y1,x1,y2,x2\n", r"boxes\.csv, line 1: .* x1 there twice"),
        ("file,x,y,w,h\n", r"boxes\.csv, line 1: .* x1, y1, x2, y2 not found in 'file', 'x', 'y', 'w', 'h'"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path: pathlib.Path, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_boxes(table_of(tmp_path, "", text))


def test_photos_are_called_by_path_or_by_bare_name(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    files = [tmp_path / "photos" / name for name in ("a.png", "b.png", "deeper/c.png", "deeper/a.png", "none.png")]
    rows = "a.png,1,2,3,4\ndeeper/c.png,5,6,7,8\nb.png,1,1,2,2\na.png,2,2,3,3\n"
    boxes = boxes_of_table(table_of(tmp_path / "photos", rows), files)
    assert [len(boxes[file]) for file in files] == [2, 1, 1, 0, 0]  # a.png beside the table, not the deeper one.
    np.testing.assert_array_equal(boxes[files[2]], [[5, 6, 7, 8]])
    boxes = boxes_of_table(table_of(tmp_path, "c.png,1,2,3,4\n"), files)
    assert [len(boxes[file]) for file in files] == [0, 0, 1, 0, 0]
    assert capsys.readouterr().err == ""


def test_rows_for_no_photo_are_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    file = table_of(tmp_path, "a.png,1,2,3,4\na.pgn,1,2,3,4\nb.png ,1,2,3,4\n")
    boxes = boxes_of_table(file, [tmp_path / "a.png", tmp_path / "b.png"])
    assert [len(found) for found in boxes.values()] == [1, 0]
    told = capsys.readouterr().err
    assert told == f"warning: {file}: 2 rows are for none of the photos given: 'a.pgn' (line 3), 'b.png ' (line 4)\n"


def test_a_bare_name_that_fits_two_photos_is_refused(tmp_path: pathlib.Path):
    file = table_of(tmp_path, "img.png,1,2,3,4\n")
    with pytest.raises(ValueError, match=r"line 2: 'img.png' fits 2 photos, .*A/img.png, .*B/img.png"):
        boxes_of_table(file, [tmp_path / "A" / "img.png", tmp_path / "B" / "img.png"])


@pytest.mark.parametrize("other", ["./a/img.png", "img.png", "b/../a/img.png"])
def test_two_names_of_one_photo_are_refused(tmp_path: pathlib.Path, other: str):
    file = table_of(tmp_path, f"a/img.png,1,2,3,4\n{other},5,6,7,8\n")
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"line 3: '.*img.png' is .*a/img.png, which .*line 2 calls 'a/img.png'"):
        boxes_of_table(file, [tmp_path / "a" / "img.png"])


def test_a_photo_given_twice_has_its_boxes_twice(tmp_path: pathlib.Path):
    file = table_of(tmp_path, "a.png,1,2,3,4\n")
    boxes = boxes_of_table(file, [tmp_path / "a.png", tmp_path / "b" / ".." / "a.png"])
    assert [len(found) for found in boxes.values()] == [1, 1]


def test_a_row_that_is_there_twice_is_taken_once_and_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    file = table_of(tmp_path, "a.png,1,2,3,4\nb.png,1,2,3,4\na.png,1.0,2,3,4.00\na.png,1,2,3,4.5\n")
    boxes = boxes_of_table(file, [tmp_path / "a.png", tmp_path / "b.png"])
    assert [len(found) for found in boxes.values()] == [2, 1]
    told = capsys.readouterr().err
    assert told == f"warning: {file}, line 4: box (1, 2, 3, 4) of a.png is that of {file}, line 2; it is taken once\n"


def test_a_photo_and_a_link_to_it_share_their_boxes(tmp_path: pathlib.Path):
    (tmp_path / "a.png").touch()
    (tmp_path / "link.png").symlink_to("a.png")
    files = [tmp_path / "a.png", tmp_path / "link.png"]
    for name in ("a.png", "link.png"):
        boxes = boxes_of_table(table_of(tmp_path, f"{name},1,2,3,4\n"), files)
        assert [len(boxes[file]) for file in files] == [1, 1]
    with pytest.raises(ValueError, match=r"line 3: 'link\.png' is .*, which .*line 2 calls 'a\.png'"):
        boxes_of_table(table_of(tmp_path, "a.png,1,2,3,4\nlink.png,1,2,3,4\n"), files)


def test_the_path_of_another_photo_is_no_bare_name(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "a.png").touch()
    file = table_of(tmp_path, "a.png,1,2,3,4\n")
    assert boxes_of_table(file, [tmp_path / "sub" / "a.png"]) == {tmp_path / "sub" / "a.png": []}
    assert "1 rows are for none of the photos given: 'a.png' (line 2)" in capsys.readouterr().err


def test_a_roll_is_told_not_to_be_used(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    file = table_of(tmp_path, "a.png,1,2,3,4,30\n", header="file,x1,y1,x2,y2,roll\n")
    assert len(boxes_of_table(file, [tmp_path / "a.png"])[tmp_path / "a.png"][0]) == 4
    assert "the column roll is not used; boxes of a table are upright" in capsys.readouterr().err
