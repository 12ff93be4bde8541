"""Pictures: what is drawn lies where the points are, and every file is a readable picture."""

import dataclasses
import errno
import os
import pathlib

import cv2
import numpy as np
import pytest

from jaxlm.drawing import pictures
from jaxlm.landmarks import Scheme
from jaxlm.landmarks.schemes import FIVE, WFLW98

GREEN, PINK = (60, 230, 110), (255, 70, 170)


def blank(side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), 100, np.uint8)


def face(side: int = 64) -> np.ndarray:
    return np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]], np.float32) * side


def loose(points: int) -> Scheme:
    """A scheme without edges."""
    return Scheme("loose", tuple(range(points)))


def centroid(changed: np.ndarray) -> np.ndarray:
    """(x, y) of what a drawing changed, weighted by how much."""
    weight = np.abs(changed.astype(float) - 100).sum(-1)  # Whole grey levels along the edge of a small disc.
    rows, columns = np.indices(weight.shape)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("point", [(20.0, 31.0), (20.5, 31.25), (40.75, 10.5)], ids=str)
def test_points_are_drawn_around_pixel_centres_to_a_fraction(point: tuple[float, float]) -> None:
    drawn = pictures.draw_face(blank(), np.array([point]), loose(1))
    np.testing.assert_allclose(centroid(drawn), point, rtol=0, atol=0.15)


def test_drawing_leaves_its_input_alone() -> None:
    image, points = blank(), face()
    drawn = pictures.draw_face(image, points, FIVE)
    assert (image == 100).all()
    assert (drawn != 100).any()
    np.testing.assert_array_equal(points, face())


def test_edges_join_their_points() -> None:
    scheme = Scheme("pair", (0, 1, 2), edges=((0, 1),))
    drawn = pictures.draw_face(blank(), np.array([[10.0, 20.0], [50.0, 20.0], [30.0, 50.0]]), scheme)
    assert (drawn[20, 10:51] != 100).any(-1).all()
    assert (drawn[25:45] == 100).all()


def test_parts_have_colours_of_their_own() -> None:
    drawn = pictures.draw_face(blank(512), 4.0 + 500 * np.random.default_rng(0).random((98, 2)), WFLW98)
    colours = {tuple(colour) for colour in drawn.reshape(-1, 3)[(drawn.reshape(-1, 3) != 100).any(-1)].tolist()}
    assert {(90, 190, 255), (255, 95, 105), (70, 225, 150)} <= colours


def test_truth_is_green_and_prediction_pink() -> None:
    drawn = pictures.draw_face(blank(), np.array([[45.0, 30.0]]), loose(1), truth=np.array([[15.0, 30.0]]))
    assert tuple(drawn[30, 15]) == GREEN
    assert tuple(drawn[30, 45]) == PINK


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e12, -1e12], ids=str)
def test_points_that_cannot_be_drawn_do_not_stop_the_others(bad: float) -> None:
    points = face()
    points[0] = bad
    drawn = pictures.draw_face(blank(), points, FIVE)
    x, y = points[4].round().astype(int)
    assert (drawn[y, x] != 100).any()


@pytest.mark.parametrize(("side", "factor"), [(20, 8), (60, 4), (300, 1)])
def test_small_faces_are_drawn_on_a_larger_picture(side: int, factor: int) -> None:
    """So large that the smallest face has 240 pixels, or the picture 8 million."""
    points = np.array([[10.0, 20.0], [10.0 + side, 20.0]])
    drawn = pictures.draw_faces(blank(320), [points, points * [2.5, 1.0]], loose(2))
    assert drawn.shape == (320 * factor, 320 * factor, 3)


def test_points_stay_in_their_place_on_a_larger_picture() -> None:
    point = np.array([[20.0, 31.25]])
    drawn = pictures.draw_faces(blank(64), [point], loose(1))
    factor = drawn.shape[0] // 64
    assert factor > 1
    np.testing.assert_allclose(centroid(drawn), (point[0] + 0.5) * factor - 0.5, atol=0.2)
    assert (pictures.draw_faces(blank(), [], FIVE) == 100).all()


def test_contact_sheet_scales_points_with_their_images() -> None:
    point = np.array([[[15.5, 7.5]], [[15.5, 23.5]]])
    sheet = pictures.contact_sheet([blank(32)] * 2, point, loose(1), columns=2, side=128)
    assert sheet.shape == (128 + 2 * 4, 2 * 128 + 3 * 4, 3)
    tiles = sheet[4:132, 4:132], sheet[4:132, 136:264]
    np.testing.assert_allclose(centroid(tiles[0]), (63.5, 31.5), atol=0.2)
    np.testing.assert_allclose(centroid(tiles[1]), (63.5, 95.5), atol=0.2)


def test_contact_sheet_fills_rows_and_leaves_the_rest_dark() -> None:
    sheet = pictures.contact_sheet([blank(32)] * 4, np.stack([face(32)] * 4), FIVE, columns=3, side=40)
    assert sheet.shape == (2 * 44 + 4, 3 * 44 + 4, 3)
    assert (sheet[48:, 48:] == 24).all()
    assert (sheet[52:60, 5:40] == 100).any()


def test_saved_images_keep_their_colours(tmp_path: pathlib.Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    pictures.save_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(cv2.cvtColor(cv2.imread(str(tmp_path / "a.png")), cv2.COLOR_BGR2RGB), image)
    with pytest.raises(OSError, match=r"cannot be written: No such file or directory: .*missing/a\.png"):
        pictures.save_image(tmp_path / "missing" / "a.png", image)


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", "gr\u00fc\u00dfe [1]: a.jpg".encode(), b"n" * 247 + b".jpg"])
def test_pictures_have_names_of_all_kinds(tmp_path: pathlib.Path, name: bytes) -> None:
    pictures.save_image(tmp_path / os.fsdecode(name), blank())
    assert [os.fsencode(file.name) for file in tmp_path.iterdir()] == [name]


def test_a_picture_takes_its_name_once_it_is_whole(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full disks write a part of a file; then the one before stays, and no part of the new one."""

    def lose_the_rest(descriptor: int) -> None:
        os.truncate(descriptor, 100)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    pictures.save_image(tmp_path / "a.png", blank())
    before = (tmp_path / "a.png").read_bytes()
    monkeypatch.setattr(os, "fsync", lose_the_rest)
    with pytest.raises(OSError, match="No space left") as caught:
        pictures.save_image(tmp_path / "a.png", blank(32))
    assert caught.value.errno == errno.ENOSPC
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [before]


def test_a_picture_that_is_too_large_for_its_format_is_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match=r"70000 x 1 pixels.*a\.jpg"):
        pictures.save_image(tmp_path / "a.jpg", np.zeros((1, 70000, 3), np.uint8))


def test_an_image_as_a_png_file_keeps_its_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    decoded = cv2.imdecode(np.frombuffer(pictures.encode(".png", image), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), image)


def test_worst_faces_come_first() -> None:
    grey = np.array([60, 120, 180], np.uint8)
    images = [np.full((32, 32, 3), value, np.uint8) for value in grey]
    points = np.stack([face(32)] * 3)
    nme = np.array([0.05, 0.31, 0.12])
    sheet = pictures.worst_faces(images, points + 1, points, nme, FIVE, protocol="test, inter-ocular")
    corners = [sheet[36 + 8, 8 + 228 * column, 0] for column in range(3)]
    np.testing.assert_array_equal(corners, grey[[1, 2, 0]])


def test_points_without_edges_are_large_and_of_different_colours():
    bare = dataclasses.replace(FIVE, edges=(), parts={})
    points = np.array([[20, 20], [80, 20], [50, 50], [30, 80], [70, 80]], np.float32)
    drawn = pictures.draw_face(np.zeros((100, 100, 3), np.uint8), points, bare)
    centres = [tuple(drawn[int(y), int(x)]) for x, y in points]
    assert len(set(centres)) == 5
    assert (drawn.max(-1) > 0).sum() > 5 * 12
