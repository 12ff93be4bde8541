"""Reading the official 300-W folders."""

import numpy as np
import pytest

from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.ibug300w import IBUG300W, photo_of, read_pts
from tiny_archives import pts_text, ring, write_300w, write_photo


def stop(error):
    raise error


def test_points_count_from_zero(tmp_path):
    (tmp_path / "a.pts").write_text(pts_text(ring(68)))
    np.testing.assert_allclose(read_pts(tmp_path / "a.pts", 68), ring(68), atol=1e-3)  # Of three decimals.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:3] + lines[4:], "line 71: 67 points instead of 68"),
        (lambda lines: [*lines[:5], "1.0 nan", *lines[6:]], "line 6: value 2 is 'nan'"),
        (lambda lines: [*lines[:5], "1.0 y", *lines[6:]], "line 6: value 2 is 'y'"),
        (lambda lines: [*lines[:5], "1.0", *lines[6:]], "line 6: 1 values instead of x and y"),
        (lambda lines: lines[:-3], "truncated or not a .pts file"),
    ],
)
def test_bad_point_files_name_file_and_line(tmp_path, change, message):
    lines = pts_text(ring(68)).splitlines()
    (tmp_path / "a.pts").write_text("\n".join(change(lines)))
    with pytest.raises(BadFaceError, match=rf"a\.pts.*{message}"):
        read_pts(tmp_path / "a.pts", 68)


def test_folders_go_to_their_splits_and_absent_ones_are_named(tmp_path, caplog):
    splits = IBUG300W(write_300w(tmp_path)).read(stop)
    names = {split: [label.name for label in labels] for split, labels in splits.items()}
    assert names == {
        "train": ["afw/12_1", "afw/12_2"],
        "common": ["helen/testset/34_1", "lfpw/testset/image_0001"],
        "challenging": ["ibug/image_003_1"],
    }
    assert "left out: helen/trainset, lfpw/trainset" in caplog.text


def test_faces_of_one_photo_share_a_group():
    assert photo_of("afw", "1051618982_1") == photo_of("afw", "1051618982_2") == "afw/1051618982"
    assert photo_of("helen/trainset", "100032540_1") == "helen/trainset/100032540"
    assert photo_of("lfpw/trainset", "image_0001") != photo_of("lfpw/trainset", "image_0002")
    assert photo_of("helen/trainset", "1_1") != photo_of("helen/testset", "1_1")


def test_box_is_the_landmarks_box_times_its_scale(tmp_path):
    label = IBUG300W(write_300w(tmp_path)).read(stop)["challenging"][0]
    np.testing.assert_allclose(label.box, [45 - 16.5, 35 - 16.5, 45 + 16.5, 35 + 16.5], atol=1e-3)  # Of three decimals.


def test_a_missing_image_is_reported(tmp_path):
    write_300w(tmp_path)
    (tmp_path / "ibug" / "image_003_1.jpg").unlink()
    with pytest.raises(BadFaceError, match=r"image_003_1\.pts: its image .* is missing"):
        IBUG300W(tmp_path).read(stop)


def test_a_source_without_any_folder_is_an_error(tmp_path):
    write_photo(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match="holds none of the folders afw"):
        IBUG300W(tmp_path).read(stop)
