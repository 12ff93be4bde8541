"""Packs and prepared sets of others: nothing that they name is imported or followed, and every face is checked."""

import dataclasses
import io
import json
import shutil
import sys
import zipfile

import numpy as np
import pytest

from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.input import open_faces, open_splits, write_pack
from jaxlm.data_pipelines.record import encode_image
from jaxlm.data_pipelines.stored.examples import parse_example
from jaxlm.data_pipelines.stored.labels import jpeg_size
from jaxlm.landmarks import Scheme
from tiny_faces import synthetic_faces


@pytest.fixture(scope="module")
def faces():
    drawn = synthetic_faces(4, "train")
    return dataclasses.replace(drawn, visible=np.ones_like(drawn.visible))


@pytest.fixture
def pack(faces, tmp_path):
    write_pack(tmp_path / "faces.npz", {"train": faces})
    return tmp_path / "faces.npz"


def change(pack, **arrays):
    """Writes the pack again with other arrays of `train`; None leaves one out."""
    stored = dict(np.load(pack)) | {f"train/{name}": array for name, array in arrays.items()}
    np.savez(pack, **{name: array for name, array in stored.items() if array is not None})


def describe(pack, **fields):
    """Writes the pack again with other metadata."""
    stored = dict(np.load(pack))
    metadata = json.loads(str(stored["metadata"])) | fields
    np.savez(pack, **stored | {"metadata": np.array(json.dumps(metadata))})


def refused(pack, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_faces(str(pack), "train", "")
    assert str(pack) in str(caught.value)


def with_value(array, value, *place):
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("points", lambda a: with_value(a, np.nan, 2, 5), r"face 2 \(train/2\): point 5 is at \(nan, nan\); a visible"),
        ("points", lambda a: with_value(a, 1e18, 1, 0, 0), r"face 1 .*point 0 is at \(1e\+18, .*no photo has such"),
        ("points", lambda a: with_value(a, 600.0, 1, 0), r"face 1 .*point 0 at \(600, 600\) lies \d+ faces away"),
        ("points", lambda a: a.astype(str), r"train/points is <U\d+ \[4, 98, 2\], not numbers \[4, 98, 2\]"),
        ("points", lambda a: a > 0, r"train/points is bool \[4, 98, 2\], not numbers"),
        ("points", lambda a: a[:, :68], r"train/points is float32 \[4, 68, 2\], not numbers \[4, 98, 2\]"),
        ("points", lambda a: None, "it has no train/points"),
        ("visible", lambda a: a.astype(np.uint8), r"train/visible is uint8 \[4, 98\], not true and false"),
        ("names", lambda a: a[:3], r"train/points is float32 \[4, 98, 2\], not numbers \[3, 98, 2\]"),
        ("names", lambda a: np.arange(4), r"train/names is int64 \[4\], not strings \[any\]"),
        ("groups", lambda a: a[:3], r"train/groups is <U7 \[3\], not strings \[4\]"),
        ("to_source", lambda a: 0 * a, "face 0 .* its map to the photo is impossible"),
        ("yaw", lambda a: with_value(a, 1e9, 3), r"face 3 .* its yaw is 1e\+09 degrees"),
        ("offsets", lambda a: a[::-1].copy(), "train/offsets are not the places of the frames"),
        ("offsets", lambda a: with_value(a, 10**12, -1), "train/offsets are not the places of the frames"),
        ("encoded", lambda a: a[:-1], "train/offsets are not the places of the frames"),
    ],
)
def test_a_pack_of_impossible_labels_is_refused_by_name(pack, name, changed, message):
    change(pack, **{name: changed(np.load(pack)[f"train/{name}"])})
    refused(pack, message)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset", "/elsewhere/evil", "metadata: .*`dataset`"),
        ("dataset", "../evil", "metadata: .*`dataset`"),
        ("splits", ["a/b"], r"metadata: .*`splits"),
        ("splits", 3, "metadata: Expected `array`, got `int` - at `splits`"),
        ("frame_size", 1e18, "metadata: Expected `int`"),
        ("frame_size", -1, "metadata: Expected `int` >= 1 - at `frame_size`"),
        ("margin", 0, "metadata: Expected `float` > 0"),
        ("scheme", "/etc/mask", "unknown landmark scheme"),
        ("scheme", '{"name": "mask", "count": 1000000000}', "Expected `int"),
    ],
)
def test_what_a_pack_says_of_itself_keeps_a_schema(pack, field, value, message):
    describe(pack, **{field: value})
    refused(pack, message)


def test_faces_and_margins_that_may_be_are_left(faces, tmp_path):
    hidden = dataclasses.replace(
        faces,
        points=with_value(faces.points, np.nan, 1, 5),
        visible=with_value(faces.visible, False, 1, 5),
        scheme=Scheme(name="own", flip=tuple(range(98)), names=tuple(f"point+{i}" for i in range(98))),
        yaw=np.float32([0, -180, np.nan, 180]),
    )
    write_pack(tmp_path / "hidden.npz", {"train-1": hidden})
    found = open_splits(str(tmp_path / "hidden.npz"), "")["train-1"]
    np.testing.assert_array_equal(found.points, hidden.points)
    np.testing.assert_array_equal(found.yaw, hidden.yaw)
    assert found.scheme == hidden.scheme
    assert [path.name for path in tmp_path.iterdir()] == ["hidden.npz"]  # The scheme is in the pack.


def test_objects_and_structures_are_refused_before_they_are_read(pack):
    change(pack, yaw=np.array([{}, 1, 2, 3], object))
    refused(pack, "faces.npz is not a pack that `prepare --pack` wrote, or a damaged one: an array of numbers or")


def test_an_encrypted_member_is_refused(pack):
    content = bytearray(pack.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # The flag in the archive's directory.
    pack.write_bytes(content)
    refused(pack, "'metadata' is encrypted")


def test_a_header_that_promises_more_than_its_file_is_refused_before_memory_is_taken(pack):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 98, 2)})
    replace_member(pack, "train/points.npy", header.getvalue() + bytes(100))
    refused(pack, r"train/points: an array of float32 \[1000000000000, 98, 2\] has \d+ bytes")


def test_a_bomb_is_refused_by_its_directory(pack):
    replace_member(pack, "train/more.npy", bytes(200 * 2**20))
    assert pack.stat().st_size < 2**20
    refused(pack, "it would unpack to more than 20 times its size")


def replace_member(pack, name, content):
    """Writes the archive again, compressed, with another content of one member."""
    with zipfile.ZipFile(pack) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(pack, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in (members | {name: content}).items():
            archive.writestr(member, data)


def test_a_compressed_pack_is_read(pack, faces):
    np.savez_compressed(pack, **np.load(pack))
    np.testing.assert_array_equal(open_faces(str(pack), "train", "").points, faces.points)


@pytest.mark.parametrize("frame", [b"no photo", encode_image(np.zeros((60, 64, 3), np.uint8))], ids=["text", "size"])
def test_a_frame_that_is_no_photo_of_its_size_is_named(faces, pack, frame):
    frames = [*faces.read_encoded(np.arange(3)), frame]
    offsets = np.cumsum([0, *map(len, frames)])
    change(pack, encoded=np.frombuffer(b"".join(frames), np.uint8), offsets=offsets)
    found = open_faces(str(pack), "train", "")
    assert found.images(np.arange(3)).shape == (3, 64, 64, 3)
    with pytest.raises(ValueError, match=r"faces\.npz, split train: the frame of face 3 is .*, not a JPEG image of 64"):
        found.images(np.arange(4))


def test_the_size_of_a_jpeg_stands_in_its_header():
    assert jpeg_size(encode_image(np.zeros((30, 50, 3), np.uint8))) == (50, 30)
    assert jpeg_size(b"\xff\xd8\xff\xe0\x00\x02") is None


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A set of rendered faces; tests change copies of it."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare.main(
        ["synthetic", "--train-faces", "4", "--test-faces", "2", "--frame-size", "64", "--data-dir", str(folder)]
    )
    return folder


@pytest.fixture
def data_dir(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "data")


def edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_no_class_that_a_set_names_is_imported(data_dir, tmp_path, monkeypatch):
    (folder,) = data_dir.glob("*/*/*")
    (tmp_path / "not_ours.py").write_text("raise SystemExit('it was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    edit(folder / "features.json", pythonClassName="not_ours.Features")
    edit(folder / "dataset_info.json", moduleName="not_ours")
    assert open_faces("synthetic", "train+test", data_dir).images(np.arange(6)).shape == (6, 64, 64, 3)
    assert "not_ours" not in sys.modules


def test_no_path_that_a_set_names_is_followed(data_dir, tmp_path):
    (folder,) = data_dir.glob("*/*/*")
    splits = json.loads((folder / "dataset_info.json").read_text())["splits"]
    edit(folder / "dataset_info.json", splits=[split | {"filepathTemplate": "/etc/passwd"} for split in splits])
    assert len(open_faces("synthetic", "train", data_dir).images(np.arange(4))) == 4
    edit(folder / "dataset_info.json", splits=[split | {"name": "../train"} for split in splits])
    with pytest.raises(ValueError, match=r"dataset_info\.json: .*`splits"):
        open_faces("synthetic", "train", data_dir)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("dataset_info.json", b"{", r"dataset_info\.json is no JSON"),
        ("dataset_info.json", b"[" * 100_000, r"dataset_info\.json is no usable JSON: it is nested too deep"),
        ("metadata.json", b'{"scheme": 3}', r"metadata\.json: Expected `str`, got `int` - at `scheme`"),
        ("metadata.json", b"\xff", r"metadata\.json is not UTF-8 text, at byte 0"),
        ("labels.npz", b"", r"labels\.npz is not the labels of a prepared set, or a damaged one"),
        ("labels.npz", None, r"labels\.npz is missing; prepare the set again"),
        ("synthetic-train.array_record-00000-of-00001", b"x" * 70_000, r"synthetic-train\S+ cannot be read"),
        ("synthetic-train.array_record-00000-of-00001", None, r"has 0 of the 1 files of train"),
    ],
)
def test_a_damaged_file_of_a_set_is_named(data_dir, file, content, message):
    (folder,) = data_dir.glob("*/*/*")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_faces("synthetic", "train", data_dir)


@pytest.mark.parametrize("name", ["", "/somewhere/faces", "../faces", "a/b/c"])
def test_a_path_is_no_name_of_a_set(tmp_path, name):
    with pytest.raises(ValueError, match="names no set: give NAME or NAME/VARIANT"):
        open_faces(name, "train", tmp_path)


def test_examples_are_those_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"\x00photo"])),
        "points": tf.train.Feature(float_list=tf.train.FloatList(value=[1.5, -2.0])),
        "style": tf.train.Feature(int64_list=tf.train.Int64List(value=[-1, 2**40])),
    }
    data = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    example = parse_example(data)
    assert example.one("image") == b"\x00photo"
    np.testing.assert_array_equal(example.floats("points"), np.float32([1.5, -2]))
    np.testing.assert_array_equal(example.integers("style"), [-1, 2**40])
    for wrong in (lambda: example.one("points"), lambda: example.floats("none"), lambda: parse_example(data[:-3])):
        with pytest.raises(ValueError, match=r"another kind|has no none|cut off"):
            wrong()


def test_a_frame_that_cannot_be_decoded_is_told_with_its_file(pack):
    """Its header is that of a JPEG file of the right size, so it is found only when it is decoded."""
    faces = open_faces(str(pack), "train", "")
    frames = faces.read_encoded(np.arange(2))
    faces = dataclasses.replace(faces, read_encoded=lambda indices: [frames[0][:200] for _ in indices])
    with pytest.raises(ValueError, match=rf"{pack.name}, split train: the JPEG bytes of a frame are damaged"):
        faces.images(np.arange(1))
