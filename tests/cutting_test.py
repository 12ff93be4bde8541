"""From an annotated photo to a record."""

import cv2
import numpy as np
import pytest

from jaxlm.data_pipelines import cutting
from jaxlm.data_pipelines.record import decode_image, encode_image
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.landmarks import geometry, photo_decoding, photos
from tiny_archives import ring, write_photo
from tolerances import assert_float32_close


def label_of(path, points=None, box=(30, 20, 59, 49)):
    return cutting.Label(
        image=path,
        points=ring(5) if points is None else points,
        box=np.asarray(box, float),
        where="list.txt, line 3",
        name="face",
        group="photo",
    )


def blob(width, height, centre, sigma):
    """A white Gaussian blob, RGB uint8 [height, width, 3]."""
    x, y = np.arange(width) - centre[0], np.arange(height)[:, None] - centre[1]
    grey = np.rint(255 * np.exp(-(x**2 + y**2) / (2 * sigma**2))).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


@pytest.mark.parametrize("size", [48, 64, 100, 256])
def test_points_stay_on_the_content_when_the_frame_shrinks_or_grows(size):
    centre = np.array([[61.3, 48.8]])
    image = blob(140, 110, centre[0], sigma=5.0)
    square = geometry.Square(40, 30, 50)
    frame = photos.cut_region(image, geometry.widen(square, 2.0), size).astype(float)[..., 0]
    y, x = np.mgrid[:size, :size]
    found = np.array([(frame * x).sum(), (frame * y).sum()]) / frame.sum()
    expected = geometry.transform(centre, geometry.frame_affine(square, size, 2.0))[0]
    np.testing.assert_allclose(found, expected, atol=0.05)  # Of a blob of whole numbers.


def test_frame_at_the_photos_own_scale_is_the_photo_and_black_outside():
    image = np.random.default_rng(0).integers(1, 256, (200, 180, 3), dtype=np.uint8)
    square = geometry.Square(10, 30, 128)
    frame = photos.cut_region(image, geometry.widen(square, 2.0), 256)
    np.testing.assert_array_equal(frame[64:192, 64:192], image[30:158, 10:138])
    assert not frame[:, :54].any()
    assert not frame[:34].any()
    points = np.array([[12.5, 31.0]])
    in_frame = geometry.transform(points, geometry.frame_affine(square, 256, 2.0))
    np.testing.assert_array_equal(in_frame - 64, points - [10, 30])


def test_region_wholly_outside_is_black():
    frame = photos.cut_region(np.full((20, 20, 3), 255, np.uint8), geometry.Square(100, 100, 30), 16)
    assert frame.shape == (16, 16, 3)
    assert not frame.any()


def test_record_maps_back_to_the_photo(tmp_path):
    write_photo(tmp_path / "a.jpg")
    record = cutting.make_record(label_of(tmp_path / "a.jpg"), 64, 2.0)
    assert decode_image(record.image).shape == (64, 64, 3)
    assert_float32_close(geometry.transform(record.points, record.to_source), ring(5), depth=4, scale=90)
    assert record.points.dtype == record.to_source.dtype == np.float32
    assert record.style == -1


def test_images_are_rgb_and_survive_encoding(tmp_path):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((9, 9, 3), (0, 0, 255), np.uint8))
    image = cutting.read_image(tmp_path / "red.png", "here")
    np.testing.assert_array_equal(image, np.full((9, 9, 3), (255, 0, 0), np.uint8))
    smooth = blob(64, 64, (30, 30), 9.0) // 2 + np.array([0, 40, 90], np.uint8)
    assert np.abs(decode_image(encode_image(smooth)).astype(int) - smooth).mean() < 1.0


def test_truncated_images_are_noticed(tmp_path):
    write_photo(tmp_path / "a.jpg")
    write_photo(tmp_path / "a.png")
    jpeg, png = (tmp_path / "a.jpg").read_bytes(), (tmp_path / "a.png").read_bytes()
    # A preview picture in the header, as cameras write it, whose end mark must not be taken for the photo's.
    preview = b"\xff\xe1" + (2 + len(jpeg)).to_bytes(2, "big") + jpeg
    with_preview = jpeg[:2] + preview + jpeg[2:]
    for data in (jpeg, png, with_preview, jpeg + b"trailing bytes of a camera"):
        assert not photo_decoding.is_truncated(data)
    for data in (jpeg, png, with_preview):
        for kept in (0.9, 0.99):
            assert photo_decoding.is_truncated(data[: int(len(data) * kept)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box": (30, 20, 30, 49)}, "box .* has zero size"),
        ({"box": (30, 49, 60, 20)}, "box .* has zero size"),
        ({"points": ring(5, (300.0, 35.0)), "box": (285, 20, 315, 50)}, "wholly outside its image"),
        ({"box": (300, 20, 330, 50)}, "box .* lies far from the points"),
        ({"box": (0, 0, 5000, 5000)}, "far larger than its image"),
    ],
)
def test_bad_boxes_and_points_name_file_and_line(tmp_path, change, message):
    write_photo(tmp_path / "a.jpg")
    with pytest.raises(BadFaceError, match=rf"list.txt, line 3: .*{message}"):
        cutting.make_record(label_of(tmp_path / "a.jpg", **change), 64, 2.0)


@pytest.mark.parametrize(("kept", "message"), [(None, "is missing"), (0.5, "is truncated"), (0, "not a readable")])
def test_bad_images_name_file_and_line(tmp_path, kept, message):
    path = tmp_path / "a.jpg"
    if kept is not None:
        write_photo(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(BadFaceError, match=rf"list.txt, line 3: .*a\.jpg.*{message}"):
        cutting.make_record(label_of(path), 64, 2.0)


@pytest.mark.parametrize("token", ["nan", "inf", "12,5", ""])
def test_numbers_must_be_finite(token):
    with pytest.raises(BadFaceError, match=r"list.txt, line 3: value 2 is"):
        cutting.parse_numbers(["1.5", token], "list.txt, line 3")


@pytest.mark.parametrize("mark", [(-1.0, -1.0), (0.0, 0.0)])
def test_formats_without_hidden_points_take_no_marks_for_places(mark: tuple[float, float]):
    points = np.array([[3.0, 4.0], mark, [0.0, 5.0]])
    with pytest.raises(BadFaceError, match=r"list.txt, line 3: point 1 is .* --hidden reads such points"):
        cutting.check_all_are_places(points, "list.txt, line 3")
    np.testing.assert_array_equal(cutting.check_all_are_places(points[[0, 2]], "x"), points[[0, 2]])
