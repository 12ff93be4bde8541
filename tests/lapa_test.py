"""Reading LaPa, 106 points, in its published layout."""

import numpy as np
import pytest

from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.input import open_faces
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.lapa import LaPa, read_landmarks
from jaxlm.landmarks import IBUG68, LAPA106
from tiny_archives import ring, write_lapa


def stop(error):
    raise error


def test_faces_of_all_splits_are_prepared_as_they_are_stored(tmp_path, capsys):
    archive, pack = write_lapa(tmp_path / "LaPa"), tmp_path / "lapa.npz"
    prepare.main(["lapa", "--source", str(archive), "--frame-size", "32", "--pack", str(pack)])
    assert "WARNING" not in capsys.readouterr().out
    for split in ("train", "val", "test"):
        faces = open_faces(str(pack), split, "")
        assert (faces.scheme, faces.names) == (LAPA106, ("7_0", "7_1", "AFW_8_0"))
        assert faces.groups == ("7", "7", "AFW_8")
        stored = np.einsum("nij,npj->npi", faces.to_source[:, :, :2], faces.points) + faces.to_source[:, None, :, 2]
        expected = [ring(106, (40.0 + i, 35.0)) for i in range(3)]
        np.testing.assert_allclose(stored, expected, rtol=0, atol=1e-4)  # Of float32 in a photo of 90 pixels.


def test_its_points_can_be_read_as_those_of_300w(tmp_path):
    archive, pack = write_lapa(tmp_path / "LaPa", ("test",)), tmp_path / "lapa.npz"
    prepare.main(["lapa", "--source", str(archive), "--frame-size", "32", "--pack", str(pack)])
    faces = open_faces(str(pack), "test", "")
    chosen = [*range(0, 33, 2), *range(33, 38), *range(42, 47), *range(51, 55), *range(58, 63)]
    chosen += [66, 67, 69, 70, 71, 73, 75, 76, 78, 79, 80, 82, *range(84, 104)]
    np.testing.assert_array_equal(faces.in_scheme(IBUG68).points, faces.points[:, chosen])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[1:], r"7_1\.txt: the first line is '56\.000000 35\.000000', not 106"),
        (lambda lines: ["68", *lines[1:]], r"7_1\.txt: the first line is '68', not 106"),
        (lambda lines: [], r"7_1\.txt: the first line is '', not 106"),
        (lambda lines: lines[:-1], r"7_1\.txt: 105 points instead of 106"),
        (lambda lines: [*lines[:8], "1 2 3", *lines[9:]], r"7_1\.txt, line 9: 3 values instead of x and y"),
        (lambda lines: [*lines[:8], "1 nan", *lines[9:]], r"7_1\.txt, line 9: value 2 is 'nan', not a finite"),
        (lambda lines: [*lines[:8], "-1 -1", *lines[9:]], r"7_1\.txt: point 7 is \(-1, -1\), as others mark"),
    ],
)
def test_bad_files_are_named_and_skipped_alone(tmp_path, change, message):
    archive = write_lapa(tmp_path, ("train",))
    path = archive / "train" / "landmarks" / "7_1.txt"
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(BadFaceError, match=message):
        LaPa(archive).read(stop)
    errors = []
    assert [label.name for label in LaPa(archive).read(errors.append)["train"]] == ["7_0", "AFW_8_0"]
    assert len(errors) == 1


def test_missing_folders_are_left_out_and_named_and_without_any_it_ends(tmp_path, caplog):
    archive = write_lapa(tmp_path / "LaPa", ("val",))
    assert list(LaPa(archive).read(stop)) == ["val"]
    assert "missing folders, left out: train, test" in caplog.text
    with pytest.raises(FileNotFoundError, match="holds none of the folders train, val, test"):
        LaPa(tmp_path).read(stop)
    (archive / "val" / "images" / "7_0.jpg").unlink()
    with pytest.raises(BadFaceError, match=r"7_0\.txt: its image 7_0\.jpg \(or \.png\) is missing"):
        LaPa(archive).read(stop)


def test_landmarks_are_taken_as_they_are(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("106 \n" + "".join(f"{i} {2 * i + 1}\n" for i in range(106)))
    expected = np.stack([np.arange(106), 2 * np.arange(106) + 1], axis=-1)
    np.testing.assert_array_equal(read_landmarks(path), expected)
