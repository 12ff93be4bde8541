"""Reading what the builders of the TFDS catalogue write; they run here on tiny archives."""

import importlib.resources
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.input import open_faces
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.aflw2k3d import AFLW2K3D
from jaxlm.data_pipelines.sources.the300w_lp import The300WLP
from jaxlm.data_pipelines.tfrecords import find_examples, parse
from tiny_archives import ring, write_300w_lp, write_aflw2000
from tolerances import assert_float32_close


def stop(error):
    raise error


def build(name, archive, data_dir, num_shards=None, **options):
    """Runs the catalogue's own builder on an archive that is at hand instead of a download."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda manager, url: str(archive))
        patch.setitem(sys.modules, "importlib_resources", importlib.resources)  # Its backport, which TFDS wants.
        download = tfds.download.DownloadConfig(num_shards=num_shards)
        tfds.builder(name, data_dir=data_dir, **options).download_and_prepare(download_config=download)
    return data_dir


@pytest.fixture(scope="module")
def aflw(tmp_path_factory):
    """An archive of 20 faces and the catalogue's set of it."""
    folder = tmp_path_factory.mktemp("aflw")
    write_aflw2000(folder / "AFLW2000", list(range(20)))
    return folder / "AFLW2000", build("aflw2k3d", folder, folder / "data")


@pytest.fixture(scope="module")
def the300w_lp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lp")
    write_300w_lp(folder / "300W_LP")
    return build("the300w_lp", folder, folder / "data")


def run(name, source, data_dir, *options):
    prepare.main([name, "--source", str(source), "--data-dir", str(data_dir), "--frame-size", "64", *options])


def test_aflw2k3d_has_the_points_and_the_splits_of_the_official_folder(aflw, tmp_path):
    archive, data_dir = aflw
    run("aflw2000", archive, tmp_path)
    run("aflw2k3d", data_dir, tmp_path)
    for split, count in {"validation": 2, "test": 18}.items():
        official, stored = (open_faces(name, split, tmp_path) for name in ("aflw2000", "aflw2k3d"))
        assert len(official) == count
        frames = {frame: index for index, frame in enumerate(stored.read_encoded(np.arange(count)))}
        same = [frames[frame] for frame in official.read_encoded(np.arange(count))]
        assert_float32_close(official.points, stored.points[same], depth=2, scale=450)
        assert_float32_close(official.to_source, stored.to_source[same], depth=2, scale=450)
        assert np.isnan(stored.yaw).all()
        assert len(set(stored.groups)) == count


def test_the300w_lp_gives_the_projected_points_yaws_and_photos(the300w_lp, tmp_path):
    run("the300w_lp", the300w_lp, tmp_path)
    faces = open_faces("the300w_lp", "train", tmp_path)
    assert len(faces) == 4
    in_photo = np.einsum("nij,npj->npi", faces.to_source[:, :, :2], faces.points) + faces.to_source[:, None, :, 2]
    for points, yaw in zip(in_photo, faces.yaw, strict=True):
        turned = yaw < 0
        assert_float32_close(points, ring(68, (220.0, 230.0), 81.0 if turned else 80.0), depth=8, scale=450)
        assert_float32_close(yaw, np.rad2deg(-1.0 if turned else 0.1), depth=2, scale=180)
    assert sorted(faces.groups.count(group) for group in set(faces.groups)) == [2, 2]
    assert sorted(faces.yaw[[group == faces.groups[0] for group in faces.groups]] < 0) == [False, True]


def test_examples_of_several_files_are_all_found(aflw, tmp_path):
    archive, _ = aflw
    build("aflw2k3d", archive.parent, tmp_path, num_shards=3)
    examples = find_examples(tmp_path, "aflw2k3d")
    assert [example.number for example in examples] == list(range(20))
    assert len({example.path for example in examples}) == 3
    assert {parse(example).one("image") for example in examples} == {
        path.read_bytes() for path in archive.glob("*.jpg")
    }


def test_a_set_that_is_not_there_or_no_tfrecord_says_what_to_do(aflw, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no aflw2k3d; download it: tfds build aflw2k3d --data_dir"):
        AFLW2K3D(tmp_path).read(stop)
    archive, _ = aflw
    build("aflw2k3d", archive.parent, tmp_path, file_format="array_record")
    with pytest.raises(ValueError, match=r"aflw2k3d/1\.0\.0 is stored as array_record; only tfrecord can be read"):
        AFLW2K3D(tmp_path).read(stop)


def test_damaged_files_are_named(the300w_lp, tmp_path):
    examples = The300WLP(the300w_lp).read(stop)["train"]
    path, whole = examples[1].path, examples[1].path.read_bytes()
    damaged = bytearray(whole)
    damaged[examples[1].offset : examples[1].offset + 40] = b"\xff" * 40
    try:
        path.write_bytes(damaged)
        with pytest.raises(BadFaceError, match=r"the300w_lp-train\.tfrecord.*, example 1 is damaged"):
            The300WLP(the300w_lp).to_record(examples[1], 64, 2.0)
        for length in (len(whole) - 3, examples[3].offset + 5, examples[3].offset - 5):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=r"the300w_lp-train\.tfrecord.* is truncated"):
                The300WLP(the300w_lp).read(stop)
    finally:
        path.write_bytes(whole)
