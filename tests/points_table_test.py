"""A user's own faces: a table, or .pts files."""

import numpy as np
import pytest

from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.input import open_faces
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


@pytest.mark.parametrize("ending", [".jfif", ".gif", ".avif", ".webp", ".HEIC", ".ppm"])
def test_point_files_find_images_of_every_ending(tmp_path, ending):
    write_annotated(tmp_path / "a.jpg", ring(5))
    image = (tmp_path / "a.jpg").rename(tmp_path / f"a{ending}")
    assert PointsTable(tmp_path, "mine", FIVE).read(stop)["train"][0].image == image


def test_point_files_of_one_name_are_refused_and_those_in_folders_told(tmp_path, caplog):
    for name in ("a", "b", "day/c", "day/old/d"):
        write_annotated(tmp_path / f"{name}.jpg", ring(5))
    assert len(PointsTable(tmp_path, "mine", FIVE).read(stop)["train"]) == 2
    assert f"{tmp_path}: left out: 2 .pts files in folders below it" in caplog.text
    (tmp_path / "a.PTS").write_text((tmp_path / "a.pts").read_text())
    with pytest.raises(ValueError, match=r"a\.PTS and a\.pts differ in their ending's case alone"):
        PointsTable(tmp_path, "mine", FIVE).read(stop)


@pytest.mark.parametrize("names", [("a.png", "a.png", "a.png:2"), ("a.png:2", "a.png", "a.png")])
def test_a_name_of_a_further_face_is_no_photos(tmp_path, names):
    rows = [row_of(name, ring(5, (30.0 + i, 30.0))) for i, name in enumerate(names)]
    with pytest.raises(ValueError, match=r"a photo is called 'a\.png:2', as a further face of another photo is"):
        table(tmp_path, rows).read(stop)


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
    with pytest.raises(ValueError, match=r"'\(x\*\)' finds an empty group in the name of every photo"):
        PointsTable(tmp_path / "img", "mine", FIVE, table, group_by="(x*)").read(stop)
    with pytest.raises(ValueError, match="is no regular expression"):
        PointsTable(tmp_path / "img", "mine", FIVE, table, group_by="(")


def test_two_spellings_of_a_split_are_refused_with_both_lines(tmp_path):
    header = "image,split," + ",".join(f"{axis}{i}" for i in range(5) for axis in "xy")
    rows = [f"{start}," + ",".join(["1"] * 10) for start in ("a,train", "b,test", "c,Train")]
    with pytest.raises(ValueError, match=r"line 4: the split 'Train' is 'train' in .*line 2; spell it one way"):
        table(tmp_path, rows, header).read(lambda error: None)


@pytest.mark.parametrize("mark", ["999", "9999", "65535"])
def test_numbers_that_mark_hidden_points_are_refused_until_they_are_named(tmp_path, mark):
    points = np.rint(ring(5, (400.0, 300.0), 200.0))
    points[3] = float(mark)
    rows = [row_of("a.jpg", points)]
    with pytest.raises(BadFaceError, match=rf"line 2: point 3 is \({mark}, {mark}\), .* --hidden '{mark} {mark}'"):
        table(tmp_path, rows).read(stop)
    (label,) = table(tmp_path, rows, hidden=f"{mark} {mark}").read(stop)["train"]
    np.testing.assert_array_equal(label.visible, [True, True, True, False, True])
    (label,) = table(tmp_path, rows, hidden="none").read(stop)["train"]
    np.testing.assert_array_equal(label.points, points)


def test_a_place_far_away_that_faces_share_exactly_may_be_a_mark(tmp_path):
    faces = [ring(5, (300.0 + i, 200.0), 50.0) for i in range(3)]
    for i, points in enumerate(faces):
        points[i] = 640, 480  # 2 to 5 sides away.
    rows = [row_of(f"{i}.jpg", points) for i, points in enumerate(faces)]
    assert len(table(tmp_path, [*rows[:2], *rows[:2]]).read(stop)["train"]) == 4  # Equal faces count once.
    message = r"line 2: point 0 is \(640, 480\), far from the others, and so in 3 faces; .* --hidden '640 480'"
    with pytest.raises(ValueError, match=message):
        table(tmp_path, rows).read(lambda error: None)
    (tmp_path / "pts").mkdir()
    for i, points in enumerate(faces):
        write_annotated(tmp_path / f"{i}.jpg", points - 1)
        (tmp_path / f"{i}.pts").rename(tmp_path / "pts" / f"{i}.pts")
    with pytest.raises(ValueError, match=r"0\.pts: point 0 is \(640, 480\), far .* --hidden '640 480'"):
        PointsTable(tmp_path, "mine", FIVE, tmp_path / "pts").read(stop)
    hidden = table(tmp_path, rows, hidden="640 480").read(stop)["train"]
    assert [int(np.argmin(label.visible)) for label in hidden] == [0, 1, 2]
    assert table(tmp_path, rows, hidden="none").read(stop)["train"][0].visible.all()


def test_aligned_faces_share_places_and_are_read(tmp_path):
    rows = [row_of(f"{i}.jpg", np.array([[38, 51], [74, 51], [56, 71 + i], [42, 92], [71, 92]])) for i in range(5)]
    assert len(table(tmp_path, rows).read(stop)["train"]) == 5


def test_two_images_of_one_name_are_refused(tmp_path):
    write_annotated(tmp_path / "a.jpg", ring(5))
    write_photo(tmp_path / "a.png")
    with pytest.raises(BadFaceError, match=r"a\.pts: a\.jpg and a\.png both have its name"):
        PointsTable(tmp_path, "mine", FIVE).read(stop)


def test_names_that_are_numbers_are_at_the_end_of_a_line(tmp_path):
    for name in range(20, 61):
        write_photo(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.jpg").rename(tmp_path / str(name))
    faces = [np.rint(ring(5, (45.0, 35.0), 12.0 + i % 4)).astype(int) for i in range(20)]
    coordinates = [" ".join(map(str, points.reshape(-1))) for points in faces]
    labels = listed(tmp_path, [f"{each} {20 + i}" for i, each in enumerate(coordinates)]).read(stop)["train"]
    assert [label.image.name for label in labels] == [str(20 + i) for i in range(20)]
    np.testing.assert_array_equal(labels[3].points, faces[3])
    with pytest.raises(ValueError, match=r"list\.txt: every line begins with the name of an image"):
        listed(tmp_path, [f"{20 + i} {each}" for i, each in enumerate(coordinates)]).read(stop)
    write_photo(tmp_path / "b.jpg")
    with pytest.raises(ValueError, match=r"list\.txt: every line begins with the name of an image"):
        listed(tmp_path, [f"b.jpg {coordinates[0]}"]).read(stop)


def test_coordinates_about_the_centre_are_told_as_such(tmp_path):
    write_photo(tmp_path / "a.jpg")
    for points, message in (
        (
            ring(5, (-0.1, -0.2), 0.4),
            r"-1 and 1, about the photo's centre: x is \(x \+ 1\) / 2 times the photo's width",
        ),
        (ring(5, (-0.5, -0.5), 0.4), "-1 and 1, about the photo's centre"),
        (ring(5, (0.5, 0.5), 0.3), "0 and 1, as shares of the photo"),
    ):
        (label,) = table(tmp_path, [row_of("a.jpg", points)]).read(stop)["train"]
        with pytest.raises(BadFaceError, match=f"line 2: .*its coordinates lie between {message}"):
            PointsTable.to_record(label, 32, 2.0)


def test_what_a_message_quotes_is_shortened_and_printable(tmp_path):
    for row, most in (
        (row_of("a.jpg", ring(5)).replace("60", "6" * 5000 + "x", 1), 200),
        (row_of("b" * 50_000 + " ", ring(5)), 1100),
        (row_of("c\x1b[31m ", ring(5)), 200),
    ):
        errors = []
        with pytest.raises(ValueError, match="not one of the 1 faces"):
            table(tmp_path, [row]).read(errors.append)
        text = str(errors[0]).replace(str(tmp_path), "")
        assert len(text) < most
        assert text.isprintable()


@pytest.mark.parametrize("name", ["", '""', '" "'])
def test_an_image_without_a_name_is_told(tmp_path, name):
    with pytest.raises(BadFaceError, match="line 2: the image's name is empty"):
        table(tmp_path, [row_of(name, ring(5))]).read(stop)


@pytest.mark.parametrize(
    "word", ["occluded_{}", "hidden{}", "is_occluded{}", "{}_occluded", "invisible_{}", "p{}_hidden"]
)
def test_columns_of_hidden_points_by_other_names_are_refused(tmp_path, word):
    header = "image," + ",".join(f"x{i},y{i},{word.format(i)}" for i in range(5))
    with pytest.raises(ValueError, match=r"columns that are not understood: .*Hidden points without a place .* v0, v1"):
        table(tmp_path, [], header).read(stop)


def test_visibility_is_known_by_its_short_forms(tmp_path):
    cells = ",".join(f"{x:.1f},{y:.1f},{int(i != 2)}" for i, (x, y) in enumerate(ring(5)))
    for word in ("vis_", "visible", "V", "Visibility-"):
        header = "image," + ",".join(f"x{i},y{i},{word}{i}" for i in range(5))
        (label,) = table(tmp_path, [f"a.jpg,{cells}"], header).read(stop)["train"]
        np.testing.assert_array_equal(label.visible, [True, True, False, True, True])


def test_visibility_is_counted_as_the_points_are(tmp_path):
    header = "image," + ",".join(f"x{i},y{i},v{i + 1}" for i in range(5))
    with pytest.raises(ValueError, match="line 1: x and v are not counted alike"):
        table(tmp_path, [], header).read(stop)


def test_tables_without_faces_and_lists_with_commas_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"table\.csv holds no faces"):
        table(tmp_path, []).read(stop)
    with pytest.raises(BadFaceError, match=r"line 1: value 1 is '1,', not a number; leave out the commas"):
        listed(tmp_path, ["1, 2, 3, 4, 5, 6, 7, 8, 9, 10, a.jpg"]).read(stop)


def test_two_faces_of_a_photo_are_one_group_under_different_names(tmp_path, capsys):
    write_photo(tmp_path / "a.jpg")
    faces = [ring(5, (30.0 + 30 * i, 35.0)) for i in range(2)]
    source = table(tmp_path, [row_of("a.jpg", points) for points in faces])
    labels = source.read(stop)["train"]
    assert [(label.name, label.group) for label in labels] == [("a.jpg", "a.jpg"), ("a.jpg:2", "a.jpg")]
    prepare.prepare(source, prepare.Options(frame_size=64, pack=tmp_path / "mine.npz"))
    printed = capsys.readouterr().out
    assert "Twice" not in printed
    assert "Groups" not in printed
    found = open_faces(str(tmp_path / "mine.npz"), "train", "")
    assert found.names == ("a.jpg", "a.jpg:2")
    for i, points in enumerate(faces):
        assert_float32_close(transform(found.points[i], found.to_source[i]), points, depth=4)
