"""Faces in videos: followed, lost and found again, smoothed; and the files."""

import json
import pathlib

import cv2
import numpy as np
import pytest

from jaxlm import predict
from jaxlm.landmarks import photos
from jaxlm.landmarks.schemes import FIVE
from jaxlm.prediction import Face, one_euro, predicting, video
from jaxlm.prediction.face_detectors import overlap
from tiny_landmarker import mean_face_bundle

RATE = 25.0


class Squares:
    """Stands in for a Landmarker: finds bright squares; a face's points are the corners and the centre of its own."""

    calibrations: dict[str, tuple[float, ...]] = {}  # noqa: RUF012

    def __init__(self, confidence: bool = True) -> None:
        self.looks, self.confidence = 0, confidence

    def detect(self, frame: np.ndarray) -> np.ndarray:
        self.looks += 1
        _, _, stats, _ = cv2.connectedComponentsWithStats((frame[:, :, 0] > 127).astype(np.uint8))
        corner, size = stats[1:, :2], stats[1:, 2:4]
        return np.concatenate([corner, corner + size - 1], axis=1).astype(np.float32)

    def predict(self, frame: np.ndarray, boxes: np.ndarray) -> list[Face]:
        squares = self.detect(frame)
        self.looks -= 1
        return [self._face(np.asarray(box), squares) for box in boxes]

    def sees(self, face: Face) -> bool:
        return face.confidence is None or face.confidence.mean() > 0.5

    def _face(self, box: np.ndarray, squares: np.ndarray) -> Face:
        shared = overlap(box, squares)
        found = len(squares) and shared.max() > 0.1
        x1, y1, x2, y2 = squares[shared.argmax()] if found else box
        points = np.float32([[x1, y1], [x2, y1], [(x1 + x2) / 2, (y1 + y2) / 2], [x1, y2], [x2, y2]])
        return Face(box, points, np.full(5, float(found), np.float32) if self.confidence else None, FIVE)


def frame_with(*corners: tuple[int, int], side: int = 20) -> np.ndarray:
    frame = np.zeros((80, 120, 3), np.uint8)
    for x, y in corners:
        frame[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)] = 255
    return frame


def follow(frames: list[np.ndarray], landmarker: Squares, **options) -> list[list[video.Track]]:
    return [tracks for _, tracks in video.track(frames, landmarker, RATE, **options)]


def test_faces_are_followed_by_their_points_and_keep_their_numbers():
    """Two squares that move 4 pixels a frame; the detector looks once a second."""
    squares = Squares()
    frames = [frame_with((5 + 4 * (index % 15), 10), (80 - 4 * (index % 15), 50)) for index in range(15)]
    tracks = follow(frames, squares)
    assert [[one.number for one in found] for found in tracks] == [[0, 1]] * 15
    assert squares.looks == 1
    np.testing.assert_array_equal(tracks[10][0].face.points[0], [45, 10])
    np.testing.assert_allclose(tracks[10][0].face.box, [40, 9, 62, 31], atol=1.1)


def test_faces_that_come_later_are_found_within_a_second():
    frames = [frame_with((5, 10))] * 10 + [frame_with((5, 10), (80, 50))] * 30
    tracks = follow(frames, squares := Squares())
    assert [len(found) for found in tracks] == [1] * 25 + [2] * 15
    assert squares.looks == 2


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
        states.append(one_euro.smooth(states[-1], point, size, rate))
    return np.stack([state.points for state in states])


def test_the_filter_equals_its_formula():
    """From rest at 0 to 10 pixels: speed 250, of which the filter believes a = 1 / (1 + rate / (2 pi))."""
    speed = 250 / (1 + RATE / (2 * np.pi))
    cutoff = one_euro.MIN_CUTOFF + one_euro.BETA * speed / 100
    expected = 10 / (1 + RATE / (2 * np.pi * cutoff))
    result = smoothed(np.float64([[[0, 0]], [[10, 0]]]))
    np.testing.assert_allclose(result[1], [[expected, 0]])


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
    np.testing.assert_allclose(smoothed(7 * points, size=700.0), 7 * smoothed(points, size=100.0))


def test_motion_is_in_sizes_of_the_face():
    """A face of 40 x 10 pixels, 20 by the geometric mean, moves by 3 and 4 pixels, rests, and another one rests."""
    face = np.float64([[0, 0], [40, 0], [20, 5], [0, 10], [40, 10]])
    moved = face + np.float64([3, 4])
    moving = [face, moved, moved]
    assert video.motion([moving]) == pytest.approx(np.sqrt((0.25**2 + 0) / 2))
    assert video.motion([moving, [face, face]]) == pytest.approx(np.sqrt(0.25**2 / 3))
    assert np.isnan(video.motion([[face]]))


def write(file: pathlib.Path, frames: list[np.ndarray]) -> pathlib.Path:
    writer = video.Writer(file, RATE, frames[0].shape)
    for frame in frames:
        writer.write(frame)
    writer.close()
    return writer.file


def test_videos_come_back(tmp_path: pathlib.Path):
    frames = [np.full((48, 64, 3), (value, 100, 30), np.uint8) for value in (0, 80, 160, 240)]
    opened = video.read(write(tmp_path / "a.mp4", frames))
    assert (opened.rate, opened.shape, opened.count) == (RATE, (48, 64, 3), 4)
    for frame, expected in zip(opened.frames, frames, strict=True):
        assert np.abs(frame.astype(int) - expected).max() < 20
    with pytest.raises(OSError, match="could not be written"):
        write(tmp_path / "none" / "a.mp4", frames)


def test_files_that_are_no_video_are_named(tmp_path: pathlib.Path):
    with pytest.raises(photos.PhotoError, match=r"none\.mp4 is missing"):
        video.read(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(photos.PhotoError, match=r"empty\.mp4 is not a readable video"):
        video.read(tmp_path / "empty.mp4")


def test_a_video_without_a_face_is_reported(tmp_path: pathlib.Path):
    file = write(tmp_path / "dark.mp4", [frame_with()] * 2)
    problems: list[str] = []
    entries = predicting.predict_video(file, Squares(), None, tmp_path / "out.mp4", problems.append)
    assert [(entry.frame, entry.faces) for entry in entries] == [(0, []), (1, [])]
    assert problems == [f"{file}: no face is found in it"]


def test_the_command_writes_a_video_and_a_row_for_each_frame(tmp_path: pathlib.Path, capsys):
    weights = mean_face_bundle(tmp_path / "mean.npz")
    file = write(tmp_path / "clip.mp4", [frame_with((20, 20), side=40)] * 3)
    out = tmp_path / "out"
    options = ["--box", "20", "20", "59", "59", "--weights", str(weights), "--out", str(out)]
    assert predict.main([str(file), *options]) == 0
    assert "clip.mp4: 1 face, 3 frames; points move by" in capsys.readouterr().out
    entries = json.loads((out / "predictions.json").read_text())
    assert [(entry["frame"], [face["track"] for face in entry["faces"]]) for entry in entries] == [
        (0, [0]),
        (1, [0]),
        (2, [0]),
    ]
    frames = list(video.read(out / "clip_landmarks.mp4").frames)
    assert len(frames) == 3
    assert np.abs(frames[0].astype(int) - frame_with((20, 20), side=40)).max() > 100
