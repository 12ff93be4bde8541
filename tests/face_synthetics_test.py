"""Reading Microsoft's FaceSynthetics."""

import numpy as np
import pytest

from jaxlm.data_pipelines import builder, prepare
from jaxlm.data_pipelines.input import open_faces
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.face_synthetics import FaceSynthetics, read_landmarks
from jaxlm.landmarks import IBUG68
from tiny_archives import landmark_text, ring, write_face_synthetics, write_photo


def stop(error):
    raise error


def run(source, data_dir):
    options = ["--source", source, "--data-dir", data_dir, "--frame-size", 32, "--image-size", 80]
    prepare.main(["face_synthetics", *map(str, options)])


def test_the_first_68_rows_are_the_landmarks_as_they_are_stored(tmp_path):
    (tmp_path / "0_ldmks.txt").write_text(landmark_text(ring(68)))
    np.testing.assert_allclose(read_landmarks(tmp_path / "0_ldmks.txt"), ring(68), atol=6e-4)  # Of three decimals.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:67], ": 67 rows instead of 70"),
        (lambda lines: [*lines[:8], "left eye", *lines[9:]], ", line 9: value 1 is 'left', not a number"),
        (lambda lines: [*lines[:8], "", "1.0 nan", *lines[9:]], ", line 10: value 2 is 'nan', not a finite number"),
        (lambda lines: [*lines[:8], "1.0 2.0 3.0", *lines[9:]], ", line 9: 3 values instead of x and y"),
    ],
)
def test_bad_landmark_files_name_file_and_line_and_are_skipped_alone(tmp_path, change, message):
    path = write_face_synthetics(tmp_path) / "000001_ldmks.txt"
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(BadFaceError, match=rf"000001_ldmks\.txt{message}"):
        FaceSynthetics(tmp_path).read(stop)
    errors = []
    assert [label.name for label in FaceSynthetics(tmp_path).read(errors.append)["train"]] == ["000000", "000002"]
    assert len(errors) == 1


def test_a_missing_image_and_an_empty_folder_are_errors(tmp_path):
    with pytest.raises(SystemExit, match=r"holds no files like 000000_ldmks\.txt"):
        run(tmp_path, tmp_path / "data")
    (write_face_synthetics(tmp_path) / "000002.png").unlink()
    with pytest.raises(SystemExit, match=r"000002_ldmks\.txt: the image .*000002\.png is missing"):
        run(tmp_path, tmp_path / "data")


def test_an_image_of_another_size_is_an_error(tmp_path):
    write_photo(write_face_synthetics(tmp_path) / "000001.png", 80, 64)
    with pytest.raises(SystemExit, match=r"000001\.png is 80 x 64, not 80 x 80 as --image-size says"):
        run(tmp_path, tmp_path / "data")


def test_faces_are_prepared_in_the_order_of_their_names(tmp_path):
    run(write_face_synthetics(tmp_path / "source", 5), tmp_path / "data")
    faces = open_faces("face_synthetics", "train", tmp_path / "data")
    assert faces.names == tuple(f"{i:06d}" for i in range(5))
    assert (faces.scheme, faces.box) == (IBUG68, "bounding box of the landmarks x 1.1, made square")
    in_photo = np.einsum("nij,npj->npi", faces.to_source[:, :, :2], faces.points) + faces.to_source[:, None, :, 2]
    expected = np.stack([ring(68, (40.0 + i, 35.0)) for i in range(5)])
    np.testing.assert_allclose(in_photo, expected, atol=2e-3)  # Of three decimals.
    assert np.isnan(faces.yaw).all()


def test_a_part_of_a_split_is_named_by_its_bounds(tmp_path):
    run(write_face_synthetics(tmp_path / "source", 5), tmp_path / "data")
    whole = open_faces("face_synthetics", "train", tmp_path / "data")
    for split, indices in {"train[:3]": [0, 1, 2], "train[3:]": [3, 4], "train[4:]+train[1:2]": [4, 1]}.items():
        part = open_faces("face_synthetics", split, tmp_path / "data")
        assert part.split == split
        assert part.names == tuple(whole.names[i] for i in indices)
        assert part.read_encoded(np.arange(len(part))) == whole.read_encoded(np.array(indices))
    for split in ("train[:6]", "train[5:]", "train[3:2]"):
        with pytest.raises(ValueError, match=r"face_synthetics has 5 faces in train"):
            open_faces("face_synthetics", split, tmp_path / "data")
    for split in ("train[:5]+train[3:]", "train[:2]+train[:2]", "train+train[1:2]", "train+train"):
        with pytest.raises(ValueError, match=r"train.* and train.* share faces; each may be there once"):
            open_faces("face_synthetics", split, tmp_path / "data")
    for split in ("train[:10%]", "train[1]", "rest[:1]"):
        with pytest.raises(ValueError, match=r"has no split .*; it has train"):
            open_faces("face_synthetics", split, tmp_path / "data")


def test_opening_a_set_reads_its_labels_file_alone(tmp_path):
    run(write_face_synthetics(tmp_path / "source"), tmp_path / "data")
    folder = tmp_path / "data" / "face_synthetics" / "32px" / "1.1.0"
    (records,) = folder.glob("*.array_record*")
    content = records.read_bytes()
    # Behind the records, of a kilobyte each, stands their index, which says how many there are.
    records.write_bytes(content[:64] + b"\0" * 2000 + content[2064:])
    faces = open_faces("face_synthetics", "train", tmp_path / "data")
    assert len(faces) == 3
    with pytest.raises(ValueError, match="split train, face 0 is damaged"):
        faces.images(np.arange(1))
    records.write_bytes(content)
    labels = (folder / "labels.npz").read_bytes()
    (folder / "labels.npz").write_bytes(labels[: len(labels) // 2])
    with pytest.raises(ValueError, match=r"labels\.npz is not the labels of a prepared set, or a damaged one"):
        open_faces("face_synthetics", "train", tmp_path / "data")


def test_a_set_too_large_for_memory_keeps_its_order(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds.core.shuffle, "MAX_MEM_BUFFER_SIZE", 1)
    run(write_face_synthetics(tmp_path / "source", 12), tmp_path / "data")
    assert open_faces("face_synthetics", "train", tmp_path / "data").names == tuple(f"{i:06d}" for i in range(12))


def test_sort_keys_grow_and_fill_all_buckets_evenly():
    keys = [builder.sort_key(index, 1000) for index in range(1000)]
    assert keys == sorted(set(keys))
    assert keys[-1] < 2**128
    sizes = np.bincount([key * builder.BUCKETS >> 128 for key in keys])
    assert len(sizes) == builder.BUCKETS
    assert set(sizes) == {15, 16}


def test_forty_published_faces(shared_data):
    labels = FaceSynthetics(shared_data / "face_synthetics").read(stop)["train"]
    assert [label.name for label in labels] == [f"{i:06d}" for i in range(40)]
    np.testing.assert_array_equal(labels[0].points[0], (192.230, 262.053))
    # Outer eye corners: the image's left one is point 36.
    assert all(label.points[36, 0] < label.points[45, 0] for label in labels)
