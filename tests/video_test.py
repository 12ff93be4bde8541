"""Faces in videos: followed, lost and found again, smoothed."""

import pathlib

import cv2
import numpy as np
import pytest

from jaxlm import Landmarker
from jaxlm.landmarks import geometry, photos
from jaxlm.prediction.videos import one_euro, tracking
from jaxlm.prediction.videos.camera import Camera
from jaxlm.prediction.videos.reading import Frame
from tiny_videos import RATE, Squares, frame_with, write
from tolerances import assert_float32_close, assert_float64_close

ASTRONAUT = pathlib.Path(__file__).parent / "data" / "astronaut.png"


def at_rate(images: list[np.ndarray], rate: float = RATE) -> list[Frame]:
    return [Frame(image, index / rate) for index, image in enumerate(images)]


def follow(frames: list[np.ndarray], landmarker: Squares, **options) -> list[list[tracking.Track]]:
    return [tracks for _, tracks in tracking.track(at_rate(frames), landmarker, **options)]


def test_faces_are_followed_by_their_points_and_keep_their_numbers():
    """Two squares that move 4 pixels a frame; the detector looks once a second."""
    squares = Squares()
    frames = [frame_with((5 + 4 * (index % 15), 10), (80 - 4 * (index % 15), 50)) for index in range(15)]
    tracks = follow(frames, squares)
    assert [[one.number for one in found] for found in tracks] == [[0, 1]] * 15
    assert squares.looks == 1
    np.testing.assert_array_equal(tracks[10][0].face.points[0], [45, 10])
    # Around the points of the frame before, 41 to 60 and 10 to 29, a tenth larger.
    assert_float32_close(tracks[10][0].face.box, [40.05, 9.05, 60.95, 29.95], depth=8)


def test_faces_that_come_later_are_found_within_a_second():
    frames = [frame_with((5, 10))] * 10 + [frame_with((5, 10), (80, 50))] * 30
    tracks = follow(frames, squares := Squares())
    assert [len(found) for found in tracks] == [1] * 25 + [2] * 15
    assert squares.looks == 2


@pytest.mark.parametrize("times", [np.arange(40) / 30, np.cumsum([0.001, 0.099] * 20)])
def test_a_second_is_one_by_the_times_of_the_frames(times: np.ndarray):
    """The second face comes at once; it is found by the first frame at a second, however many came before."""
    images = [frame_with((5, 10)), *[frame_with((5, 10), (80, 50))] * 39]
    frames = [Frame(image, float(time)) for image, time in zip(images, times, strict=True)]
    tracks = [len(found) for _, found in tracking.track(frames, Squares())]
    assert tracks == [2 if time - times[0] > 1 - 1e-9 else 1 for time in times]


@pytest.mark.parametrize("confidence", [True, False])
def test_a_lost_face_is_looked_for_and_gets_a_new_number(confidence: bool):
    """It leaves to the left and comes back elsewhere."""
    squares = Squares(confidence)
    places = [(20, 10), (8, 10), (-4, 10), (-15, 10), (-100, 10), (-100, 10), (60, 40), (62, 40)]
    tracks = follow([frame_with(place) for place in places], squares)
    numbers = [[one.number for one in found] for found in tracks]
    assert numbers[:2] == [[0], [0]]
    assert numbers[4:6] == [[], []]
    assert numbers[6:] == [[numbers[6][0]], [numbers[6][0]]]
    assert numbers[6][0] > 0


def test_given_boxes_are_those_of_the_first_frame():
    tracks = follow([frame_with((5, 10), (80, 50))] * 3, squares := Squares(), boxes=[np.float32([80, 50, 99, 69])])
    assert [len(found) for found in tracks] == [1] * 3
    assert squares.looks == 0
    np.testing.assert_array_equal(tracks[2][0].face.points[0], [80, 50])


def test_an_unsure_model_keeps_given_faces_for_their_frame_and_loses_them_in_the_next():
    """There is no square in the box, so the confidence is 0."""
    frames, box = [frame_with((80, 50))] * 2, np.float32([5, 10, 24, 29])
    first, second = follow(frames, Squares(), boxes=[box])
    np.testing.assert_array_equal(first[0].face.box, box)
    assert second[0].number > first[0].number
    assert [one.face.points[0].tolist() for one in second] == [[80, 50]]


def test_one_face_is_followed_once():
    boxes = [np.float32([5, 10, 24, 29]), np.float32([6, 11, 25, 30]), np.float32([0, 0, 119, 79])]
    assert [len(found) for found in follow([frame_with((5, 10))] * 2, Squares(), boxes=boxes)] == [1, 1]


def smoothed(points: np.ndarray, size: float = 100.0, rate: float = RATE) -> np.ndarray:
    """The filter's points [T, N, 2] for points [T, N, 2]."""
    states = [one_euro.start(points[0])]
    for point in points[1:]:
        states.append(one_euro.smooth(states[-1], point, size, 1 / rate))
    return np.stack([state.points for state in states])


def test_the_filter_equals_its_formula():
    """From rest at 0 to 10 pixels: speed 250, of which the filter believes a = 1 / (1 + rate / (2 pi))."""
    speed = 250 / (1 + RATE / (2 * np.pi))
    cutoff = one_euro.MIN_CUTOFF + one_euro.BETA * speed / 100
    expected = 10 / (1 + RATE / (2 * np.pi * cutoff))
    result = smoothed(np.float64([[[0, 0]], [[10, 0]]]))
    assert_float64_close(result[1], [[expected, 0]], depth=12)


def test_a_frame_that_comes_later_is_smoothed_less():
    """A factor of 1 / (1 + 1 / (2 pi f dt)), with the cut-off f of the speed that the longer step gives."""
    step, points = 0.5, np.float64([[10, 0]])
    speed = 10 / step / (1 + 1 / (2 * np.pi * step))
    cutoff = one_euro.MIN_CUTOFF + one_euro.BETA * speed / 100
    state = one_euro.smooth(one_euro.start(np.zeros((1, 2))), points, 100.0, step)
    assert_float64_close(state.points, [[10 / (1 + 1 / (2 * np.pi * cutoff * step)), 0]], depth=12)


def test_the_filter_takes_jitter_and_leaves_motion():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.5, (200, 68, 2))
    rest = smoothed(100 + noise)
    assert rest[20:].std() < 0.6 * noise.std()
    moving = np.arange(200)[:, None, None] * np.float64([8, 3])
    lag = np.linalg.norm(smoothed(np.broadcast_to(moving, (200, 68, 2)))[50:] - moving[50:], axis=-1)
    assert lag.max() < np.linalg.norm([8, 3])


def test_the_filter_does_the_same_at_any_resolution():
    points = np.random.default_rng(1).normal(0, 3, (20, 5, 2)).cumsum(axis=0)
    # Each of 20 frames starts from the rounding errors of those before.
    assert_float64_close(smoothed(7 * points, size=700.0), 7 * smoothed(points, size=100.0), depth=20 * 12)


def test_motion_is_in_sizes_of_the_face():
    """A face of 40 x 10 pixels, 20 by the geometric mean, moves by 3 and 4 pixels, rests, and another one rests."""
    face = np.float64([[0, 0], [40, 0], [20, 5], [0, 10], [40, 10]])
    moved = face + np.float64([3, 4])
    moving = [face, moved, moved]
    assert tracking.motion([moving]) == pytest.approx(np.sqrt((0.25**2 + 0) / 2))
    assert tracking.motion([moving, [face, face]]) == pytest.approx(np.sqrt(0.25**2 / 3))
    assert np.isnan(tracking.motion([[face]]))


class FakeCapture:
    """A camera of OpenCV that gives three frames, BGR."""

    def __init__(self, number: int) -> None:
        self.left = 4 if number == 0 else 0
        self.released = False

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        if self.left < 0:
            return False, None
        frame = frame_with((50, 30))
        frame[:, :, 1:] = 0
        return True, frame

    def get(self, _: int) -> float:
        return 0.0

    def release(self) -> None:
        self.released = True


def test_a_camera_is_a_video_in_rgb(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    camera = Camera(0)
    frames = list(camera.frames())
    assert [frame.image.shape for frame in frames] == [camera.shape] * 3
    assert frames[0].image[35, 55].tolist() == [0, 0, 255]
    assert (np.diff([frame.time for frame in frames]) > 0).all()
    assert camera.problem == "camera 0 gives no more pictures"
    with pytest.raises(photos.PhotoError, match="camera 7 gives no picture; is it plugged in"):
        Camera(7)


def test_a_landmarker_follows_faces_in_a_file(tmp_path: pathlib.Path):
    """The astronaut, who comes 4 px to the right in every frame, then turns by 20 degrees a frame, to her head."""
    photo = photos.read_photo(ASTRONAUT)
    frames = [np.roll(photo, 4 * step, axis=1) for step in range(3)]
    turns = [geometry.rotation(20.0 * step, np.array([222.0, 136.0])) for step in range(1, 10)]
    frames += [cv2.warpAffine(photo, turn, photo.shape[:2]) for turn in turns]
    file = write(tmp_path / "astronaut.mp4", frames)
    landmarker = Landmarker.load()
    (still,) = landmarker.predict(photo)
    found = list(landmarker.predict_video(file))
    assert [frame.time for frame in found] == pytest.approx([step / RATE for step in range(12)], abs=1e-6)
    assert [[face.track for face in frame.faces] for frame in found] == [[0]] * 12
    eyes = np.linalg.norm(still.points[36] - still.points[45])
    for step, frame in enumerate(found[:3]):
        moved = np.linalg.norm(frame.faces[0].points - still.points - [4 * step, 0], axis=1).mean()
        assert moved < 0.05 * eyes  # The film is coded anew, and points are smoothed over time.
    assert abs(found[-1].faces[0].roll - still.roll - 160) < 25  # The box's roll is that of the frame before.
    assert found[-1].faces[0].to_dict()["track"] == 0
    with pytest.raises(photos.PhotoError, match=r"none\.mp4 is missing"):
        next(landmarker.predict_video("none.mp4"))
