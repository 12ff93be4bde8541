"""Photos as people have them, and the crops around their faces."""

import pathlib
import struct
import zlib

import cv2
import numpy as np
import pytest

from jaxlm.landmarks import geometry, photos


def picture(height: int = 24, width: int = 32) -> np.ndarray:
    """RGB; no two rows, columns or channels are alike."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([7 * rows, 6 * columns, 3 * (rows + columns)], axis=-1).astype(np.uint8)


def write(file: pathlib.Path, image: np.ndarray, *options: int) -> pathlib.Path:
    """Writes RGB, RGBA or grey pixels."""
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    assert cv2.imwrite(str(file), cv2.cvtColor(image, order[image.shape[2]]) if image.ndim == 3 else image, options)
    return file


def test_lossless_colour_photos_come_back(tmp_path: pathlib.Path):
    np.testing.assert_array_equal(photos.read_photo(write(tmp_path / "a.png", picture())), picture())
    webp = write(tmp_path / "a.webp", picture(), cv2.IMWRITE_WEBP_QUALITY, 101)
    np.testing.assert_array_equal(photos.read_photo(webp), picture())


def test_grey_and_deep_photos_become_rgb(tmp_path: pathlib.Path):
    grey = picture()[:, :, 0]
    np.testing.assert_array_equal(photos.read_photo(write(tmp_path / "grey.png", grey)), np.stack([grey] * 3, axis=-1))
    deep = picture().astype(np.uint16) * 256 + 200
    read = photos.read_photo(write(tmp_path / "deep.png", deep))
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - picture()).max() <= 1


def test_transparent_pixels_show_black(tmp_path: pathlib.Path):
    opacity = np.full((24, 32), 255, np.uint8)
    opacity[:8], opacity[8:16] = 0, 128
    alpha = np.dstack([picture(), opacity])
    expected = picture() * (opacity / 255)[:, :, None]
    for name, image in (("a.png", alpha), ("deep.png", alpha.astype(np.uint16) * 257), ("a.webp", alpha)):
        quality = (cv2.IMWRITE_WEBP_QUALITY, 101) if name == "a.webp" else ()
        read = photos.read_photo(write(tmp_path / name, image, *quality))
        assert read.dtype == np.uint8
        np.testing.assert_allclose(read, expected, atol=1)  # Of 255, in whole numbers.


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_huge_photos_are_read_reduced(tmp_path: pathlib.Path, ending: str, monkeypatch: pytest.MonkeyPatch):
    """A white square stays where it is by the map between pixels of both sizes."""
    image = np.zeros((403, 601, 3), np.uint8)
    image[80:120, 400:440] = 255
    file = write(tmp_path / f"huge.{ending}", image)
    monkeypatch.setattr(photos, "MAX_PIXELS", 20_000)
    reduced, factor = photos.read_reduced(file)
    assert factor == 4
    assert reduced.shape[0] * reduced.shape[1] <= 20_000
    rows, columns = np.nonzero(reduced[:, :, 0] > 127)
    centre = np.asarray([columns.mean(), rows.mean()]) * factor + (factor - 1) / 2
    np.testing.assert_allclose(centre, [419.5, 99.5])


def test_photos_of_usual_size_are_read_as_they_are(tmp_path: pathlib.Path):
    for name in ("a.png", "one.png"):
        image = picture() if name == "a.png" else picture(1, 1)
        reduced, factor = photos.read_reduced(write(tmp_path / name, image))
        assert factor == 1
        np.testing.assert_array_equal(reduced, image)


def test_more_pixels_than_can_be_read_are_refused(tmp_path: pathlib.Path):
    data = bytearray(write(tmp_path / "a.png", picture()).read_bytes())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(photos.PhotoError, match=r"a\.png is not a readable image"):
        photos.read_photo(tmp_path / "a.png")


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_photos_are_turned_upright(tmp_path: pathlib.Path, orientation: int, turns: int):
    file = write(tmp_path / "a.jpg", picture(), cv2.IMWRITE_JPEG_QUALITY, 100)
    plain, data = photos.read_photo(file), file.read_bytes()
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + tag + bytes(4)
    file.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    np.testing.assert_array_equal(photos.read_photo(file), np.rot90(plain, turns))


def test_files_that_are_no_photo_are_named(tmp_path: pathlib.Path):
    whole = write(tmp_path / "a.jpg", picture()).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("not a photo")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name, message in (("cut", "truncated"), ("text", "not a readable image"), ("empty", "not a readable image")):
        with pytest.raises(photos.PhotoError, match=rf"{name}\.jpg is {message}"):
            photos.read_photo(tmp_path / f"{name}.jpg")
    with pytest.raises(photos.PhotoError, match=r"none\.jpg is missing"):
        photos.read_photo(tmp_path / "none.jpg")


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((5, 5, 5, 9), "is empty"),
        ((9, 5, 5, 9), "is empty"),
        ((5, 5, np.nan, 9), "is empty"),
        ((40, 5, 50, 9), "is outside of the photo, which is 32 x 24 pixels"),
        ((-9, -9, -1, -1), "is outside of the photo"),
        ((0, 0, 9000, 9000), "far larger than the photo"),
    ],
)
def test_boxes_that_do_not_fit_are_named(box: tuple, message: str):
    with pytest.raises(photos.PhotoError, match=message):
        photos.check_box(picture(), np.asarray(box, float))


def test_a_box_that_leaves_the_photo_is_fine():
    photos.check_box(picture(), np.asarray([-5.0, -5, 40, 30]))


def test_a_crop_is_cut_around_the_box_and_its_map_says_from_where():
    photo = np.zeros((80, 90, 3), np.uint8)
    photo[41:43, 51:53] = 255  # Around (51.5, 41.5).
    crop, to_crop = photos.cut_crop(photo, np.asarray([40, 30, 59, 49]), size=80, crop=2.0)
    rows, columns = np.nonzero(crop[:, :, 0] > 127)
    expected = geometry.transform(np.float64([[51.5, 41.5]]), to_crop)[0]
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=1e-6)
    np.testing.assert_allclose(to_crop[0, 0], 80 / 40)


def test_a_crop_is_black_outside_of_the_photo():
    crop, _ = photos.cut_crop(np.full((20, 20, 3), 200, np.uint8), np.asarray([10, 0, 29, 19]), size=20, crop=1.0)
    np.testing.assert_array_equal(crop[:, :10], 200)
    np.testing.assert_array_equal(crop[:, 10:], 0)
