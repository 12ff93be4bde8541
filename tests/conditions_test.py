"""Conditions: frames are changed as their names say, masks tell shapes, and the table means over what it says."""

import dataclasses
import pathlib

import numpy as np
import pytest

from jaxlm import evaluate
from jaxlm.evaluation import conditions
from jaxlm.landmarks.schemes import IBUG68
from tiny_faces import synthetic_faces
from tiny_landmarker import mean_face_bundle

RNG = np.random.default_rng(0)


def frame_of(seed: int = 0, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def test_a_face_of_few_pixels_shows_their_means():
    """A face of 32 pixels of 64, shown by 16, is half as large: blocks of 2 x 2 become their mean."""
    columns = np.repeat(np.arange(0, 64), 1).astype(np.uint8)
    frame = np.broadcast_to(columns[None, :, None], (64, 64, 3)).copy()
    made = conditions.shrink(frame, 32.0, RNG, pixels=16)
    assert made.shape == frame.shape
    # The mean of columns 2k and 2k + 1 is 2k + 0.5, stored as an integer: even or odd, and enlarged between the two.
    assert np.abs(made[:, 8:-8].astype(int) - frame[:, 8:-8]).max() <= 1
    noise = frame_of()
    assert conditions.shrink(noise, 32.0, RNG, pixels=16).std() < 0.7 * noise.std()


def test_a_square_of_a_quarter_of_the_box_is_covered_somewhere_in_it():
    frame = np.zeros((64, 64, 3), np.uint8)
    places = set()
    for seed in range(8):
        made = conditions.cover(frame, 32.0, np.random.default_rng(seed), share=0.25)
        rows, columns = np.nonzero(made[..., 0])
        assert {*made[rows, columns].ravel()} == {128}
        assert len(rows) == pytest.approx(16 * 16, abs=32)  # Its corner is rounded to whole pixels.
        assert min(rows.min(), columns.min()) >= 16
        assert max(rows.max(), columns.max()) < 48
        places.add((rows.min(), columns.min()))
    assert len(places) > 4


def test_dark_frames_have_a_tenth_of_the_light_and_noise():
    made = conditions.darken(np.full((64, 64, 3), 200, np.uint8), 32.0, np.random.default_rng(0), light=0.1, noise=3.0)
    assert made.mean() == pytest.approx(20, abs=0.2)  # Of 12,288 draws of deviation 3.
    assert made.std() == pytest.approx(3, rel=0.1)


def test_changes_belong_to_a_face_and_not_to_the_order_of_reading():
    faces = synthetic_faces(3, "train")
    dark = conditions.changed(faces, conditions.CHANGES["dark"])
    together = dark.images(np.arange(3))
    np.testing.assert_array_equal(together[[2, 0]], dark.images(np.array([2, 0])))
    assert not np.array_equal(together[0], faces.images(np.arange(1))[0])
    assert dark.points is faces.points


def test_a_quarter_turn_takes_points_along_with_the_pixels():
    """Clockwise by 90 degrees: what is above the middle goes to its right."""
    faces = synthetic_faces(1, "train")
    centre = (faces.frame_size - 1) / 2
    turned = conditions.rolled(faces, 90.0)
    x, y = faces.points[0, :, 0] - centre, faces.points[0, :, 1] - centre
    np.testing.assert_allclose(turned.points[0], np.stack([-y, x], -1) + centre, atol=1e-3)
    expected = np.rot90(faces.images(np.arange(1))[0], -1).astype(int)
    assert np.abs(turned.images(np.arange(1))[0] - expected)[2:-2, 2:-2].mean() < 1


def test_heights_are_measured_across_the_line_of_the_eyes():
    """A lid 4 wide and 1 high, upright and turned by 30 degrees."""
    eye = np.float32([[0, 0], [1, -0.5], [3, -0.5], [4, 0], [3, 0.5], [1, 0.5]])
    cosine, sine = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turned = eye @ np.float32([[cosine, sine], [-sine, cosine]])
    across = np.float32([[1, 0], [cosine, sine]])
    ratio = conditions.height_over_width(np.stack([eye, turned]), across)
    np.testing.assert_allclose(ratio, 0.25, rtol=1e-5)


def with_eyes_and_mouth(eye_height: float, mouth_height: float) -> np.ndarray:
    """68 points whose eyes are 30 wide and whose mouth is 40 wide."""
    points = np.zeros((68, 2), np.float32)
    for part, x, y, width, height in (
        ("left_eye", 0, 0, 30, eye_height),
        ("right_eye", 60, 0, 30, eye_height),
        ("mouth", 25, 60, 40, mouth_height),
    ):
        chosen = list(IBUG68.parts[part])
        angles = np.linspace(0, 2 * np.pi, len(chosen), endpoint=False)  # Even numbers: both ends of both axes.
        points[chosen] = np.stack([x + width / 2 * np.cos(angles), y + height / 2 * np.sin(angles)], -1)
    return points


def test_closed_eyes_and_open_mouths_are_told_by_their_points():
    faces = synthetic_faces(3, "train").in_scheme(IBUG68)
    shapes = [with_eyes_and_mouth(2, 8), with_eyes_and_mouth(12, 30), with_eyes_and_mouth(12, 8)]
    faces = dataclasses.replace(faces, points=np.stack(shapes))
    masks = conditions.shape_masks(faces)
    assert masks["eyes closed"].tolist() == [True, False, False]
    assert masks["mouth open"].tolist() == [False, True, False]


def test_lids_are_measured_from_corner_to_corner_however_the_face_is_turned():
    eye = np.float32([[0, 0], [1, -0.5], [3, -0.5], [4, 0], [3, 0.5], [1, 0.5]])
    turned = eye @ np.float32([[0.6, 0.8], [-0.8, 0.6]])
    length, gap = conditions.lids_of(np.stack([eye, 3 * turned, eye[[0, 1, 2, 3, 1, 2]]]))
    np.testing.assert_allclose(length, [4, 12, 4], rtol=1e-5)
    np.testing.assert_allclose(gap, [0.25, 0.25, 0], rtol=1e-5)


def test_of_a_face_in_profile_the_nearer_eye_tells_whether_eyes_are_closed():
    """The far eye is a slit that stands upright."""
    faces = synthetic_faces(2, "train").in_scheme(IBUG68)
    shapes = np.stack([with_eyes_and_mouth(2, 8), with_eyes_and_mouth(12, 8)])
    far = list(IBUG68.parts["right_eye"])
    shapes[:, far, 0] = 60 + 0.05 * (shapes[:, far, 0] - 60)
    shapes[0, far, 1] *= 6
    masks = conditions.shape_masks(dataclasses.replace(faces, points=shapes))
    assert masks["eyes closed"].tolist() == [True, False]


def test_a_row_means_over_points_and_then_over_faces():
    """0.02 on the 17 points of the contour, 0.04 and 0.2 on the 51 others, of which one has no place."""
    errors = np.full((2, 68), 0.02)
    errors[0, 17:], errors[1, 17:] = 0.04, 0.2
    errors[1, 17] = np.nan
    row = conditions.row_of("some", errors, IBUG68)
    first, second = (17 * 2 + 51 * 4) / 68, (17 * 2 + 50 * 20) / 67
    assert row.nme == pytest.approx((first + second) / 2)
    assert (row.contour, row.inner, row.failures) == pytest.approx((2, 12, 50))


def test_the_command_prints_a_row_for_each_condition(
    pack: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A model that gives the mean face whatever it sees errs alike in whatever changes pixels alone."""
    monkeypatch.chdir(tmp_path)
    weights = mean_face_bundle(tmp_path / "mean.npz")
    evaluate.main(["--weights", str(weights), "--dataset", str(pack), "--split", "test", "--conditions"])
    lines = capsys.readouterr().out.split("condition ")[1].splitlines()[1:]
    rows = {line[:20].strip(): line[20:].split() for line in lines if line[:20].strip() and len(line.split()) > 4}
    assert {*conditions.CHANGES, "as they are", "turned by 90"} <= rows.keys()
    assert all(rows[name] == rows["as they are"] for name in conditions.CHANGES)
    assert float(rows["turned by 90"][1]) > float(rows["as they are"][1])
