"""A user's own faces: a table, or .pts files."""

import numpy as np
import pytest

from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.points_table import PointsTable
from jaxlm.landmarks import FIVE, IBUG68, load_scheme
from jaxlm.landmarks.geometry import transform
from tiny_archives import ring, write_annotated, write_photo
from tolerances import assert_float32_close


def stop(error):
    raise error


def row_of(image, points, *more):
    return ",".join([image, *(f"{value:g}" for value in points.reshape(-1)), *more])


def write_table(folder, rows, header=None):
    path = folder / "table.csv"
    path.write_text("\n".join([header or "," + ",".join(map(str, range(10))), *rows]) + "\n")
    return path


def table(folder, rows, header=None, **options):
    return PointsTable(folder, "mine", FIVE, annotations=write_table(folder, rows, header), **options)


def test_a_table_counts_from_zero_and_goes_to_train(tmp_path):
    points = np.arange(10.0).reshape(5, 2)
    splits = table(tmp_path, [row_of("Ann_Lee_1.jpg", points), row_of("Ann_Lee_2.jpg", points + 1)]).read(stop)
    assert list(splits) == ["train"]
    np.testing.assert_array_equal(splits["train"][1].points, points + 1)
    assert splits["train"][0].image == tmp_path / "Ann_Lee_1.jpg"


def test_a_split_column_is_obeyed(tmp_path):
    header = "image,split," + ",".join(f"{axis}{i}" for i in range(5) for axis in "xy")
    rows = [f"{start}," + ",".join(["1"] * 10) for start in ("a,train", "b,test", "c,train")]
    splits = table(tmp_path, rows, header).read(stop)
    assert {split: [label.name for label in labels] for split, labels in splits.items()} == {
        "train": ["a", "c"],
        "test": ["b"],
    }


def test_group_by_finds_the_person(tmp_path):
    rows = [row_of(name, ring(5)) for name in ("Ann_Lee_1.jpg", "Ann_Lee_12.jpg", "Bo_3.jpg")]
    labels = table(tmp_path, rows, group_by="(.*)_").read(stop)["train"]
    assert [label.group for label in labels] == ["Ann_Lee", "Ann_Lee", "Bo"]


def test_a_split_must_have_a_plain_name(tmp_path):
    header = "image,split," + ",".join(f"{axis}{i}" for i in range(5) for axis in "xy")
    with pytest.raises(BadFaceError, match=r"table\.csv, line 2: the split 'my test' needs a name"):
        table(tmp_path, ["a,my test," + ",".join(["1"] * 10)], header).read(stop)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a_1.jpg,1,2,3,4,5,6,7,8,9", "line 3: 10 values instead of 11"),
        ("a_1.jpg,1,2,3,4,5,6,7,8,9,nan", r"line 3: point 4 has one coordinate of two: \(9, nan\)"),
        ("a_1.jpg,1,inf,3,4,5,6,7,8,9,10", "line 3: value 2 is 'inf', not a finite number"),
        ("a_1.jpg,1,2;5,3,4,5,6,7,8,9,10", "line 3: value 2 is '2;5', not a number"),
        ('"a_1.jpg,1,2,3,4,5,6,7,8,9,10', "line 3: a quote is opened and not closed"),
        ("a_1.jpg ,1,2,3,4,5,6,7,8,9,10", "line 3: the image's name 'a_1.jpg ' begins or ends with a blank"),
        ("a1.jpg,1,2,3,4,5,6,7,8,9,10", "line 3: --group-by .* does not match"),
    ],
)
def test_bad_rows_name_file_and_line_and_are_skipped_alone(tmp_path, row, message):
    source = table(tmp_path, [row_of("a_0.jpg", ring(5)), row, row_of("a_2.jpg", ring(5))], group_by="(.*)_")
    with pytest.raises(BadFaceError, match=rf"table\.csv, {message}"):
        source.read(stop)
    errors = []
    assert [label.name for label in source.read(errors.append)["train"]] == ["a_0.jpg", "a_2.jpg"]
    assert len(errors) == 1


def test_a_table_of_another_scheme_is_refused(tmp_path):
    source = PointsTable(tmp_path, "mine", IBUG68, annotations=write_table(tmp_path, []))
    with pytest.raises(ValueError, match="line 1: 5 columns of x; scheme ibug68 has 68 points, so 136"):
        source.read(stop)


def listed(folder, lines, **options):
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    return PointsTable(folder, "mine", FIVE, annotations=folder / "list.txt", **options)


def line_of(points, image):
    return " ".join([*(f"{value:.6f}" for value in points.reshape(-1)), image])


def test_a_list_of_avs_counts_from_zero_and_groups_the_styles_of_a_face(tmp_path):
    faces = [ring(5, (180.0 + i, 200.0), 90.25) for i in range(2)]
    lines = [line_of(faces[i // 4], f"{i}.jpg") for i in range(8)]
    labels = listed(tmp_path, lines).read(stop)["train"]
    assert [label.name for label in labels] == [f"{i}.jpg" for i in range(8)]
    assert labels[5].image == tmp_path / "5.jpg"
    np.testing.assert_allclose(labels[5].points, faces[1], atol=1e-6)  # Of six decimals.
    groups = [label.group for label in labels]
    assert groups == [groups[0]] * 4 + [groups[4]] * 4
    assert groups[0] != groups[4]
    photos = listed(tmp_path, [line_of(face, name) for face, name in zip(faces, ("a.jpg", "b.jpg"), strict=True)])
    assert [label.group for label in photos.read(stop)["train"]] == [groups[0], groups[4]]
    named = listed(tmp_path, [line_of(faces[0], "a_0.jpg"), line_of(faces[0], "b_0.jpg")], group_by="(.*)_")
    assert [label.group for label in named.read(stop)["train"]] == ["a", "b"]


def test_a_list_of_avs_is_prepared_from_images_of_384_px(tmp_path):
    points = ring(5, (190.0, 200.0), 80.0)
    write_photo(tmp_path / "0.jpg", 384, 384)
    source = listed(tmp_path, [line_of(points, "0.jpg")])
    (label,) = source.read(stop)["train"]
    record = source.to_record(label, 64, 2.0)
    assert_float32_close(transform(record.points, record.to_source), points, depth=4, scale=384)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 3 4 5 6 7 8 9 b.jpg", r"line 2: 10 values instead of 11 \(x and y of 5 points, the image\)"),
        ("1 2 3 4 5 6 7 8 9 10 11 b.jpg", "line 2: 12 values instead of 11"),
        ("1 2 3 4 5 6 7 8 9 10 my b.jpg", "line 2: 12 values instead of 11"),
        ("1,2,3,4,5,6,7,8,9,10,b.jpg", "line 2: 1 values instead of 11 .*; a table with a header"),
        ("1 2 3 4 5 6 x 8 9 10 b.jpg", "line 2: value 7 is 'x', not a number"),
        ("b.jpg 1 2 3 4 5 6 7 8 9 10", "line 2: value 1 is 'b.jpg', not a number"),
    ],
)
def test_bad_lines_of_a_list_name_file_and_line_and_are_skipped_alone(tmp_path, line, message):
    source = listed(tmp_path, [line_of(ring(5), "a.jpg"), line, line_of(ring(5), "c.jpg")])
    with pytest.raises(BadFaceError, match=rf"list\.txt, {message}"):
        source.read(stop)
    errors = []
    assert [label.name for label in source.read(errors.append)["train"]] == ["a.jpg", "c.jpg"]
    assert len(errors) == 1


def test_point_files_lie_beside_the_images_or_in_a_folder_of_their_own(tmp_path):
    write_annotated(tmp_path / "a.jpg", ring(5))
    beside = PointsTable(tmp_path, "mine", FIVE).read(stop)["train"]
    (tmp_path / "points").mkdir()
    (tmp_path / "a.pts").rename(tmp_path / "points" / "a.pts")
    apart = PointsTable(tmp_path, "mine", FIVE, annotations=tmp_path / "points").read(stop)["train"]
    for (label,) in (beside, apart):
        assert label.image == tmp_path / "a.jpg"
        np.testing.assert_allclose(label.points, ring(5), atol=1e-3)  # Of three decimals.


def test_wrong_options_and_empty_folders_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="--name"):
        PointsTable(tmp_path, "my set", FIVE)
    with pytest.raises(ValueError, match=r"--group-by .* no group"):
        PointsTable(tmp_path, "mine", FIVE, group_by=".*_")
    write_photo(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match="no usable annotations"):
        PointsTable(tmp_path, "mine", FIVE).read(stop)
    (tmp_path / "a.pts").write_text("version: 1")
    with pytest.raises(ValueError, match=r"not one of the 1 faces .* the first: .*a\.pts: no points between"):
        PointsTable(tmp_path, "mine", FIVE).read(lambda error: None)
    with pytest.raises(ValueError, match=r"a\.pts: annotations are a \.csv or \.tsv table, a \.txt list, or a folder"):
        PointsTable(tmp_path, "mine", FIVE, tmp_path / "a.pts").read(stop)
    with pytest.raises(ValueError, match="--hidden 'x'"):
        PointsTable(tmp_path, "mine", FIVE, hidden="x")


@pytest.mark.parametrize("ending", [".PTS", ".Pts"])
def test_endings_count_in_any_case(tmp_path, ending):
    write_annotated(tmp_path / "a.jpg", ring(5))
    write_annotated(tmp_path / "b.jpg", ring(5))
    (tmp_path / "b.pts").rename(tmp_path / f"b{ending}")
    (tmp_path / "b.jpg").rename(tmp_path / "b.Jpg")
    labels = PointsTable(tmp_path, "mine", FIVE).read(stop)["train"]
    assert [label.image.name for label in labels] == ["a.jpg", "b.Jpg"]
    table(tmp_path, [row_of("a.jpg", ring(5))]).annotations.rename(tmp_path / "T.CSV")
    assert len(PointsTable(tmp_path, "mine", FIVE, tmp_path / "T.CSV").read(stop)["train"]) == 1
    listed(tmp_path, [line_of(ring(5), "a.jpg")]).annotations.rename(tmp_path / "T.TXT")
    assert len(PointsTable(tmp_path, "mine", FIVE, tmp_path / "T.TXT").read(stop)["train"]) == 1


def test_a_point_file_says_how_many_points_it_has(tmp_path):
    write_annotated(tmp_path / "a.jpg", ring(5))
    path = tmp_path / "a.pts"
    path.write_text(path.read_text().replace("n_points:  5", "n_points:  68"))
    with pytest.raises(BadFaceError, match=r"a\.pts: n_points is 68, and there are 5 points"):
        PointsTable(tmp_path, "mine", FIVE).read(stop)


def test_the_header_says_the_order_of_the_columns(tmp_path):
    points = np.round(ring(5), 2)
    header = "split;y_0;y_1;y_2;y_3;y_4;x_0;x_1;x_2;x_3;x_4;Path"
    row = ";".join(["test", *(f"{value:.2f}" for value in points.T[::-1].reshape(-1)), "a.jpg"])
    (label,) = table(tmp_path, ["", row, "  "], header).read(stop)["test"]
    np.testing.assert_array_equal(label.points, points)
    assert label.where.endswith("table.csv, line 3")
    assert label.visible.all()


def test_names_of_points_that_look_like_numbers_are_names(tmp_path):
    toml = tmp_path / "mine.toml"
    toml.write_text('name = "mine"\nnames = ["p3", "p1", "p2"]\n')
    write_photo(tmp_path / "img" / "a.jpg")
    table = tmp_path / "t.csv"
    table.write_text("name,p3_x,p3_y,p1_x,p1_y,p2_x,p2_y\na.jpg,30,31,50,33,40,52\n")
    source = PointsTable(tmp_path / "img", "mine", load_scheme(str(toml)), table)
    (label,) = source.read(stop)["train"]
    np.testing.assert_array_equal(label.points, [[30, 31], [50, 33], [40, 52]])


def test_a_group_that_is_not_there_is_told(tmp_path):
    write_photo(tmp_path / "img" / "a.jpg")
    table = tmp_path / "t.csv"
    table.write_text("name," + ",".join(f"x{i},y{i}" for i in range(5)) + "\na.jpg,30,31,50,33,40,42,33,52,48,52\n")
    with pytest.raises(BadFaceError, match=r"finds no group in the image name 'a\.jpg'"):
        PointsTable(tmp_path / "img", "mine", FIVE, table, group_by="a(x)?").read(stop)
    with pytest.raises(ValueError, match="is no regular expression"):
        PointsTable(tmp_path / "img", "mine", FIVE, table, group_by="(")
