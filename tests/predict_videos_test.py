"""Landmarks of a video: an entry with its time for each frame, the copy with the points, and what is told."""

import contextlib
import csv
import json
import pathlib

import av
import numpy as np
import pytest

from jaxlm import predict
from jaxlm.prediction.files import Entry
from jaxlm.prediction.videos.predicting import VideoPrediction
from jaxlm.prediction.videos.reading import Video
from tiny_landmarker import mean_face_bundle
from tiny_videos import Squares, frame_with, write

MOVING = [frame_with((2 * index, 10), (80 - index, 50)) for index in range(10)]


def entries_of(file: pathlib.Path, out: pathlib.Path, boxes=None) -> tuple[list[Entry], list[str], VideoPrediction]:
    problems: list[str] = []
    prediction = VideoPrediction(file, Squares(), boxes, out, problems.append)
    return list(prediction.entries()), problems, prediction


def test_each_frame_has_an_entry_with_its_time(tmp_path: pathlib.Path):
    times = [0.0, 0.02, 0.1, 0.5, 0.51, 0.6, 1.0, 1.7, 2.0, 9.0]
    entries, problems, prediction = entries_of(write(tmp_path / "a.mkv", MOVING, times), tmp_path / "b.mp4")
    assert ([entry.time for entry in entries], problems) == (times, [])
    assert [entry.frame for entry in entries] == list(range(10))
    assert [[face.track for face in entry.faces] for entry in entries] == [[0, 1]] * 10
    assert (prediction.frames, prediction.faces) == (10, 2)
    assert prediction.summary().startswith(f"{tmp_path / 'a.mkv'}: 2 faces, 10 frames; points move by ")
    assert prediction.summary().endswith(f"-> {tmp_path / 'b.mp4'}")


def test_the_copy_shows_the_points(tmp_path: pathlib.Path):
    """They are drawn in colours, in frames that have none."""
    entries, _, prediction = entries_of(write(tmp_path / "a.mkv", MOVING), tmp_path / "b.mp4")
    with contextlib.closing(Video(prediction.file)) as opened:
        images = [frame.image.astype(int) for frame in opened.frames()]
    for entry, image in zip(entries, images, strict=True):
        for face in entry.faces:
            x, y = face.points[4].round().astype(int)
            assert np.ptp(image[y - 2 : y + 3, x - 2 : x + 3], axis=-1).max() > 40


def test_a_video_of_one_frame_has_no_motion(tmp_path: pathlib.Path):
    entries, problems, prediction = entries_of(write(tmp_path / "a.mkv", MOVING[:1]), tmp_path / "b.mp4")
    assert (len(entries), problems) == (1, [])
    assert prediction.summary() == f"{tmp_path / 'a.mkv'}: 2 faces, 1 frame -> {tmp_path / 'b.mp4'}"


def test_a_video_without_a_face_is_told(tmp_path: pathlib.Path):
    file = write(tmp_path / "dark.mkv", [frame_with()] * 2)
    entries, problems, prediction = entries_of(file, tmp_path / "b.mp4")
    assert [(entry.frame, entry.faces) for entry in entries] == [(0, []), (1, [])]
    assert problems == [f"{file}: no face is found in it"]
    assert prediction.summary() == f"{file}: 0 faces, 2 frames -> {tmp_path / 'b.mp4'}"


@pytest.mark.parametrize("bad", [(500, 10, 519, 29), (30, 10, 20, 29), (np.nan, 1, 2, 3), (0, 0, 1e6, 1e6)])
def test_a_wrong_box_takes_away_no_other_face(tmp_path: pathlib.Path, bad: tuple[float, ...]):
    file = write(tmp_path / "a.mkv", MOVING)
    boxes = [np.float64(bad), np.float64([80, 50, 99, 69])]
    entries, problems, _ = entries_of(file, tmp_path / "b.mp4", boxes)
    assert [len(entry.faces) for entry in entries] == [1] * 10
    np.testing.assert_array_equal(entries[0].faces[0].box, boxes[1])
    (problem,) = problems
    assert problem.startswith(f"{file}: box (")


def test_a_box_whose_face_is_not_followed_is_told(tmp_path: pathlib.Path):
    """Of one face two boxes, one beside a square that leaves the frame, and one without a face."""
    images = [frame_with((2, 10), (-12, 50)), *[frame_with((2, 10))] * 2]
    file = write(tmp_path / "a.mkv", images)
    boxes = [np.float64(box) for box in ([2, 10, 21, 29], [3, 11, 20, 28], [-12, 50, 7, 69], [80, 40, 99, 59])]
    entries, problems, _ = entries_of(file, tmp_path / "b.mp4", boxes)
    assert [len(entry.faces) for entry in entries] == [2, 1, 1]
    outside = "most of its points are outside of the frame, or it is that of another box"
    assert problems == [
        f"{file}: the face in box (3, 11, 20, 28) is not followed: {outside}",
        f"{file}: the face in box (-12, 50, 7, 69) is not followed: {outside}",
        f"{file}: the face in box (80, 40, 99, 59) is not followed: the model is not sure that there is one",
    ]


def test_what_could_be_read_of_a_cut_video_is_kept_and_told(tmp_path: pathlib.Path):
    rng = np.random.default_rng(0)
    images = [frame // 2 + rng.integers(0, 99, frame.shape, np.uint8) for frame in MOVING]
    data = write(tmp_path / "a.mp4", images, movflags="faststart").read_bytes()
    file = tmp_path / "cut.mp4"
    file.write_bytes(data[: len(data) * 7 // 10])
    entries, problems, prediction = entries_of(file, tmp_path / "b.mp4")
    assert 1 <= len(entries) < 10
    assert problems[0].startswith(f"{file}: {len(entries)} of 10 frames could be read: ")
    with av.open(str(prediction.file)) as container:
        assert len(list(container.decode(video=0))) == len(entries)


def test_the_command_writes_the_times(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    weights = mean_face_bundle(tmp_path / "mean.npz")
    times = [0.0, 0.04, 0.2]
    file = write(tmp_path / "clip.webm", [frame_with((20, 20), side=40)] * 3, times, sound="libopus")
    out = tmp_path / "out"
    options = ["--box", "20", "20", "59", "59", "--weights", str(weights), "--out", str(out)]
    assert predict.main([str(file), *options]) == 0
    assert "clip.webm: 1 face, 3 frames; points move by" in capsys.readouterr().out
    entries = json.loads((out / "predictions.json").read_text())
    assert [(entry["frame"], entry["time"], [face["track"] for face in entry["faces"]]) for entry in entries] == [
        (number, time, [0]) for number, time in enumerate(times)
    ]
    with open(out / "predictions.csv") as table:
        assert [float(row["time"]) for row in csv.DictReader(table)] == times
    with av.open(str(out / "clip_landmarks.mp4")) as container:
        assert [frame.time for frame in container.decode(video=0)] == times
        assert len(container.streams.audio) == 1


def test_a_moving_gif_is_a_video_and_a_damaged_video_does_not_end_the_run(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    weights = mean_face_bundle(tmp_path / "mean.npz")
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.gif", [frame_with((20, 20), side=40)] * 3)
    whole = write(folder / "b.avi", [frame_with((20, 20), side=40)] * 40)
    whole.write_bytes(whole.read_bytes()[:-3000])
    (folder / "c.3gp").write_bytes(b"\0\0\0\x18ftyp3gp4")
    options = ["--detector", "whole", "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert predict.main([str(folder), *options, "--least-confidence", "0"]) == 1
    said = capsys.readouterr()
    assert "a.gif: 1 face, 3 frames" in said.out
    assert "of 40 frames could be read" in said.err
    assert "c.3gp is not a readable video" in said.err
    entries = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert {pathlib.Path(entry["file"]).name for entry in entries} == {"a.gif", "b.avi"}
