"""The face detector that comes with jaxlm: faces of all sizes and directions, each once."""

import concurrent.futures
import hashlib
import pathlib
import re

import cv2
import numpy as np
import pytest

from jaxlm.landmarks import geometry, photos
from jaxlm.prediction import Landmarker, detectors
from jaxlm.prediction.detectors import blazeface, search
from tolerances import assert_float64_close

ASTRONAUT = photos.read_photo(pathlib.Path(__file__).parent / "data" / "astronaut.png")
FACE = np.array([178, 92, 267, 180, 0])
# An eighth of the face: the network sees it at a fifth of its size, and tiles of the turned photo are other tiles.
NEAR = 11


@pytest.fixture(scope="module")
def find() -> detectors.FaceDetector:
    return detectors.build()


def only(boxes: np.ndarray) -> np.ndarray:
    """The box of the one face that was found."""
    assert len(boxes) == 1
    return boxes[0]


def test_the_file_is_the_one_that_its_page_describes():
    page = pathlib.Path(blazeface.__file__).with_name("blazeface.md").read_text()
    assert hashlib.sha256(blazeface.WEIGHTS).hexdigest() in re.findall("[0-9a-f]{64}", page)


def test_a_face_is_found_where_it_is(find: detectors.FaceDetector):
    box = only(find(ASTRONAUT))
    assert detectors.overlap(FACE, box[None])[0] > 0.6  # A box of another convention.
    assert abs(box[4]) < 15


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_lying_face_is_found_with_its_roll(find: detectors.FaceDetector, turns: int):
    """`rot90` turns counter-clockwise; the box keeps its size, as its sides turn with the face."""
    upright, box = only(find(ASTRONAUT)), only(find(np.ascontiguousarray(np.rot90(ASTRONAUT, turns))))
    last = ASTRONAUT.shape[0] - 1
    turn = geometry.rotation(-90 * turns, np.full(2, last / 2))
    centre = geometry.transform((upright[None, :2] + upright[None, 2:4]) / 2, turn)[0]
    np.testing.assert_allclose((box[:2] + box[2:4]) / 2, centre, rtol=0, atol=NEAR)
    np.testing.assert_allclose(box[2:4] - box[:2], upright[2:4] - upright[:2], rtol=0, atol=NEAR)
    assert abs((box[4] - upright[4] + 90 * turns + 180) % 360 - 180) < 15


@pytest.mark.parametrize("degrees", [-120, -45, 30, 75, 150])
def test_points_turn_with_the_face(degrees: int):
    """By 5 % of the distance of the eyes at most, where the photo is turned about its middle."""
    landmarker = Landmarker.load()
    (upright,) = landmarker.predict(ASTRONAUT)
    turn = geometry.rotation(degrees, np.array([222.0, 136.0]))
    (face,) = landmarker.predict(cv2.warpAffine(ASTRONAUT, turn, (512, 512)))
    eyes = np.linalg.norm(upright.points[36] - upright.points[45])
    distances = np.linalg.norm(face.points - geometry.transform(upright.points.astype(np.float64), turn), axis=1)
    assert distances.mean() < 0.05 * eyes
    assert abs((face.roll - upright.roll - degrees + 180) % 360 - 180) < 15


def on_canvas(side: int, corner: tuple[int, int], size: int = 1200) -> np.ndarray:
    """The astronaut's face, with what is around it, in a grey photo; the face has about 0.4 of `side`."""
    photo = np.full((size, size, 3), 128, np.uint8)
    region = ASTRONAUT[30:250, 112:332]
    x, y = corner
    photo[y : y + side, x : x + side] = cv2.resize(region, (side, side), interpolation=cv2.INTER_AREA)
    return photo


@pytest.mark.parametrize("share", [0.18, 0.13, 0.09])
def test_small_faces_are_found_in_tiles(find: detectors.FaceDetector, share: float):
    side = round(share * 1200 / 0.4)
    corner = (600, 100)
    box = only(find(on_canvas(side, corner)))
    expected = (FACE[:4] - [112, 30, 112, 30]) * side / 220 + np.tile(corner, 2)
    assert detectors.overlap(expected, box[None])[0] > 0.5


def test_the_smallest_faces_are_looked_for_where_they_are_asked_for():
    photo = on_canvas(round(0.025 * 1200 / 0.4), (600, 100))
    expected = (FACE[:4] - [112, 30, 112, 30]) * 75 / 220 + [600, 100, 600, 100]
    default, closer = detectors.build()(photo), only(detectors.build(smallest=0.02)(photo))
    assert not len(default) or abs(default[0, 4]) > 30
    assert detectors.overlap(expected, closer[None])[0] > 0.5
    assert abs(closer[4]) < 20
    for smallest in (0, -0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"smallest face is .* of the photo's longer side, not"):
            detectors.build(smallest=smallest)
    with pytest.raises(ValueError, match="only blazeface looks for faces down to a size"):
        detectors.build("whole", smallest=0.1)


def test_a_large_face_beside_small_ones(find: detectors.FaceDetector):
    """Each once, though a large one may be seen in several tiles."""
    photo = on_canvas(600, (20, 20))
    for number in range(4):
        corner = (700 + 240 * (number % 2), 700 + 240 * (number // 2))
        photo = np.where(on_canvas(240, corner) != 128, on_canvas(240, corner), photo)
    assert len(find(photo)) == 5


def test_where_no_face_is_there_is_none(find: detectors.FaceDetector):
    rng = np.random.default_rng(0)
    assert not len(find(np.zeros((300, 400, 3), np.uint8)))
    assert not len(find(rng.integers(0, 256, (300, 400, 3), np.uint8)))
    assert Landmarker.load().predict(np.full((40, 60, 3), 200, np.uint8)) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 2), (64, 64), (3000, 200)])
def test_photos_of_any_shape_are_looked_at(find: detectors.FaceDetector, shape: tuple[int, int]):
    assert find(np.zeros((*shape, 3), np.uint8)).shape == (0, 5)


@pytest.mark.parametrize(
    ("width", "height", "side"), [(1000, 1000, 600), (1000, 400, 400), (1000, 300, 600), (7, 7, 3)]
)
def test_tiles_cover_the_photo_and_share_a_quarter(width: int, height: int, side: int):
    squares = search.tiles(width, height, side)
    covered = np.zeros((height, width), bool)
    for left, top, across in squares:
        assert across == side
        covered[max(top, 0) : top + side, max(left, 0) : left + side] = True
    assert covered.all()
    for starts in (np.unique(squares[:, 0]), np.unique(squares[:, 1])):
        assert (np.diff(starts) <= 0.75 * side + 1).all()


def test_boxes_of_one_face_become_their_mean():
    """Weighted by the scores, and the rolls 175 and -175 degrees have the mean 180; a part of a face is the face."""
    found = blazeface.Found(
        np.array([[0, 0, 10, 10, 175], [0, 0, 12, 12, -175], [1, 1, 5, 5, 0], [50, 0, 60, 10, 3]], np.float64),
        np.array([0.75, 0.75, 0.9, 0.6]),
    )
    merged = search.merge(blazeface.Found(found.boxes[[0, 1, 3]], found.scores[[0, 1, 3]]))
    assert_float64_close(merged.boxes, [[0, 0, 11, 11, 180], [50, 0, 60, 10, 3]], depth=6)
    np.testing.assert_array_equal(search.merge(found).boxes, found.boxes[[2, 3]])


def test_a_head_is_not_found_upside_down_beside_itself():
    """As at 75 degrees; a face below another one, the right way up, stays."""
    boxes = np.array([[0, 0, 100, 100, 73], [56, -10, 156, 90, -93], [60, 90, 160, 190, 70]], np.float64)
    merged = search.merge(blazeface.Found(boxes, np.array([0.9, 0.7, 0.8])))
    np.testing.assert_array_equal(merged.boxes, boxes[[0, 2]])


def test_threads_find_what_one_finds(find: detectors.FaceDetector):
    images = [on_canvas(100 + 20 * number, (10 * number, 5), size=500) for number in range(12)]
    alone = [find(image) for image in images]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        together = list(threads.map(find, images))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
