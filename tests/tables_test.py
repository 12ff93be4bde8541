"""Lists and tables of people: one set of rules for their text, and columns by their names."""

import csv
import itertools

import numpy as np
import pytest

from jaxlm.landmarks import FIVE, IBUG68
from jaxlm.landmarks.point_columns import find_columns
from jaxlm.landmarks.scheme import Scheme
from jaxlm.landmarks.tables import LineError, files_with_ending, read_lines, read_table

MASK = Scheme("mask", flip=(1, 0, 2), names=("left_eye", "right eye", "chin"))


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_have_their_numbers_whatever_ends_them(tmp_path, end):
    lines = read_lines(write(tmp_path / "a.txt", end.join(["\ufeffone", "", "  ", "two b"])))
    assert [(line.number, line.text) for line in lines] == [(1, "one"), (4, "two b")]


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("file\nmüller.png", "latin-1", r"a\.csv, line 2: the byte 0xfc is no UTF-8; as Latin-1 it reads 'müller"),
        ("file\na.png", "utf-16", r"a\.csv, line 1: the file is UTF-16"),
        ("file\na.png", "utf-32", r"a\.csv, line 1: the file is UTF-32"),
        ("file\na.png", "utf-16-le", r"a\.csv, line 1: a zero byte"),
        ("file\na\0.png", "utf-8", r"a\.csv, line 2: a zero byte"),
        ("\n \n", "utf-8", r"a\.csv: the file is empty"),
        ('"file,x\na,1', "utf-8", r"a\.csv, line 1: a quote is opened and not closed"),
    ],
)
def test_text_that_cannot_be_read_is_named_with_its_line(tmp_path, text, encoding, message):
    with pytest.raises(LineError, match=message):
        read_table(write(tmp_path / "a.csv", text, encoding))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_header_has_the_delimiter(tmp_path, delimiter):
    rows = [["a; b,\tc.png", "1", "2"], ["d.png", "3", "4"]]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([["file", "x0", "y0"], *rows])
    table = read_table(tmp_path / "a.csv")
    assert [table.cells(row) for row in table.rows] == rows


def test_a_quote_that_is_not_closed_spoils_its_own_line(tmp_path):
    table = read_table(write(tmp_path / "a.csv", 'file,x0,y0\n"a.png,1,2\n"b.png",3,4\nc.png,5\n'))
    with pytest.raises(LineError, match="line 2: a quote is opened and not closed"):
        table.cells(table.rows[0])
    assert table.cells(table.rows[1]) == ["b.png", "3", "4"]
    with pytest.raises(LineError, match="line 4: 2 values instead of 3"):
        table.cells(table.rows[2])


def test_endings_count_in_any_case(tmp_path):
    for name in ("b.PTS", "a.pts", "c.Pts", "d.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in files_with_ending(tmp_path, ".pts")] == ["a.pts", "b.PTS", "c.Pts"]
    assert files_with_ending(tmp_path / "none", ".pts") == []


def columns_of(tmp_path, header, scheme=MASK):
    return find_columns(read_table(write(tmp_path / "a.csv", header + "\n")), scheme)


@pytest.mark.parametrize(
    ("header", "order"),
    [
        ("file,x0,y0,x1,y1,x2,y2", [[1, 2], [3, 4], [5, 6]]),
        ("file,y0,x0,y1,x1,y2,x2", [[2, 1], [4, 3], [6, 5]]),
        ("file,x_0,x_1,x_2,y_0,y_1,y_2", [[1, 4], [2, 5], [3, 6]]),
        ("X1;Y1;X2;Y2;X3;Y3;Path", [[0, 1], [2, 3], [4, 5]]),
        ("file,0_x,0_y,2_x,2_y,1_x,1_y", [[1, 2], [5, 6], [3, 4]]),
        ("img name,x[0],y[0],x[1],y[1],x[2],y[2]", [[1, 2], [3, 4], [5, 6]]),
        (",0,1,2,3,4,5", [[1, 2], [3, 4], [5, 6]]),
        ("1\t2\t3\t4\t5\t6\tname", [[0, 1], [2, 3], [4, 5]]),
        ("whatever,p0x,p0y,p1x,p1y,p2x,p2y", [[1, 2], [3, 4], [5, 6]]),
        ("file,chin_x,chin_y,left_eye_x,left_eye_y,right_eye_x,right_eye_y", [[3, 4], [5, 6], [1, 2]]),
    ],
)
def test_columns_are_found_by_their_names(tmp_path, header, order):
    columns = columns_of(tmp_path, header)
    np.testing.assert_array_equal(columns.points, order)
    assert columns.name == (6 if header.lower().endswith(("name", "path")) else 0)
    assert columns.split is columns.visible is None


@pytest.mark.parametrize("split", ["split", "Split", "SPLIT"])
def test_split_and_visibility_may_stand_anywhere(tmp_path, split):
    columns = columns_of(tmp_path, f"visible_0,x0,y0,x1,y1,{split},x2,y2,visible_2,visible_1,image")
    assert (columns.name, columns.split) == (10, 5)
    np.testing.assert_array_equal(columns.visible, [0, 9, 8])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("a.png,1,2,3,4,5,6", "line 1: the table has no header, its first line is a face; .* file,x0,y0,...,x2,y2"),
        ("a.png,0,1,2,3,4,5", "line 1: the table has no header"),
        ("sub/a,10.5,2,3,4,5,-6e1", "line 1: the table has no header"),
        (
            "file,x0,y0,x1,y1,x2,y2,score",
            "line 1: columns that are not understood: 'score'. The header is 'file', 'x0'",
        ),
        ("file,x0,y0,x1,y1", "line 1: 2 columns of x; scheme mask has 3 points, so 6"),
        ("file,x0,y0,x1,y1,x1,y2", r"line 1: points \[1\] twice"),
        ("file,x2,y2,x3,y3,x4,y4", "line 1: columns of x from 2 to 4"),
        ("file,x0,y1,x1,y2,x2,y3", "line 1: x and y are not counted alike"),
        ("file,x0,y0,x1,y1,x2,y2,v0", "line 1: 1 columns of v"),
        ("file,name,x0,y0,x1,y1,x2,y2", "line 1: 2 columns of photos' names"),
        ("x0,y0,x1,y1,x2,y2", "line 1: no column of the photos' names"),
        ("file,lefteye,righteye", "line 1: columns that are not understood: 'lefteye', 'righteye'"),
    ],
)
def test_a_header_that_is_not_understood_is_quoted(tmp_path, header, message):
    with pytest.raises(ValueError, match=message):
        columns_of(tmp_path, header)


def test_every_order_of_68_points_is_that_of_their_names(tmp_path):
    words = ["file", *(f"{axis}_{i}" for axis, i in itertools.product("xy", range(68)))]
    order = np.random.default_rng(0).permutation(len(words))
    columns = columns_of(tmp_path, ",".join(words[i] for i in order), IBUG68)
    assert words[order[columns.name]] == "file"
    assert [[words[order[i]] for i in pair] for pair in columns.points] == [[f"x_{i}", f"y_{i}"] for i in range(68)]
    assert columns_of(tmp_path, ",".join(map(str, ["", *range(10)])), FIVE).name == 0


@pytest.mark.parametrize(("first", "mark"), [("sep=;", ";"), ('"sep=,"', ","), ("SEP=\t", "\t"), ("sep=;\r", ";")])
def test_the_first_line_of_excel_says_the_delimiter(tmp_path, first, mark):
    table = read_table(write(tmp_path / "a.csv", f"{first}\nfile{mark}x{mark}y\na.png{mark}1{mark}2\n"))
    assert (table.header, table.delimiter, table.first.number) == (["file", "x", "y"], mark, 2)
    assert [table.cells(row) for row in table.rows] == [["a.png", "1", "2"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file|x0|y0\n", r"a\.csv, line 1: cells stand between '\|': 'file\|x0\|y0'; write commas, semicolons or tabs"),
        ("sep=|\nfile|x0|y0\n", r"a\.csv, line 1: cells stand between '\|'; write commas"),
        ("file x0 y0\n", r"a\.csv, line 1: cells stand between blanks: 'file x0 y0'; write commas"),
        ("sep=;\n", r"a\.csv: the file is empty but for its first line"),
    ],
)
def test_other_delimiters_are_told(tmp_path, text, message):
    with pytest.raises(LineError, match=message):
        read_table(write(tmp_path / "a.csv", text))


def test_names_with_x_and_y_are_refused_where_both_orders_fit(tmp_path):
    letters = Scheme("letters", (0, 1, 2), names=("x", "y", "nose"))
    plain = Scheme("plain", (0, 1), names=("x", "y"))
    with pytest.raises(
        ValueError, match=r"line 1: the columns 'x_y', 'y_x' can be read in two ways: the axis in front"
    ):
        columns_of(tmp_path, "file,x_x,x_y,y_x,y_y", plain)
    behind = columns_of(tmp_path, "file,x_x,x_y,y_x,y_y,nose_x,nose_y", letters)
    np.testing.assert_array_equal(behind.points, [[1, 2], [3, 4], [5, 6]])
    in_front = columns_of(tmp_path, "file,x_x,x_y,y_x,y_y,x_nose,y_nose", letters)
    np.testing.assert_array_equal(in_front.points, [[1, 3], [2, 4], [5, 6]])
