"""Photos as people have them, and the crops around their faces."""

import io
import os
import pathlib
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from jaxlm.landmarks import geometry, photo_decoding, photos
from tolerances import assert_float64_close

ASTRONAUT = pathlib.Path(__file__).parent / "data" / "astronaut.png"


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
    np.testing.assert_array_equal(centre, [419.5, 99.5])


def test_photos_of_usual_size_are_read_as_they_are(tmp_path: pathlib.Path):
    for name in ("a.png", "one.png"):
        image = picture() if name == "a.png" else picture(1, 1)
        reduced, factor = photos.read_reduced(write(tmp_path / name, image))
        assert factor == 1
        np.testing.assert_array_equal(reduced, image)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # Pillow's, before we refuse.
@pytest.mark.parametrize("side", [15_000, 60_000])
def test_more_pixels_than_memory_has_room_for_are_refused(tmp_path: pathlib.Path, side: int):
    """The header alone says so; nothing is decoded."""
    data = bytearray(write(tmp_path / "a.png", picture()).read_bytes())
    data[16:24] = struct.pack(">II", side, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    for read in (photos.read_photo, photos.read_reduced):
        with pytest.raises(photos.PhotoError, match=r"a\.png is not a readable image: .*pixels"):
            read(tmp_path / "a.png")


def test_jpeg_files_may_have_more_pixels_where_they_are_reduced(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    file = write(tmp_path / "a.jpg", picture(64, 64))
    for name, limit in (("MOST_PIXELS", 1000), ("MOST_PIXELS_REDUCED", 5000)):
        monkeypatch.setattr(photo_decoding, name, limit)
    monkeypatch.setattr(photos, "MAX_PIXELS", 1500)
    assert photos.read_reduced(file)[1] == 2
    with pytest.raises(photos.PhotoError, match="64 x 64 pixels"):
        photos.read_photo(file)


# Rows and columns of the upright photo from those of the stored one, by the EXIF orientation.
UPRIGHT = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: np.swapaxes(image, 0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.swapaxes(image[::-1, ::-1], 0, 1),
    8: lambda image: np.rot90(image),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {"quality": 100}),
        ("PNG", "RGBA", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("TIFF", "RGB", {}),
        ("AVIF", "RGB", {"quality": 100}),
    ],
)
def test_photos_are_turned_upright(kind: str, mode: str, options: dict, orientation: int):
    exif, coded = Image.Exif(), [io.BytesIO(), io.BytesIO()]
    image = Image.fromarray(picture()).convert(mode)
    image.save(coded[0], kind, **options)
    exif[0x0112] = orientation
    image.save(coded[1], kind, exif=exif, **options)
    plain, turned = (photos.decode_photo(one.getvalue(), kind) for one in coded)
    assert np.abs(plain.astype(int) - picture()).max() < 16  # The codings that lose something.
    np.testing.assert_array_equal(turned, UPRIGHT[orientation](plain))
    assert photo_decoding.upright_size(coded[1].getvalue(), kind) == turned.shape[1::-1]
    assert turned.flags.c_contiguous
    assert turned.flags.writeable


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("with_exif", [False, True])
def test_xmp_data_do_not_turn_photos(kind: str, with_exif: bool):
    xmp, exif, coded = b'<x:xmpmeta><rdf:D tiff:Orientation="6"/></x:xmpmeta>', Image.Exif(), io.BytesIO()
    exif[0x010F] = "maker"
    options = {"tiffinfo": {700: xmp}} if kind == "TIFF" else {"xmp": xmp}
    if kind == "PNG":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    if with_exif and kind != "TIFF":
        options["exif"] = exif
    Image.fromarray(picture()).save(coded, kind, **options)
    assert Image.open(io.BytesIO(coded.getvalue())).getexif().get(0x0112) == 6
    assert photos.decode_photo(coded.getvalue(), kind).shape == picture().shape
    assert photo_decoding.upright_size(coded.getvalue(), kind) == picture().shape[1::-1]


@pytest.mark.parametrize(("highest", "told"), [(255, True), (4095, True), (4096, False), (65535, False)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_values_of_fewer_bits_in_a_16_bit_photo_are_told(kind: str, highest: int, told: bool, caplog):
    coded = io.BytesIO()
    Image.fromarray(np.uint16([[0, 1], [2, highest]])).save(coded, kind)
    assert photos.decode_photo(coded.getvalue(), "a.png").max() == highest >> 8
    warning = f"a.png has 16-bit values up to {highest}; it is read as 16-bit and will be dark"
    assert [record.message for record in caplog.records] == [warning] * told


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("sampling", ["444", "440", "422", "420", "411"])
def test_jpeg_pixels_are_those_of_opencv(sampling: str, progressive: int):
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")]
    options += [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    coded = cv2.imencode(".jpg", cv2.imread(str(ASTRONAUT))[:301, :211], options)[1]
    expected = cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    # Releases of libjpeg-turbo may round differently; those of these wheels give equal bits.
    assert np.abs(photos.decode_photo(coded.tobytes(), "a.jpg").astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("kind", "mode", "tolerance"),
    [("TIFF", "CMYK", 0), ("JPEG", "CMYK", 6), ("GIF", "P", 0), ("PNG", "1", 0), ("PNG", "LA", 0), ("TIFF", "I;16", 0)],
)
def test_colours_of_every_kind_become_rgb(kind: str, mode: str, tolerance: int):
    coded, expected = io.BytesIO(), Image.fromarray(picture())
    if mode == "I;16":
        deep = picture()[:, :, 0].astype(np.uint16) * 256 + 255
        image, expected = Image.fromarray(deep), Image.fromarray(picture()[:, :, 0])
    else:
        image = expected = expected.convert(mode)
    image.save(coded, kind, **({"quality": 100} if kind == "JPEG" else {}))
    read = photos.decode_photo(coded.getvalue(), "a")
    assert np.abs(read.astype(int) - np.asarray(expected.convert("RGB"))).max() <= tolerance


def test_transparent_colours_of_a_palette_show_black():
    image = Image.fromarray(np.uint8([[0, 1], [2, 1]]))
    image.putpalette([200, 10, 20, 30, 240, 50, 60, 70, 250])
    coded = io.BytesIO()
    image.save(coded, "PNG", transparency=1)
    read = photos.decode_photo(coded.getvalue(), "a.png")
    np.testing.assert_array_equal(read, [[[200, 10, 20], [0, 0, 0]], [[60, 70, 250], [0, 0, 0]]])


@pytest.mark.parametrize(("kind", "word"), [("GIF", "frames"), ("WEBP", "frames"), ("TIFF", "pages")])
def test_the_first_of_several_frames_is_read_and_told(kind: str, word: str, caplog: pytest.LogCaptureFixture):
    first, coded = Image.fromarray(np.full((8, 9, 3), 255, np.uint8)), io.BytesIO()
    first.save(coded, kind, save_all=True, append_images=[Image.fromarray(np.zeros((8, 9, 3), np.uint8))])
    np.testing.assert_array_equal(photos.decode_photo(coded.getvalue(), "a.gif"), np.asarray(first))
    assert f"a.gif holds several {word}; the first one is read" in caplog.text


def test_heic_is_read_or_its_package_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    coded = io.BytesIO()
    Image.fromarray(picture()).save(coded, "HEIF", quality=-1)
    read = photos.decode_photo(coded.getvalue(), "a.heic")
    assert np.abs(read.astype(int) - picture()).max() <= 8  # Lossless, but in YCbCr of 8 bits with half the colours.
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(photos.PhotoError, match=r'a\.heic is a HEIC picture; .*pip install "jaxlm\[heif\]"'):
        photos.decode_photo(coded.getvalue(), "a.heic")


def test_previews_in_raw_files_and_pixels_without_a_scale_are_refused():
    raw, floats = io.BytesIO(), io.BytesIO()
    Image.fromarray(picture()).save(raw, "TIFF", tiffinfo={254: 1})
    Image.fromarray(np.ones((4, 4), np.float32)).save(floats, "TIFF")
    for coded, message in ((raw, "is a camera's raw file"), (floats, "pixels of float32")):
        with pytest.raises(photos.PhotoError, match=f"a.tif .*{message}"):
            photos.decode_photo(coded.getvalue(), "a.tif")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM", "JPEG2000"])
def test_truncated_files_are_refused(kind: str):
    coded = io.BytesIO()
    Image.open(ASTRONAUT).crop((0, 0, 64, 64)).save(coded, kind)
    data = coded.getvalue()
    for kept in (0.3, 0.6, 0.9, 0.98):
        with pytest.raises(photos.PhotoError, match=r"cut is|image cut"):
            photos.decode_photo(data[: int(kept * len(data))], "cut")


def test_a_download_that_was_broken_off_is_truncated():
    """Its space was reserved, so zeros follow; Pillow and OpenCV decode them to grey."""
    data = cv2.imencode(".jpg", picture(64, 64))[1].tobytes()
    with pytest.raises(photos.PhotoError, match="truncated"):
        photos.decode_photo(data[: len(data) // 2] + bytes(len(data)), "a.jpg")


def test_what_is_no_file_is_refused_without_being_opened(tmp_path: pathlib.Path):
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for path, kind in (
        (tmp_path / "fifo.jpg", "a FIFO"),
        (tmp_path / "folder.jpg", "a folder"),
        ("/dev/zero", "a dev"),
    ):
        with pytest.raises(photos.PhotoError, match=f"is {kind}"):
            photos.read_photo(path)


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
    assert_float64_close([columns.mean(), rows.mean()], expected, depth=6)
    assert to_crop[0, 0] == 80 / 40


@pytest.mark.parametrize(("roll", "right", "down"), [(90, 4, -4), (-90, -4, 4), (180, -4, -4), (45, 4 * 2**0.5, 0)])
def test_a_turned_crop_shows_the_box_upright(roll: float, right: float, down: float):
    """A spot of 12 x 12 px, 8 px to the right of the box's centre and 8 below, at half its size."""
    photo = np.zeros((80, 90, 3), np.uint8)
    photo[42:54, 52:64] = 255
    crop, to_crop = photos.cut_crop(photo, np.asarray([20, 10, 79, 69]), size=80, crop=8 / 3, roll=roll)
    rows, columns = np.nonzero(crop[:, :, 0] > 127)
    expected = geometry.transform(np.float64([[57.5, 47.5]]), to_crop)[0]
    assert_float64_close(expected, [39.5 + right, 39.5 + down], depth=20, scale=90)
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, rtol=0, atol=0.5)  # Half a pixel of the crop.
    assert_float64_close(np.linalg.det(to_crop[:, :2]), 0.25, depth=20)


def test_a_crop_is_black_outside_of_the_photo():
    crop, _ = photos.cut_crop(np.full((20, 20, 3), 200, np.uint8), np.asarray([10, 0, 29, 19]), size=20, crop=1.0)
    np.testing.assert_array_equal(crop[:, :10], 200)
    np.testing.assert_array_equal(crop[:, 10:], 0)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.avif", bytes(5000), "its start holds nothing but zeros"),
        ("a.heic", bytes(5000), "its start holds nothing but zeros"),
        ("b.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(5000), "it is damaged, or coded in a way"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(99) + b"IEND", "it is damaged, or coded in a way"),
        ("a.jpg", b"<html><title>Not found</title></html>", "it is a web page"),
        ("b.jpg", "grüße".encode(), "it is a text file"),
        ("c.jpg", b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS"),
        ("d.jpg", b"\x01\x02\x03\x04" * 9, "it is of none of the formats that are read"),
        ("e.jpg", "grüße".encode("latin-1") * 9, "it is of none of the formats that are read"),
    ],
)
def test_what_is_no_photo_is_named_by_what_it_is(tmp_path: pathlib.Path, name: str, data: bytes, why: str):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(photos.PhotoError, match=f"{name} is not a readable image: {why}"):
        photos.read_photo(tmp_path / name)
