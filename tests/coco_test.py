"""COCO keypoints: categories, visibility, several faces a photo, and the scheme made of the names."""

import json

import numpy as np
import pytest

from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.input import open_faces
from jaxlm.data_pipelines.labelling.named_schemes import mirror_pairs, natural
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.coco import Coco
from jaxlm.landmarks import FIVE, IBUG68, Scheme, load_scheme
from jaxlm.landmarks.geometry import transform
from jaxlm.prediction.tables.coco import write_coco
from jaxlm.prediction.tables.entries import Entry, FoundFace
from tiny_archives import ring, write_photo
from tolerances import assert_float32_close, assert_float64_close, float32_error

NAMES = ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"]


def stop(error):
    raise error


def keypoints(points, flags=(2, 2, 2, 2, 2)):
    """Keypoints of COCO: x, y, v of each point; nothing where v is 0."""
    return [value for (x, y), v in zip(points, flags, strict=True) for value in ((x, y, v) if v else (0, 0, 0))]


def document(faces=None, **changes):
    faces = [keypoints(ring(5, (30.0, 30.0))), keypoints(ring(5, (60.0, 35.0)))] if faces is None else faces
    return {
        "images": [{"id": 7, "file_name": "day/a.jpg", "width": 90, "height": 70}],
        "annotations": [
            {"id": 40 + i, "image_id": 7, "category_id": 1, "keypoints": face, "bbox": [0, 0, 1, 1], "iscrowd": 0}
            for i, face in enumerate(faces)
        ],
        "categories": [{"id": 1, "name": "face", "keypoints": NAMES, "skeleton": [[1, 3], [2, 3], [4, 5]]}],
    } | changes


def coco(folder, content=None, **options):
    write_photo(folder / "photos" / "day" / "a.jpg")
    (folder / "faces.json").write_text(json.dumps(document() if content is None else content))
    return Coco(folder / "photos", folder / "faces.json", "mine", **options)


def test_several_faces_of_a_photo_are_one_group_under_different_names(tmp_path):
    labels = coco(tmp_path).read(stop)["train"]
    assert [label.name for label in labels] == ["day/a.jpg", "day/a.jpg:2"]
    assert [label.group for label in labels] == ["day/a.jpg", "day/a.jpg"]
    assert labels[1].image == tmp_path / "photos" / "day" / "a.jpg"
    np.testing.assert_array_equal(labels[1].points, ring(5, (60.0, 35.0)))
    assert labels[1].where == f"{tmp_path / 'faces.json'}, annotation 41"
    low, high = ring(5).min(0), ring(5).max(0)
    assert_float64_close(labels[0].box[2:] - labels[0].box[:2], 1.1 * (high - low), depth=4, scale=90)
    named = coco(tmp_path, group_by="(day)/", split="test").read(stop)
    assert [label.group for label in named["test"]] == ["day", "day"]


def test_visibility_says_what_has_a_place_and_what_is_seen(tmp_path):
    (label,) = coco(tmp_path, document([keypoints(ring(5), (2, 1, 0, 2, 2))])).read(stop)["train"]
    np.testing.assert_array_equal(label.visible, [True, False, False, True, True])
    np.testing.assert_array_equal(np.isnan(label.points).all(-1), [False, False, True, False, False])
    np.testing.assert_array_equal(label.points[1], ring(5)[1])


def test_the_scheme_has_the_names_the_skeleton_and_the_mirror_of_the_file(tmp_path):
    source = coco(tmp_path)
    assert source.scheme == source.made
    assert (source.scheme.name, source.scheme.names) == ("mine", tuple(NAMES))
    assert source.scheme.flip == (1, 0, 2, 4, 3)
    assert source.scheme.edges == ((0, 2), (1, 2), (3, 4))
    assert source.scheme.eye_corners is None


@pytest.mark.parametrize(
    ("names", "pairs", "alone"),
    [
        (["l_eye", "r_eye", "chin"], [(0, 1)], []),
        (["eye_right", "nose", "eye_left"], [(0, 2)], []),
        (["Left Eye", "Right Eye"], [(0, 1)], []),
        (["leftEye", "rightEye", "eyeL", "eyeR"], [(0, 1), (2, 3)], []),
        (["lefteye", "righteye", "bright"], [(0, 1)], []),
        (["left_eye_left", "left_eye_right", "right_eye_left", "right_eye_right"], [(0, 3), (1, 2)], []),
        (["left_brow_1", "left_brow_2", "right_brow_1", "right_brow_2"], [(0, 2), (1, 3)], []),
        (["left_eye", "right_ear", "nose"], [], ["left_eye", "right_ear"]),
        (["0", "1", "l", "2"], [], []),
    ],
)
def test_mirror_pairs_are_left_and_right(names, pairs, alone):
    assert mirror_pairs(names) == (pairs, alone)


@pytest.mark.parametrize(("prefix", "first"), [("", 1), ("", 0), ("p", 1)])
@pytest.mark.parametrize("options", [{}, {"scheme": Scheme("eleven", tuple(range(11)))}])
def test_names_that_are_the_numbers_of_points_are_read_by_number(tmp_path, prefix, first, options):
    names = sorted(f"{prefix}{first + i}" for i in range(11))
    order = np.array([int(name.removeprefix(prefix)) - first for name in names])
    content = document([keypoints(ring(11)[order], [2] * 11)])
    content["categories"][0] |= {"keypoints": names, "skeleton": [[1, 2]]}
    source = coco(tmp_path, content, **options)
    np.testing.assert_array_equal(source.read(stop)["train"][0].points, ring(11))
    if source.made:
        assert source.made.names == tuple(f"{prefix}{first + i}" for i in range(11))
        assert source.made.edges == ((order[0], order[1]),)


@pytest.mark.parametrize("mark", [(999, 999), (9999, 9999), (65535, 65535)])
def test_values_that_mark_hidden_points_are_refused(tmp_path, mark):
    points = ring(5)
    points[2] = mark
    with pytest.raises(BadFaceError, match=rf"annotation 40: point 2 .* \({mark[0]}, {mark[1]}\), .*; set its v to 0"):
        coco(tmp_path, document([keypoints(points)])).read(stop)
    assert len(coco(tmp_path, document([keypoints(points, (2, 2, 0, 2, 2))])).read(stop)["train"]) == 1


def test_a_far_place_that_faces_share_is_refused(tmp_path):
    faces = [ring(5, (30.0 + i, 30.0)) for i in range(3)]
    for points in faces:
        points[2] = (1000, 1000)
    with pytest.raises(ValueError, match=r"40: point 2 .* \(1000, 1000\), far from .* in 3 faces; .*: set its v to 0"):
        coco(tmp_path, document([keypoints(points) for points in faces])).read(stop)


def test_names_are_sorted_with_their_numbers_as_numbers():
    names = ["", "01", "1", "1a", "2", "10", "p", "p1", "p2", "p2b", "p10", "q", "\u0663"]
    assert sorted(set(names), key=natural) == names


def test_words_have_the_order_of_the_file_where_a_scheme_has_no_names(tmp_path):
    (label, _) = coco(tmp_path, scheme=Scheme("plain", (0, 1, 2, 3, 4))).read(stop)["train"]
    np.testing.assert_array_equal(label.points, ring(5, (30.0, 30.0)))


def test_a_scheme_of_ones_own_orders_the_points_by_their_names(tmp_path):
    five = ["nose tip", "Left Eye", "right-eye", "right_mouth_corner", "left_mouth_corner"]
    content = document()
    content["categories"][0]["keypoints"] = five
    source = coco(tmp_path, content, scheme=FIVE)
    (label, _) = source.read(stop)["train"]
    assert source.made is None
    np.testing.assert_array_equal(label.points, ring(5, (30.0, 30.0))[[1, 2, 0, 4, 3]])
    with pytest.raises(ValueError, match=r"faces\.json has 5 points, and scheme ibug68 has 68"):
        coco(tmp_path, scheme=IBUG68)
    with pytest.raises(ValueError, match=r"has no point nose_tip, left_mouth_corner, .*; it has left_eye, right_eye"):
        coco(tmp_path, scheme=FIVE)


def test_annotations_without_keypoints_are_passed_over_with_a_count(tmp_path, caplog):
    content = document()
    extra = [{}, {"keypoints": None}, {"keypoints": []}, {"keypoints": [0] * 15}, {"category_id": 2}, {"iscrowd": 1}]
    extra += [{"keypoints": [0] * 12 + [9, 9, 0]}]
    content["annotations"] += [{"image_id": 7, "category_id": 1} | each for each in extra]
    content["categories"].append({"id": 2, "name": "cap"})
    assert len(coco(tmp_path, content).read(stop)["train"]) == 2
    told = "4 without keypoints, 1 of other categories, 1 crowds (iscrowd), 1 without labelled keypoints (v is 0)"
    assert f"passed over: {told}" in caplog.text
    with pytest.raises(ValueError, match=r"faces\.json holds no faces with points: 1 without keypoints"):
        coco(tmp_path, document([[0] * 15])).read(stop)


def test_of_several_categories_one_is_named(tmp_path):
    content = document()
    content["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose", "tail"]})
    with pytest.raises(ValueError, match=r"2 categories have keypoints: 'face', 'dog'; name one, --category"):
        coco(tmp_path, content)
    with pytest.raises(ValueError, match=r"no category 'cat' has keypoints; known: 'face', 'dog'"):
        coco(tmp_path, content, category="cat")
    assert coco(tmp_path, content, category="face").scheme.num_points == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [1.0, 2.0, 2]}, r"annotation 41: 3 values instead of 15 \(x, y and v of 5 keypoints\)"),
        ({"keypoints": keypoints(ring(5), (2, 2, 3, 2, 2))}, "annotation 41: the visibility of keypoint 3 is 3"),
        ({"keypoints": [0, 0, 2, *keypoints(ring(5))[3:]]}, r"annotation 41: point 0 .* is at \(0, 0\), .* v to 0"),
        ({"keypoints": [float("nan"), 0, 2, *keypoints(ring(5))[3:]]}, "annotation 41: a labelled .* finite"),
        ({"keypoints": ["x"] * 15}, "annotation 41: .*`keypoints"),
        ({"image_id": 8}, "annotation 41: there is no image 8"),
    ],
)
def test_a_bad_annotation_is_named_and_skipped_alone(tmp_path, change, message):
    content = document()
    content["annotations"][1] |= change
    source = coco(tmp_path, content)
    with pytest.raises(BadFaceError, match=message):
        source.read(stop)
    errors = []
    assert len(source.read(errors.append)["train"]) == 1
    assert len(errors) == 1


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/passwd", "", "day/../../a.jpg"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    source = coco(tmp_path, document(images=[{"id": 7, "file_name": name}]))
    with pytest.raises(BadFaceError, match=r"annotation 40: .* names no file in"):
        source.read(stop)


def test_a_photo_of_another_size_is_refused(tmp_path):
    content = document()
    content["images"][0]["width"] = 180
    source = coco(tmp_path, content)
    label = source.read(stop)["train"][0]
    with pytest.raises(BadFaceError, match=r"annotation 40: .*a\.jpg is 90 x 70, not 180 x 70 as faces\.json says"):
        source.to_record(label, 32, 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": [{"id": 7, "file_name": "a"}] * 2}, r"faces\.json: the image id 7 is there twice"),
        ({"categories": []}, r"faces\.json: no category names its keypoints"),
        ({"categories": [{"id": 1, "name": "face", "keypoints": ["a", "A"]}]}, "calls points 0 and 1"),
        ({"categories": [{"id": 1, "name": "face", "keypoints": ["a", "b\n"]}]}, "is no name of a point"),
        (
            {"categories": [{"id": 1, "name": "face", "keypoints": ["a", "b"], "skeleton": [[0, 1]]}]},
            r"skeleton joins \[0, 1\]; it counts from 1",
        ),
        ({"annotations": {}}, r"faces\.json: .*annotations"),
    ],
)
def test_a_file_that_is_not_one_of_coco_is_told(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        coco(tmp_path, document(**change)).read(stop)


def run(folder, *options):
    given = ("--source", folder / "photos", "--annotations", folder / "faces.json", "--name", "mine", *options)
    prepare.main(["coco", *map(str, given), "--frame-size", "64"])


def test_prepare_writes_the_scheme_to_complete_and_never_over_another(tmp_path, capsys):
    coco(tmp_path)
    pack, toml = tmp_path / "mine.npz", tmp_path / "mine.toml"
    run(tmp_path, "--pack", pack)
    printed = capsys.readouterr().out
    assert f"Scheme: {toml} (5 points, 2 pairs of left and right by their names)" in printed
    assert "Eye corners" in printed
    assert "WARNING" not in printed
    faces = open_faces(str(pack), "train", "")
    assert faces.scheme == load_scheme(str(toml))
    assert_float32_close(transform(faces.points[1], faces.to_source[1]), ring(5, (60.0, 35.0)), depth=4)
    run(tmp_path, "--pack", pack)  # The same scheme is no other.
    toml.write_text(toml.read_text() + "eye_corners = [0, 1]\n")
    for more in ((), ("--overwrite",)):
        with pytest.raises(SystemExit, match=r"mine\.toml is there already, with another scheme .* --scheme .*mine\.t"):
            run(tmp_path, "--pack", pack, *more)
    run(tmp_path, "--pack", pack, "--scheme", toml)
    assert open_faces(str(pack), "train", "").scheme.eye_corners == (0, 1)
    assert "Scheme:" not in capsys.readouterr().out.rpartition("is replaced")[2]


def test_names_without_sides_are_warned_of(tmp_path, capsys):
    content = document()
    content["categories"][0]["keypoints"] = ["a", "b", "c", "d", "e"]
    coco(tmp_path, content)
    run(tmp_path, "--pack", tmp_path / "mine.npz")
    printed = capsys.readouterr().out
    assert "WARNING: no two points are left and right by their names" in printed
    assert "give --scheme five" in printed
    content["categories"][0]["keypoints"] = ["left_a", "right_a", "left_c", "d", "e"]
    coco(tmp_path, content)
    run(tmp_path, "--pack", tmp_path / "other.npz")
    assert "WARNING: left_c: left or right, without a partner" in capsys.readouterr().out


def test_a_set_has_its_scheme_in_the_folder_of_sets(tmp_path):
    coco(tmp_path)
    run(tmp_path, "--data-dir", tmp_path / "data")
    run(tmp_path, "--data-dir", tmp_path / "data")  # It is there, from the same files.
    assert open_faces("mine", "train", tmp_path / "data").scheme == load_scheme(str(tmp_path / "data" / "mine.toml"))


def test_misspelt_and_wrong_options_are_told(tmp_path, capsys):
    coco(tmp_path)
    with pytest.raises(SystemExit, match=r"coco has no option --categry\. Did you mean --category\?"):
        run(tmp_path, "--categry", "face", "--pack", tmp_path / "mine.npz")
    with pytest.raises(SystemExit):
        run(tmp_path, "--category", "cat", "--pack", tmp_path / "mine.npz")
    assert "no category 'cat' has keypoints" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "faces.json").unlink()
    with pytest.raises(SystemExit, match=r"No such file .*faces\.json"):
        run(tmp_path, "--pack", tmp_path / "mine.npz")


def test_what_predict_writes_is_read_again_with_the_same_points_names_and_edges(tmp_path, capsys):
    places = [ring(5, (30.123, 30.5)), ring(5, (60.0, 35.25)), ring(5, (45.0, 35.0))]
    decimals = 0.5e-3 + float32_error(depth=4, scale=90)  # Three are written.
    names = ["photos/day/a.jpg", "photos/b ä.jpg", "photos/empty.jpg", "photos/gone.jpg", "clip.mp4"]
    files = {name: str(tmp_path / name) for name in names}
    for name in names[:3]:
        write_photo(tmp_path / "photo.jpg")  # OpenCV cannot write every name.
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photo.jpg").rename(tmp_path / name)
    faces = [FoundFace(np.arange(4.0), points, np.array([0.5, 1, 1, 1, 1])) for points in places]
    entries = [Entry(names[0], faces[:2]), Entry(names[1], faces[2:]), Entry(names[2], []), Entry(names[3], [])]
    entries.append(Entry(names[4], faces[:1], 0, 0.0))
    write_coco(tmp_path / "faces.json", lambda: iter(entries), files, FIVE)
    said = f"4 photos, whose names count from {tmp_path / 'photos'}; 1 frame of videos are left out"
    assert said in capsys.readouterr().out
    written = json.loads((tmp_path / "faces.json").read_text())
    assert written["images"][0] == {"id": 1, "file_name": "day/a.jpg", "width": 90, "height": 70}
    assert written["images"][3] == {"id": 4, "file_name": "gone.jpg"}
    assert [each["score"] for each in written["annotations"]] == [0.9] * 3
    np.testing.assert_allclose(written["annotations"][0]["bbox"][:2], places[0].min(0), rtol=0, atol=decimals)
    run(tmp_path, "--pack", tmp_path / "mine.npz")
    found = open_faces(str(tmp_path / "mine.npz"), "train", "")
    assert found.names == ("day/a.jpg", "day/a.jpg:2", "b ä.jpg")
    assert (found.scheme.names, found.scheme.edges, found.scheme.flip) == (FIVE.names, FIVE.edges, FIVE.flip)
    for i, points in enumerate(places):
        np.testing.assert_allclose(transform(found.points[i], found.to_source[i]), points, rtol=0, atol=decimals)
        assert found.visible[i].all()
