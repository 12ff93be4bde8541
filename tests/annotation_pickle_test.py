"""Reading a folder with annot.pkl, whose pickle must not run code."""

import collections
import datetime
import pickle
import re

import numpy as np
import pytest

from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.input import open_faces
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.annotation_pickle import AnnotationPickle
from jaxlm.files import pickles, read_pickle
from tiny_archives import ring, write_photo
from tolerances import assert_float32_close

POINTS = ring(68, (30.0, 30.0), 12.0)


def stop(error):
    raise error


def write(folder, content, protocol=4):
    folder.mkdir(exist_ok=True)
    for i in range(3):
        write_photo(folder / "images" / f"{i}.png", 64, 64, seed=i)
    (folder / "annot.pkl").write_bytes(pickle.dumps(content, protocol))
    return folder


def names(count=3):
    return [f"images/{i}.png" for i in range(count)]


class RunsCode:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "landmarks",
    [
        [POINTS + i for i in range(3)],
        [(POINTS + i).tolist() for i in range(3)],
        [[(np.float64(x + i), np.float64(y + i)) for x, y in POINTS] for i in range(3)],
        np.stack([POINTS + i for i in range(3)]).astype(">f8"),
    ],
    ids=["arrays", "lists", "scalars", "one array"],
)
def test_arrays_and_nested_lists_of_every_protocol_are_read(tmp_path, landmarks, protocol):
    folder = write(tmp_path, [names(), landmarks], protocol)
    labels = AnnotationPickle(folder).read(stop)["train"]
    assert [label.name for label in labels] == names()
    for i, label in enumerate(labels):
        np.testing.assert_array_equal(label.points, POINTS + i)
        assert label.image == folder / "images" / f"{i}.png"


def test_a_pickle_of_numpy_1_is_read(tmp_path):
    content = pickle.dumps(POINTS, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in content
    (tmp_path / "annot.pkl").write_bytes(content)
    np.testing.assert_array_equal(read_pickle(tmp_path / "annot.pkl"), POINTS)


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        (RunsCode(eval, "1/0"), "builtins.eval"),
        (RunsCode(np.load, "x"), "numpy.load"),
        (RunsCode(np.dtype.newbyteorder, np.dtype("f8")), "builtins.getattr"),
        (datetime.date(2020, 1, 1), "datetime.date"),
        (collections.OrderedDict(), "collections.OrderedDict"),
        (1j, "builtins.complex"),
        (np.ma.zeros(3), "numpy.ma"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_else_is_refused_by_name_and_never_called(tmp_path, value, refused):
    folder = write(tmp_path, [names(), [POINTS, value, POINTS]])
    with pytest.raises(ValueError, match=rf"annot\.pkl asks for {re.escape(refused)}.*, which is refused: only lists"):
        AnnotationPickle(folder).read(stop)


def test_codecs_other_than_that_of_arrays_are_refused(tmp_path):
    import _codecs

    folder = write(tmp_path, [names(), RunsCode(_codecs.encode, "abc", "rot13")])
    with pytest.raises(ValueError, match=r"annot\.pkl asks for _codecs\.encode to rot13, which is refused"):
        AnnotationPickle(folder).read(stop)


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps([names(), [POINTS] * 3])[:-200], b"\x80\x04\x95."])
def test_a_damaged_pickle_is_named(tmp_path, content):
    (tmp_path / "annot.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"annot\.pkl is not a readable pickle"):
        AnnotationPickle(tmp_path).read(stop)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"names": names()}, "found dict, not a list of two lists"),
        ([names(), [POINTS] * 3, []], "found list of 3, not a list of two"),
        ([names(), {}], "found list of 2, not a list of two lists"),
        ([names(), [POINTS] * 2], "3 file names, but landmarks for 2"),
    ],
)
def test_a_pickle_of_another_layout_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=rf"annot\.pkl: {message}"):
        AnnotationPickle(write(tmp_path, content)).read(stop)


@pytest.mark.parametrize(
    ("name", "points", "message"),
    [
        ("a.png", POINTS[:67], r" \(a\.png\): landmarks of shape \[67, 2\] instead of \[68, 2\]"),
        ("a.png", [*POINTS.tolist()[:67], [1.0]], r" \(a\.png\): the landmarks are lists of different lengths"),
        ("a.png", [["1", "2"]] * 68, r" \(a\.png\): a landmark is not a finite number"),
        ("a.png", np.full((68, 2), np.inf), r" \(a\.png\): a landmark is not a finite number"),
        ("a.png", np.eye(68, 2, -5) - 1, r" \(a\.png\): point 0 is \(-1, -1\), as others mark a hidden one"),
        ("a.png", {"x": 1}, r" \(a\.png\): landmarks of shape \[\]"),
        (3, POINTS, ": the file name is int 3, not a string"),
    ],
)
def test_a_bad_face_is_named_and_skipped_alone(tmp_path, name, points, message):
    content = [["images/0.png", name, "images/2.png"], [POINTS, points, POINTS]]
    source = AnnotationPickle(write(tmp_path, content))
    with pytest.raises(BadFaceError, match=rf"annot\.pkl, face 2{message}"):
        source.read(stop)
    errors = []
    assert [label.name for label in source.read(errors.append)["train"]] == ["images/0.png", "images/2.png"]
    assert len(errors) == 1


def run(folder, data_dir, *options):
    options = ["--source", str(folder), "--data-dir", str(data_dir), "--frame-size", "32", *options]
    prepare.main(["annotation_pickle", *options])


def test_images_must_have_the_size_stated(tmp_path):
    folder = write(tmp_path / "challenge", [names(), [POINTS] * 3])
    write_photo(folder / "images" / "1.png", 64, 60)
    with pytest.raises(SystemExit, match=r"annot\.pkl, face 2: .*1\.png is 64 x 60, not 64 x 64 as --image-size says"):
        run(folder, tmp_path / "data", "--image-size", "64")
    with pytest.raises(SystemExit, match=r"annot\.pkl, face 1: .*0\.png is 64 x 64, not 384 x 384"):
        run(folder, tmp_path / "data")


def test_a_folder_is_prepared_under_its_name_and_split(tmp_path):
    folder = write(tmp_path / "challenge", [names(), [POINTS] * 3])
    run(folder, tmp_path / "data", "--image-size", "64", "--name", "aflw_val", "--split", "validation")
    faces = open_faces("aflw_val", "validation", tmp_path / "data")
    assert faces.names == tuple(names())
    in_photo = np.einsum("nij,npj->npi", faces.to_source[:, :, :2], faces.points) + faces.to_source[:, None, :, 2]
    assert_float32_close(in_photo, np.broadcast_to(POINTS, (3, 68, 2)), depth=8)


def test_wrong_options_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="--split 'a b': letters, digits and _ only"):
        AnnotationPickle(tmp_path, split="a b")
    with pytest.raises(FileNotFoundError, match=r"annot\.pkl is missing; --source is the folder of annot\.pkl"):
        AnnotationPickle(tmp_path).read(stop)


def laughs(levels):
    """A list of two references to a list of two references, and so on: 2**levels values in a few bytes."""
    value = [1.0]
    for _ in range(levels):
        value = [value, value]
    return value


def test_a_pointer_in_the_bytes_of_an_object_array_is_refused(tmp_path):
    # numpy.ndarray((1,), dtype("O"), bytes): CPython's unpickler makes a pointer of the bytes and jumps to it.
    pointer = b"\x41" * 8
    dtype = b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8tR"
    calls = {
        "a call of numpy.ndarray": b"cnumpy\nndarray\n((I1\nt" + dtype + b"C\x08" + pointer + b"tR",
        "no dtype of numbers": b"cnumpy._core.numeric\n_frombuffer\n(C\x08" + pointer + dtype + b"(I1\ntX\x01\0\0\0CtR",
        "an array of objects that is no list": b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\n"
        b"tC\x01btR(I1\n(I1\nt" + dtype + b"I00\nC\x08" + pointer + b"tb",
    }
    for message, call in calls.items():
        (tmp_path / "annot.pkl").write_bytes(b"\x80\x03" + call + b".")
        with pytest.raises(ValueError, match=rf"annot\.pkl .*{message}"):
            read_pickle(tmp_path / "annot.pkl")


def test_lists_of_names_and_of_arrays_that_numpy_holds_as_objects_are_read(tmp_path):
    landmarks = np.empty(3, object)
    landmarks[:] = [(POINTS + i).tolist() for i in range(3)]
    for kept in (np.array(names(), object), np.array(names())):
        labels = AnnotationPickle(write(tmp_path, [kept, landmarks])).read(stop)["train"]
        assert [label.name for label in labels] == names()
        np.testing.assert_array_equal(labels[2].points, POINTS + 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (laughs(60), r"it holds more than 10,000 values"),
        ([[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]], r"its lists lie more than 16 deep in each other"),
        ([[laughs(5)] * 20] * 20, r"it holds more than 10,000 values"),
        ([2**64], r"an integer has more than 64 bits"),
        ({1.5: 2}, r"a dict whose keys are not strings or integers"),
    ],
    ids=["laughs", "deep", "many", "integer", "keys"],
)
def test_what_grows_without_bounds_is_refused_at_once(tmp_path, monkeypatch, value, message):
    monkeypatch.setattr(pickles, "MOST_VALUES", 10_000)
    (tmp_path / "annot.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(ValueError, match=rf"annot\.pkl .*{message}"):
        read_pickle(tmp_path / "annot.pkl")


def test_the_bytes_of_one_array_make_no_thousand_arrays(tmp_path):
    values = np.zeros(1000).tobytes()
    shared = [RunsCode(np._core.numeric._frombuffer, values, np.dtype("f8"), (1000,), "C") for _ in range(1000)]
    (tmp_path / "annot.pkl").write_bytes(pickle.dumps(shared))
    with pytest.raises(ValueError, match=r"annot\.pkl is not a readable pickle: its arrays hold more than the file"):
        read_pickle(tmp_path / "annot.pkl")


@pytest.mark.parametrize("name", ["/etc/passwd", "../0.png", "images/../../0.png", "a\0b.png", "", "a" * 2000])
def test_a_name_of_no_file_in_the_folder_is_refused(tmp_path, name):
    content = [["images/0.png", name], [POINTS, POINTS]]
    with pytest.raises(BadFaceError, match=r"annot\.pkl, face 2: .* names no file in"):
        AnnotationPickle(write(tmp_path, content)).read(stop)
