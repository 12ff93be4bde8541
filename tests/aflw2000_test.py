"""Reading AFLW2000-3D."""

import dataclasses

import numpy as np
import pytest
import scipy.io

from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.faces import YAW_BINS, subset_masks
from jaxlm.data_pipelines.input import open_faces
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.aflw2000 import AFLW2000, read_label, read_poses, split_validation, wrap_degrees
from tiny_archives import ring, write_aflw2000
from tiny_faces import synthetic_faces
from tolerances import assert_float32_close

YAWS = [0, -29, 30, 31, -60, 75, 351, 5, -45, 12]


def stop(error):
    raise error


def change_mat(path, **matrices):
    """Replaces matrices of a .mat file; None removes one."""
    content = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("_")} | matrices
    scipy.io.savemat(path, {key: value for key, value in content.items() if value is not None})


def labels_of(splits):
    return sorted((label for labels in splits.values() for label in labels), key=lambda label: label.name)


def test_points_are_taken_as_stored_and_yaws_in_degrees(tmp_path):
    labels = labels_of(AFLW2000(write_aflw2000(tmp_path, YAWS)).read(stop))
    for i, label in enumerate(labels):
        assert_float32_close(label.points, ring(68, (220.0 + i, 230.0), 90.0), depth=1)
        assert label.image == tmp_path / f"image{i:05d}.jpg"
    assert_float32_close([label.yaw for label in labels], [*YAWS[:6], -9, *YAWS[7:]], depth=2, scale=351)


def test_angles_are_wrapped_into_half_turns():
    np.testing.assert_array_equal(wrap_degrees(np.array([0.0, 351, -351, 179, 181, 725])), [0, -9, 9, 179, -179, 5])


def test_a_tenth_is_validation_for_ever_the_same_and_in_order():
    images = [f"image {i}".encode() for i in range(2000)]
    splits = split_validation(range(2000), images)
    assert {split: len(labels) for split, labels in splits.items()} == {"validation": 200, "test": 1800}
    assert sorted(splits["validation"] + splits["test"]) == list(range(2000))
    assert all(labels == sorted(labels) for labels in splits.values())
    assert splits["validation"][:5] == [12, 18, 20, 36, 38]
    order = np.random.default_rng(0).permutation(2000)
    shuffled = split_validation(order.tolist(), [images[i] for i in order])
    assert sorted(shuffled["validation"]) == splits["validation"]
    assert list(split_validation(range(2), images)) == ["test"]


def test_prepare_counts_the_yaw_bins_and_the_yaws_travel(tmp_path, capsys):
    source, pack = write_aflw2000(tmp_path / "source", YAWS), tmp_path / "aflw.npz"
    options = ["--source", str(source), "--data-dir", str(tmp_path), "--frame-size", "32", "--pack", str(pack)]
    prepare.main(["aflw2000", *options])
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["split", "faces", "yaw", "0-30", "yaw", "30-60", "yaw", "60-90"] in table
    counts = [[int(cell) for cell in row[1:]] for row in table if row[:1] in (["validation"], ["test"])]
    np.testing.assert_array_equal(np.sum(counts, axis=0), [10, 6, 3, 1])
    for name in ("aflw2000", str(pack)):
        faces = open_faces(name, "validation+test", tmp_path)
        numbers = [int(face.removeprefix("image")) for face in faces.names]
        assert_float32_close(faces.yaw, wrap_degrees(np.array(YAWS))[numbers], depth=2, scale=351)
        taken = faces.take(np.array([3, 0]))
        np.testing.assert_array_equal(taken.yaw, faces.yaw[[3, 0]])


def test_better_yaws_come_by_the_order_of_the_names(tmp_path):
    write_aflw2000(tmp_path, YAWS)
    np.save(tmp_path / "poses.npy", np.arange(10.0, 110.0, 10))
    labels = labels_of(AFLW2000(tmp_path, tmp_path / "poses.npy").read(stop))
    np.testing.assert_array_equal([label.yaw for label in labels], np.arange(10.0, 110.0, 10))
    np.save(tmp_path / "poses.npy", np.zeros(2000))
    with pytest.raises(ValueError, match=r"poses\.npy holds float64 \[2000\], not a yaw for each of the 10"):
        AFLW2000(tmp_path, tmp_path / "poses.npy").read(stop)
    np.save(tmp_path / "poses.npy", np.full(10, 1e30))
    with pytest.raises(ValueError, match=r"poses\.npy: yaw 0 is 1e\+30"):
        AFLW2000(tmp_path, tmp_path / "poses.npy").read(stop)
    np.savez(tmp_path / "poses.npz", np.zeros(10))
    for data in (b"12 13", b"\x93NUMPY\x01\x00\x06\x00{'a': (", (tmp_path / "poses.npz").read_bytes()):
        (tmp_path / "poses.npy").write_bytes(data)
        with pytest.raises(ValueError, match=r"poses\.npy is not a \.npy file"):
            AFLW2000(tmp_path, tmp_path / "poses.npy").read(stop)


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ({"pt3d_68": None}, "has no pt3d_68"),
        ({"Pose_Para": None}, "has no Pose_Para"),
        ({"pt3d_68": np.ones((68, 3))}, r"pt3d_68 is double \[68, 3\], not \[3, 68\] finite numbers"),
        ({"pt3d_68": np.full((3, 68), np.nan)}, "pt3d_68 is .* finite numbers"),
        ({"pt3d_68": "text"}, "pt3d_68 is char"),
        (
            {"pt3d_68": np.insert(np.ones((3, 67)) * np.arange(5, 72), 7, -1, 1)},
            r"point 7 is \(-1, -1\), as others mark",
        ),
    ],
)
def test_mat_files_of_another_content_are_refused_by_name(tmp_path, matrices, message):
    path = write_aflw2000(tmp_path, YAWS[:3]) / "image00001.mat"
    change_mat(path, **matrices)
    with pytest.raises(BadFaceError, match=rf"image00001\.mat:? {message}"):
        AFLW2000(tmp_path).read(stop)
    errors = []
    assert [label.name for label in labels_of(AFLW2000(tmp_path).read(errors.append))] == ["image00000", "image00002"]
    assert len(errors) == 1


def test_files_that_are_no_mat_files_are_refused_by_name(tmp_path):
    path = write_aflw2000(tmp_path, YAWS[:1]) / "image00000.mat"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 0xFF
    for content in (b"", b"no mat file" * 30, whole[:90], whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(BadFaceError, match=r"image00000\.mat is not a readable \.mat file"):
            read_label(path, {})


def test_missing_images_and_empty_folders_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no \.mat files"):
        AFLW2000(tmp_path).read(stop)
    (write_aflw2000(tmp_path, YAWS[:2]) / "image00001.jpg").unlink()
    with pytest.raises(BadFaceError, match=r"image00001\.mat: its image .* is missing"):
        AFLW2000(tmp_path).read(stop)


def test_published_faces_equal_the_published_table(shared_data):
    folder = shared_data / "aflw2000"
    labels = labels_of(AFLW2000(folder).read(stop))
    assert len(labels) == 12
    points = np.load(folder / "labels_only" / "AFLW2000-3D.pts68.npy")[:, :2].transpose(0, 2, 1)
    yaws = np.load(folder / "labels_only" / "AFLW2000-3D.pose.npy")
    rows = [int(np.flatnonzero((points == label.points).all(axis=(1, 2)))[0]) for label in labels]
    assert_float32_close([label.yaw for label in labels], wrap_degrees(yaws[rows]), depth=4, scale=360)
    # The tables of poses follow the order of the names.
    assert rows == sorted(rows)


# Unwrapped, the fitted yaws give the usual 1312, 383, 305: one face of 351 degrees counts as turned away.
@pytest.mark.parametrize(("poses", "counts"), [("-new.pose", (1306, 462, 232)), (".pose", (1313, 383, 304))])
def test_yaw_bins_of_the_published_poses(shared_data, poses, counts):
    yaw = read_poses(shared_data / "aflw2000" / "labels_only" / f"AFLW2000-3D{poses}.npy", 2000)
    faces = dataclasses.replace(synthetic_faces(1, "test"), attributes=np.zeros((2000, 6), bool), yaw=yaw)
    masks = subset_masks(faces)
    assert tuple(masks[name].sum() for name in YAW_BINS) == counts


def test_poses_in_radians_are_refused(tmp_path):
    write_aflw2000(tmp_path, YAWS)
    np.save(tmp_path / "poses.npy", np.deg2rad(wrap_degrees(np.array(YAWS, float))))
    with pytest.raises(ValueError, match=r"poses\.npy: no yaw is larger than 1\.31, .* up to 75 degrees; .* radians"):
        AFLW2000(tmp_path, tmp_path / "poses.npy").read(stop)
