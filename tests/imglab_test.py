"""XML files of dlib's imglab: boxes with named parts."""

import numpy as np
import pytest

from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.input import open_faces
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.imglab import Imglab
from jaxlm.files import read_elements
from jaxlm.landmarks import FIVE, Scheme
from jaxlm.landmarks.geometry import transform
from tiny_archives import ring, write_photo
from tolerances import assert_float32_close

POINTS = [np.rint(ring(5, (30.0 + 30 * i, 35.0))).astype(int) for i in range(2)]


def stop(error):
    raise error


def parts(points, names=("0", "1", "2", "3", "4")):
    return "".join(f"<part name='{name}' x='{x}' y='{y}'/>\n" for name, (x, y) in zip(names, points, strict=True))


def box(inside, more=""):
    return f"<box top='20' left='15' width='30' height='31'{more}>\n{inside}</box>\n"


TWO = box(parts(POINTS[0])) + box(parts(POINTS[1][::-1], names=("4", "3", "2", "1", "0")))
BEGIN = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<?xml-stylesheet type='text/xsl' href='a.xsl'?>\n"


def imglab(folder, boxes=TWO, file="day/a.jpg", begin=BEGIN, **options):
    write_photo(folder / "photos" / "day" / "a.jpg")
    images = f"<images>\n<image file='{file}'>\n{boxes}</image>\n</images>\n"
    (folder / "faces.xml").write_text(f"{begin}<dataset>\n<name>mine</name>\n{images}</dataset>\n")
    return Imglab(folder / "photos", folder / "faces.xml", "mine", **options)


def test_parts_are_read_by_name_in_any_order(tmp_path):
    source = imglab(tmp_path)
    labels = source.read(stop)["train"]
    assert [label.name for label in labels] == ["day/a.jpg", "day/a.jpg:2"]
    assert [label.group for label in labels] == ["day/a.jpg"] * 2
    for label, points in zip(labels, POINTS, strict=True):
        np.testing.assert_array_equal(label.points, points)
        assert label.visible.all()
    assert labels[1].where.endswith("faces.xml, line 14")
    assert source.scheme.names == ("0", "1", "2", "3", "4")


def test_names_that_are_numbers_are_sorted_by_number(tmp_path):
    names = ("10", "9", "8", "0", "1")
    assert imglab(tmp_path, box(parts(POINTS[0], names))).scheme.names == ("0", "1", "8", "9", "10")
    names = ("nose", "left_eye", "right_eye", "chin", "10")
    source = imglab(tmp_path, box(parts(POINTS[0], names)))
    assert source.scheme.names == ("10", "chin", "left_eye", "nose", "right_eye")
    assert source.scheme.flip == (0, 1, 4, 3, 2)


def test_a_scheme_without_names_takes_numbered_parts_and_no_words(tmp_path):
    points = np.rint(ring(12)).astype(int)
    plain = Scheme("plain", tuple(range(12)))
    source = imglab(tmp_path, box(parts(points, [f"p{i}" for i in range(1, 13)])), scheme=plain)
    np.testing.assert_array_equal(source.read(stop)["train"][0].points, points)
    words = ["left_eye", "right_eye", *(f"p{i}" for i in range(10))]
    with pytest.raises(
        ValueError, match=r"faces\.xml: the scheme has no names to match left_eye, .*: add names to plain"
    ):
        imglab(tmp_path, box(parts(points, words)), scheme=plain)


def test_missing_parts_are_hidden(tmp_path):
    boxes = box(parts(POINTS[0])) + box(parts(POINTS[1][:3], names=("0", "3", "1")))
    label = imglab(tmp_path, boxes).read(stop)["train"][1]
    np.testing.assert_array_equal(label.visible, [True, True, False, True, False])
    np.testing.assert_array_equal(np.isnan(label.points).all(-1), ~label.visible)
    np.testing.assert_array_equal(label.points[3], POINTS[1][1])


def test_boxes_to_ignore_and_without_parts_are_passed_over_with_a_count(tmp_path, caplog):
    ignored = box(parts(POINTS[1], names=("a", "b", "c", "d", "e")), " ignore='1'")
    boxes = TWO + ignored + box("<label>face</label>") + "<box top='1' left='1' width='2' height='2' ignore='1'/>"
    source = imglab(tmp_path, boxes)
    assert len(source.read(stop)["train"]) == 2
    assert "passed over: 2 boxes to ignore, 1 boxes without parts" in caplog.text


def test_a_scheme_of_ones_own_takes_numbered_parts_in_their_order(tmp_path):
    source = imglab(tmp_path, scheme=FIVE)
    assert source.scheme == FIVE
    np.testing.assert_array_equal(source.read(stop)["train"][1].points, POINTS[1])
    with pytest.raises(ValueError, match=r"faces\.xml has 4 points, and scheme five has 5"):
        imglab(tmp_path, box(parts(POINTS[0][:4], "0123")), scheme=FIVE)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (box(parts(POINTS[1], "01233")), r"line 19: the part '3' is there twice in one box"),
        (box(parts(POINTS[1]).replace("x='", "x='a", 1)), r"line 15: value 1 is 'a75', not a number"),
        (box(parts(POINTS[1]).replace("x='75' ", "", 1)), r"line 15: value 1 is '', not a number"),
        (box(parts(POINTS[1] * 0)), r"line 14: point 0 of scheme mine is at \(0, 0\), .*; leave its part out"),
    ],
)
def test_a_bad_box_is_named_and_skipped_alone(tmp_path, boxes, message):
    source = imglab(tmp_path, box(parts(POINTS[0])) + boxes)
    with pytest.raises(BadFaceError, match=rf"faces\.xml, {message}"):
        source.read(stop)
    assert len(source.read(lambda error: None)["train"]) == 1


def test_names_that_lead_out_are_refused_and_those_of_windows_are_read(tmp_path):
    with pytest.raises(BadFaceError, match=r"line 7: '\.\./a\.jpg' names no file"):
        imglab(tmp_path, file="../a.jpg").read(stop)
    with pytest.raises(BadFaceError, match="names no file"):
        imglab(tmp_path, file="..\\a.jpg").read(stop)
    assert imglab(tmp_path, file="day\\a.jpg").read(stop)["train"][0].image.exists()


def test_a_box_outside_of_an_image_is_refused(tmp_path):
    boxes = box(parts(POINTS[0])) + "</image>\n" + box(parts(POINTS[1])) + "<image file='b.jpg'>\n"
    with pytest.raises(BadFaceError, match=r"line 15: the box lies in no image with a file"):
        imglab(tmp_path, boxes).read(stop)


BOMB = "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]>\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB + "<dataset>&b;</dataset>", "line 1: a DOCTYPE"),
        ('<!DOCTYPE d SYSTEM "http://127.0.0.1/x.dtd">\n<dataset/>', "line 1: a DOCTYPE"),
        ("<dataset>" * 40 + "</dataset>" * 40, "line 1: elements are nested too deep"),
        ("<dataset><images>", "is no XML: no element found"),
        ("", "is no XML: no element found"),
        ("<annotations/>", "begins with 'annotations', not 'dataset'"),
        ("<dataset><images><image file='a'/></images></dataset>", "no box has parts"),
    ],
)
def test_a_file_that_is_not_one_of_imglab_is_told(tmp_path, text, message):
    (tmp_path / "faces.xml").write_text(text)
    with pytest.raises(ValueError, match=rf"faces\.xml.*{message}"):
        Imglab(tmp_path, tmp_path / "faces.xml", "mine")


def test_start_tags_come_with_their_depth_and_line(tmp_path):
    (tmp_path / "a.xml").write_text("<a>\n<b x='1'/>\n<c><d/></c></a>")
    found = [(each.depth, each.tag, each.attributes, each.line) for each in read_elements(tmp_path / "a.xml")]
    assert found == [(0, "a", {}, 1), (1, "b", {"x": "1"}, 2), (1, "c", {}, 3), (2, "d", {}, 3)]
    (tmp_path / "a.xml").write_bytes(b"\xff\xfe" + "<a>ä</a>".encode("utf-16-le"))
    assert [each.tag for each in read_elements(tmp_path / "a.xml")] == ["a"]


def test_prepare_reads_a_file_of_imglab(tmp_path, capsys):
    imglab(tmp_path)
    options = ["--source", tmp_path / "photos", "--annotations", tmp_path / "faces.xml", "--name", "mine"]
    prepare.main(["imglab", *map(str, options), "--frame-size", "64", "--pack", str(tmp_path / "mine.npz")])
    assert "WARNING: no two points are left and right" in capsys.readouterr().out
    faces = open_faces(str(tmp_path / "mine.npz"), "train", "")
    for i in range(2):
        assert_float32_close(transform(faces.points[i], faces.to_source[i]), POINTS[i], depth=4)
