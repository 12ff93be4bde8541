"""The predict command: points in pixels of the photo, the files it writes, and what it says of bad input."""

import csv
import errno
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

import tiny_videos
from jaxlm import convert, predict
from jaxlm.data_pipelines.sources.coco import Coco
from jaxlm.drawing import pictures
from jaxlm.landmarks import FIVE, IBUG68, photos
from jaxlm.prediction import landmarker, predicting
from jaxlm.prediction.files import Results
from jaxlm.prediction.sources import real_name
from jaxlm.prediction.tables.entries import Entry, FoundFace, write_csv, write_json
from jaxlm.runtime import progress
from tiny_landmarker import bright_spot, brightest, mean_face_bundle, mean_face_in

BOX = (40, 30, 99, 89)
ASTRONAUT = pathlib.Path(__file__).parent / "data" / "astronaut.png"
SPOTS = brightest()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return mean_face_bundle(tmp_path_factory.mktemp("weights") / "mean.npz")


def write(file: pathlib.Path, x: int = 71, y: int = 52) -> pathlib.Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), bright_spot(x, y))
    return file


def document(out: pathlib.Path) -> list[dict[str, Any]]:
    return json.loads((out / "predictions.json").read_text())


def rows(out: pathlib.Path) -> list[dict[str, str]]:
    with open(out / "predictions.csv", newline="") as lines:
        return list(csv.DictReader(lines))


def test_every_face_of_every_photo_is_written_in_pixels_of_the_photo(tmp_path: pathlib.Path):
    files = [write(tmp_path / "a.png", 71, 52), write(tmp_path / "b.jpg", 60, 60)]
    other = np.float64(BOX) + np.float64([5, -7, 5, -7])
    boxes = {files[0]: [np.float64(BOX), other], files[1]: [np.float64(BOX)]}
    assert predicting.predict_files(files, SPOTS, tmp_path / "out", boxes) == []
    first, second = document(tmp_path / "out")
    assert first.keys() == {"file", "faces"}
    assert [first["file"], second["file"]] == [str(file) for file in files]
    assert [face["box"] for face in first["faces"]] == [list(BOX), other.tolist()]
    for face, spot in ((first["faces"][0], (71, 52)), (first["faces"][1], (71, 52)), (second["faces"][0], (60, 60))):
        assert face.keys() == {"box", "roll", "points", "confidence"}
        # Whole pixels of a crop of twice as many as the box has.
        np.testing.assert_allclose(face["points"], np.broadcast_to(spot, (5, 2)), rtol=0, atol=0.3)
        assert len(face["confidence"]) == 5
    table = rows(tmp_path / "out")
    assert [row["face"] for row in table] == ["0", "1", "0"]
    assert [float(table[1][name]) for name in ("box_x1", "x4", "y4", "c4")] == [
        45.0,
        *first["faces"][1]["points"][4],
        first["faces"][1]["confidence"][4],
    ]


def test_results_go_to_a_labelling_tool_and_come_back(
    tmp_path: pathlib.Path, weights: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    photo, out = write(tmp_path / "photos" / "a.png"), tmp_path / "out"
    command = [str(photo), "--box", *map(str, BOX), "--weights", str(weights), "--out", str(out)]
    assert predict.main(command) == 0
    assert not (out / "predictions_coco.json").exists()
    assert predict.main([*command, "--format", "coco"]) == 0  # Of what is there already.
    printed = capsys.readouterr().out
    assert "passed over, whose results are there already" in printed
    assert f"predictions_coco.json: 1 photo, whose names count from {photo.parent}" in printed
    other = write(tmp_path / "photos" / "b.png")
    assert predict.main([str(other), *command[1:]]) == 0  # What is there is kept up to date.
    source = Coco(photo.parent, out / "predictions_coco.json")
    assert source.scheme.edges == IBUG68.edges
    labels = Coco(photo.parent, out / "predictions_coco.json", scheme=IBUG68).read(pytest.fail)["train"]
    assert [label.image for label in labels] == [photo, other]
    for label in labels:
        np.testing.assert_allclose(label.points, mean_face_in(BOX), rtol=0, atol=1e-3)  # Of three decimals.
        assert label.size == (150, 120)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"bbox": [', b'"bbox":  ['), (b'"licenses": []', b'"licenses": [1]'), (b"jaxlm predict", b"ours"), (b"\n", b"")],
)
def test_a_file_that_was_corrected_in_place_stays(
    old: bytes, new: bytes, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    files, out = four_photos(tmp_path), tmp_path / "out"
    coco = out / "predictions_coco.json"
    predicting.predict_files(files[:1], SPOTS, out, coco=True)
    predicting.predict_files(files[1:2], SPOTS, out)
    assert [image["file_name"] for image in json.loads(coco.read_bytes())["images"]] == ["a.png", "b.png"]
    assert "has been changed" not in capsys.readouterr().err
    corrected = coco.read_bytes().replace(old, new)
    assert corrected != coco.read_bytes()
    coco.write_bytes(corrected)
    for asked in (False, True):
        predicting.predict_files(files, SPOTS, out, coco=asked)
        assert coco.read_bytes() == corrected
        assert f"{coco} has been changed since it was written" in capsys.readouterr().err
    assert names(out) == ["a", "b", "c", "d"]
    coco.unlink()
    predicting.predict_files(files, SPOTS, out, coco=True)
    assert len(json.loads(coco.read_bytes())["images"]) == 4


def test_pictures_show_the_points(tmp_path: pathlib.Path, weights: pathlib.Path):
    photo = write(tmp_path / "a.png")
    out = tmp_path / "out"
    assert predict.main([str(photo), "--box", *map(str, BOX), "--weights", str(weights), "--out", str(out)]) == 0
    picture = cv2.imread(str(out / "a_landmarks.jpg"))
    height, width = picture.shape[:2]
    factor = width // 150
    assert (height, width) == (120 * factor, 150 * factor)
    low, high = (mean_face_in(BOX) * factor).min(0), (mean_face_in(BOX) * factor).max(0)
    drawn = np.argwhere(picture.max(axis=2) > 100)[:, ::-1]
    drawn = drawn[np.linalg.norm(drawn - factor * np.array([71.5, 52.5]), axis=1) > 3 * factor]
    # To the radius of a disc.
    np.testing.assert_allclose(drawn.min(0), low, rtol=0, atol=2 * factor)
    np.testing.assert_allclose(drawn.max(0), high, rtol=0, atol=2 * factor)


def test_what_cannot_be_used_is_reported_and_the_rest_goes_on(
    tmp_path: pathlib.Path, weights: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "photos"
    write(folder / "good.png")
    (folder / "broken.jpg").write_text("no photo")
    (folder / "empty.png").write_bytes(b"")
    (folder / "broken.mp4").write_text("no video")
    (folder / "notes.txt").write_text("not taken")
    cv2.imwrite(str(folder / "one.png"), np.zeros((1, 1), np.uint8))
    options = ["--weights", str(weights), "--out", str(tmp_path / "out"), "--detector", "whole"]
    assert predict.main([str(folder), str(folder / "absent.png"), *options]) == 1
    errors = capsys.readouterr().err
    for words in (
        "broken.jpg is not a readable image",
        "empty.png is not a readable image",
        "broken.mp4 is not a readable video",
        "one.png: whole finds no face",
        "absent.png is missing",
    ):
        assert words in errors
    assert "Traceback" not in errors
    assert [(pathlib.Path(entry["file"]).name, len(entry["faces"])) for entry in document(tmp_path / "out")] == [
        ("good.png", 1),
        ("one.png", 0),
    ]
    assert rows(tmp_path / "out")[0]["x67"] != ""


def test_boxes_that_do_not_fit_are_left_out(tmp_path: pathlib.Path):
    file = write(tmp_path / "a.png")
    boxes = {file: [np.zeros(4), np.float64(BOX) + 500, np.float64(BOX)]}
    problems = predicting.predict_files([file], SPOTS, tmp_path / "out", boxes)
    assert ["is empty" in problems[0], "is outside" in problems[1], len(problems)] == [True, True, 2]
    assert len(document(tmp_path / "out")[0]["faces"]) == 1


def test_a_photo_without_a_box_is_told(tmp_path: pathlib.Path):
    file = write(tmp_path / "a.png")
    problems = predicting.predict_files([file], SPOTS, tmp_path / "out", {file: []})
    assert problems == [f"{file}: there is no box for it"]


def test_huge_photos_are_read_reduced_and_points_scaled_back(
    tmp_path: pathlib.Path, weights: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "huge.jpg"
    cv2.imwrite(str(file), np.zeros((800, 1200, 3), np.uint8))
    monkeypatch.setattr(photos, "MAX_PIXELS", 100_000)
    box = (400, 200, 879, 679)
    options = ["--box", *map(str, box), "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert predict.main([str(file), *options]) == 0
    (face,) = document(tmp_path / "out")[0]["faces"]
    np.testing.assert_array_equal(face["box"], box)
    # The box is of whole pixels of the reduced photo, four times as large.
    np.testing.assert_allclose(face["points"], mean_face_in(box), rtol=0, atol=4)
    assert cv2.imread(str(tmp_path / "out" / "huge_landmarks.jpg")).shape[0] < 800


def test_predictions_without_confidence_or_faces(tmp_path: pathlib.Path):
    face = FoundFace(np.float32([1, 2, 3, 4]), np.float32([[1.00049, 2], [3, 4]]), None, track=7)
    entries = [Entry("a.mp4", [face], 3, 0.12), Entry("b.png", [])]
    write_json(tmp_path / "p.json", entries)
    faces = [{"track": 7, "box": [1, 2, 3, 4], "roll": 0, "points": [[1, 2], [3, 4]], "confidence": None}]
    assert json.loads((tmp_path / "p.json").read_text()) == [
        {"file": "a.mp4", "frame": 3, "time": 0.12, "faces": faces},
        {"file": "b.png", "faces": []},
    ]
    write_csv(tmp_path / "p.csv", entries, 2, confidence=False)
    assert (tmp_path / "p.csv").read_text().split() == [
        "file,frame,time,face,box_x1,box_y1,box_x2,box_y2,roll,x0,y0,x1,y1",
        "a.mp4,3,0.12,7,1.0,2.0,3.0,4.0,0.0,1.0,2.0,3.0,4.0",
    ]


def test_the_astronaut_with_the_model_that_comes_with_it(tmp_path: pathlib.Path):
    box = (174, 82, 267, 175)
    assert predict.main([str(ASTRONAUT), "--box", *map(str, box), "--out", str(tmp_path / "out")]) == 0
    ((face,),) = (entry["faces"] for entry in document(tmp_path / "out"))
    assert np.abs(np.mean(face["points"], axis=0) - [224, 125]).max() < 12
    assert (tmp_path / "out" / "astronaut_landmarks.jpg").exists()


def test_the_astronaut_is_found(tmp_path: pathlib.Path, weights: pathlib.Path):
    """By the detector that comes with jaxlm, whose box is that of the face and a tenth of it more or less."""
    assert predict.main([str(ASTRONAUT), "--weights", str(weights), "--out", str(tmp_path)]) == 0
    ((face,),) = (entry["faces"] for entry in document(tmp_path))
    np.testing.assert_allclose(face["box"], [177, 78, 270, 171], rtol=0, atol=9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png", "b.png", "--box", "0", "0", "9", "9"], "--box is for a single photo"),
        (["a.png", "--workdir", "nowhere"], "nowhere: there is no such folder"),
        (["a.png", "--workdir", "."], "no training run here"),
        (["a.png", "--weights", "none.npz"], "none.npz"),
        (
            ["a.png", "--boxes", "none.csv"],
            "none.csv: there is no such table of face boxes; its columns are file, x1, y1, x2, y2",
        ),
        (["a.png", "--detector", "haar"], "no face detector 'haar'; known: blazeface, dlib, yunet:MODEL.onnx or whole"),
    ],
)
def test_wrong_arguments_end_with_an_explanation(arguments: list[str], message: str, tmp_path: pathlib.Path, capsys):
    with pytest.raises(SystemExit, match="1"):
        predict.main([*arguments, "--out", str(tmp_path)])
    assert message in capsys.readouterr().err


def four_photos(folder: pathlib.Path) -> list[pathlib.Path]:
    return [write(folder / f"{name}.png", 60 + number, 52) for number, name in enumerate("abcd")]


def names(out: pathlib.Path) -> list[str]:
    return [pathlib.Path(entry["file"]).stem for entry in document(out)]


def at_call(
    number: int, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch, predictor: landmarker.Landmarker
) -> list[int]:
    """Does something in place of the prediction with that number; gives the list of those that were asked for."""
    calls: list[int] = []
    predict_photo = predictor.predict

    def predict_or_act(photo: np.ndarray, boxes: Any = None) -> list[landmarker.Face]:
        calls.append(len(calls))
        if len(calls) - 1 == number:
            act()
        return predict_photo(photo, boxes)

    monkeypatch.setattr(predictor, "predict", predict_or_act)
    return calls


def at_photo(file: pathlib.Path | None, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Does something in place of the prediction for a photo; several are predicted at once, in any order."""
    calls: list[int] = []
    acts_at = None if file is None else photos.read_photo(file)
    predict_photo = SPOTS.predict

    def predict_or_act(photo: np.ndarray, boxes: Any = None) -> list[landmarker.Face]:
        calls.append(len(calls))
        if acts_at is not None and np.array_equal(photo, acts_at):
            act()
        return predict_photo(photo, boxes)

    monkeypatch.setattr(SPOTS, "predict", predict_or_act)
    return calls


def fail(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_an_error_of_one_photo_leaves_out_that_photo(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    files, out = four_photos(tmp_path), tmp_path / "out"
    at_photo(files[1], fail(RuntimeError("out of memory")), monkeypatch)
    assert predicting.predict_files(files, SPOTS, out) == [f"{files[1]}: RuntimeError: out of memory"]
    assert names(out) == ["a", "c", "d"]
    assert {row["file"] for row in rows(out)} == {str(file) for file in (files[0], files[2], files[3])}
    said = capsys.readouterr()
    assert f"{files[0]}: 1 face -> {out / 'a_landmarks.jpg'}" in said.out
    assert "4 files: 3 done, 1 with errors" in said.out
    assert "b.png: RuntimeError" in said.err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_what_was_found_stays_and_the_same_call_goes_on(
    tmp_path: pathlib.Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
):
    files, out = four_photos(tmp_path), tmp_path / "out"
    with monkeypatch.context() as patch:
        at_photo(files[2], fail(error), patch)
        with pytest.raises(type(error)):
            predicting.predict_files(files, SPOTS, out)
    assert names(out) == ["a", "b"]
    assert len(rows(out)) == 2
    asked = at_photo(None, lambda: None, monkeypatch)
    assert predicting.predict_files(files, SPOTS, out) == []
    assert len(asked) == 2
    assert names(out) == ["a", "b", "c", "d"]
    assert sorted(file.name for file in out.iterdir()) == sorted(
        [f"{name}_landmarks.jpg" for name in "abcd"] + [f"predictions.{ending}" for ending in ("csv", "json", "jsonl")]
    )


def test_photos_are_predicted_at_once_and_written_in_their_order(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """The first photo waits for the second: one at a time, it would wait for ever."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    files, out, second = four_photos(tmp_path), tmp_path / "out", threading.Event()
    at_photo(files[0], lambda: second.wait(60) or pytest.fail("photos are predicted one at a time"), monkeypatch)
    at_photo(files[1], second.set, monkeypatch)
    assert predicting.predict_files(files, SPOTS, out) == []
    assert names(out) == ["a", "b", "c", "d"]


def test_a_picture_that_is_too_large_loses_no_points(tmp_path: pathlib.Path):
    file, out = tmp_path / "wide.png", tmp_path / "out"
    pictures.save_image(file, np.zeros((40, 70_000, 3), np.uint8))
    (problem,) = predicting.predict_files([file], SPOTS, out)
    assert "70000 x 40 pixels" in problem
    assert names(out) == ["wide"]


def test_a_video_that_was_cut_short_is_done_again(
    tmp_path: pathlib.Path, weights: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    frames = [bright_spot(60 + index, 52) for index in range(8)]
    files, out = [write(tmp_path / "a.png"), tiny_videos.write(tmp_path / "clip.mkv", frames)], tmp_path / "out"
    faces = predict.Landmarker.load(weights, detector="whole")
    with monkeypatch.context() as patch:
        at_call(6, fail(KeyboardInterrupt()), patch, faces)
        with pytest.raises(KeyboardInterrupt):
            predicting.predict_files(files, faces, out)
    cut = [entry.get("frame") for entry in document(out)]
    assert cut == [None, *range(len(cut) - 1)]
    assert 2 < len(cut) < 8
    assert not [*out.glob("*.mp4")]
    assert predicting.predict_files(files, faces, out) == []
    assert [entry.get("frame") for entry in document(out)] == [None, *range(8)]
    assert (out / "clip_landmarks.mp4").exists()
    asked = at_call(-1, lambda: None, monkeypatch, faces)
    assert predicting.predict_files(files, faces, out) == []
    assert not asked


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_what_a_video_had_when_it_was_cut_short_stays_until_it_is_done_again(
    tmp_path: pathlib.Path,
    weights: pathlib.Path,
    first: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    clip = tiny_videos.write(tmp_path / "clip.mkv", [bright_spot(60 + index, 52) for index in range(8)])
    before, other, out = [] if first else [write(tmp_path / "a.png")], write(tmp_path / "b.png"), tmp_path / "out"
    faces = predict.Landmarker.load(weights, detector="whole")
    with monkeypatch.context() as patch:
        at_call(5, fail(KeyboardInterrupt()), patch, faces)
        with pytest.raises(KeyboardInterrupt):
            predicting.predict_files([*before, clip], faces, out)
    cut = document(out)
    assert str(clip) in {entry["file"] for entry in cut}
    assert predicting.predict_files([other], faces, out) == []
    assert "it starts anew" not in capsys.readouterr().out
    assert document(out)[: len(cut)] == cut
    assert [entry["file"] for entry in document(out)[len(cut) :]] == [str(other)]
    assert predicting.predict_files([clip], faces, out) == []
    assert [entry["frame"] for entry in document(out) if entry["file"] == str(clip)] == [*range(8)]
    assert len(document(out)) == 8 + 1 + len(before)


def test_sigterm_ends_with_all_that_was_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    files, out = four_photos(tmp_path), tmp_path / "out"
    monkeypatch.setattr(predict.Landmarker, "load", lambda *_, **__: SPOTS)

    def end_after_two() -> None:
        log = out / "predictions.jsonl"
        while not log.exists() or log.read_bytes().count(b'"done"') < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    at_photo(files[2], end_after_two, monkeypatch)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        predict.main([*map(str, files), "--out", str(out)])
    assert signal.getsignal(signal.SIGTERM) is before
    assert names(out) == ["a", "b"]
    assert f"What was found is in {out}" in capsys.readouterr().err


def test_a_killed_process_leaves_what_it_wrote(tmp_path: pathlib.Path):
    """Its last line may be cut off, and it writes no tables."""
    files, out = four_photos(tmp_path), tmp_path / "out"
    predicting.predict_files(files, SPOTS, out)
    whole, log = document(out), out / "predictions.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 2 * 4
    for kept in (*range(len(lines)), *(number + 0.5 for number in range(len(lines)))):
        (out / "predictions.json").unlink()
        half = lines[int(kept)][: len(lines[int(kept)]) // 2] if kept % 1 else b""
        log.write_bytes(b"".join(lines[: int(kept)]) + half)
        assert predicting.predict_files(files, SPOTS, out) == []
        assert document(out) == whole
        assert log.read_bytes().splitlines(keepends=True) == lines


def test_a_mistyped_name_leaves_earlier_results(tmp_path: pathlib.Path):
    out = tmp_path / "out"
    predicting.predict_files(four_photos(tmp_path), SPOTS, out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    for landmarks in (SPOTS, brightest(size=100)):
        (problem,) = predicting.predict_files([tmp_path / "mistyped.png"], landmarks, out)
        assert "mistyped.png is missing" in problem
        assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_other_photos_are_added_and_changed_ones_done_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    files, out = four_photos(tmp_path), tmp_path / "out"
    asked = at_photo(None, lambda: None, monkeypatch)
    predicting.predict_files(files[:2], SPOTS, out)
    picture = (out / "a_landmarks.jpg").read_bytes()
    other = write(tmp_path / "other" / "a.png", 90, 80)
    predicting.predict_files([files[2], other], SPOTS, out)
    assert (out / "a_landmarks.jpg").read_bytes() == picture
    assert (out / "other" / "a_landmarks.jpg").exists()
    assert names(out) == ["a", "b", "c", "a"]
    write(files[0], 80, 70)
    os.utime(files[0], ns=(1, 1))
    assert predicting.predict_files(files, SPOTS, out) == []
    assert len(asked) == 2 + 2 + 2
    # Whole pixels of a crop of twice as many as the box has.
    points = document(out)[0]["faces"][0]["points"]
    np.testing.assert_allclose(points, np.broadcast_to((80, 70), (5, 2)), rtol=0, atol=0.3)
    assert len(document(out)) == 5
    for _ in range(2):  # A box in place of the detector's leaves the other photos alone.
        predicting.predict_files(files[:1], SPOTS, out, {files[0]: [np.float64(BOX) + 5]})
    assert len(asked) == 7
    assert len(document(out)) == 5
    assert document(out)[0]["faces"][0]["box"] == [45, 35, 104, 94]
    monkeypatch.setattr(SPOTS, "least_confidence", 0.5)
    predicting.predict_files(files[1:2], SPOTS, out)
    assert len(asked) == 8


def test_other_settings_start_anew_and_say_so(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    files, out = four_photos(tmp_path), tmp_path / "out"
    predicting.predict_files(files, SPOTS, out)
    assert "it starts anew" not in capsys.readouterr().out
    predicting.predict_files(files[:2], brightest(size=100), out)
    assert f"{out} holds results of another model" in capsys.readouterr().out
    assert names(out) == ["a", "b"]


def test_a_second_process_in_one_folder_is_refused(tmp_path: pathlib.Path):
    settings: dict[str, Any] = {}
    with Results(tmp_path, settings, FIVE), pytest.raises(BlockingIOError, match="take another --out"):  # noqa: SIM117
        with Results(tmp_path, settings, FIVE):
            pass
    assert not (tmp_path / ".predictions.lock").exists()


def test_special_files_that_are_named_are_refused(tmp_path: pathlib.Path):
    files = [tmp_path / "a.jpg", tmp_path / "clip.mp4"]
    for file in files:
        os.mkfifo(file)
    problems = predicting.predict_files([*files, pathlib.Path("/dev/zero")], SPOTS, tmp_path / "out")
    kinds = ["a FIFO", "a FIFO", "a device"]
    assert problems == [
        f"{file} is {kind}, not a photo or video" for file, kind in zip([*files, "/dev/zero"], kinds, strict=True)
    ]


def test_a_damaged_log_is_named(tmp_path: pathlib.Path):
    file = write(tmp_path / "a.png")
    predicting.predict_files([file], SPOTS, tmp_path / "out")
    log = tmp_path / "out" / "predictions.jsonl"
    whole = log.read_text()
    points = whole[whole.index('"points"') : whole.index(', "confidence"')]
    for old, new, why in (
        ('"box"', '"bax"', "missing required field `box`"),
        ('"box": [40.0', '"box": ["40"', r"Expected `float`, got `str` - at `faces\[0\]\.box\[0\]`"),
        ('"box": [40.0', '"box": [NaN', "values that are no numbers"),
        (points, points[: points.rindex(", [")] + "]", "has not the 5 points of the model"),
    ):
        log.write_text(whole.replace(old, new, 1))
        assert log.read_text() != whole
        with pytest.raises(ValueError, match=rf"predictions\.jsonl, line 2 is damaged \(.*{why}.*move it away"):
            predicting.predict_files([file], SPOTS, tmp_path / "out")


def test_a_picture_that_cannot_be_written_loses_no_points(tmp_path: pathlib.Path):
    file = write(tmp_path / "a.png")
    (tmp_path / "out" / "a_landmarks.jpg").mkdir(parents=True)
    (problem,) = predicting.predict_files([file], SPOTS, tmp_path / "out")
    assert "a_landmarks.jpg" in problem
    assert names(tmp_path / "out") == ["a"]


def test_somebodys_own_files_are_not_replaced(tmp_path: pathlib.Path):
    """A folder without predictions holds no results."""
    file, own = write(tmp_path / "a.png"), tmp_path / "a_landmarks.jpg"
    own.write_text("mine")
    for _ in range(2):
        with pytest.raises(FileExistsError, match=r"a_landmarks\.jpg is there, and is no result"):
            predicting.predict_files([file], SPOTS, tmp_path)
        assert own.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", own.name}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("predictions.csv", "my own notes\n"),
        ("predictions.csv", ""),
        ("predictions.csv", "file,x1,y1,x2,y2\na.png,1,2,3,4\n"),
        ("predictions.json", '[{"my": "data"}]'),
        ("predictions.json", '{"file": 1, "faces": []}'),
        ("predictions.json", "not JSON"),
        ("predictions.jsonl", "mine"),
        ("predictions.jsonl", '{"my": "data"}\n'),
    ],
)
def test_somebodys_own_tables_are_not_replaced(
    tmp_path: pathlib.Path, name: str, content: str, monkeypatch: pytest.MonkeyPatch
):
    file, own = write(tmp_path / "a.png"), tmp_path / "out" / name
    own.parent.mkdir()
    own.write_text(content)
    asked = at_photo(None, lambda: None, monkeypatch)
    with pytest.raises(
        (FileExistsError, ValueError), match=rf"{name}( is there, and is no result|, line 1 is damaged)"
    ):
        predicting.predict_files([file], SPOTS, own.parent)
    assert [path.name for path in own.parent.iterdir()] == [name]
    assert own.read_text() == content
    assert not asked


@pytest.mark.parametrize("columns", ["file,frame,face,box_x1,box_y1,box_x2,box_y2,x0,y0\n", None])
def test_tables_of_an_earlier_version_are_replaced(tmp_path: pathlib.Path, columns: str | None):
    file, out = write(tmp_path / "a.png"), tmp_path / "out"
    predicting.predict_files([file], SPOTS, out)
    (out / "predictions.jsonl").unlink()
    if columns:
        (out / "predictions.json").write_text('[{"file": "x.png", "faces": []}]\n')
        (out / "predictions.csv").write_text(columns)
    assert predicting.predict_files([file], SPOTS, out) == []
    assert names(out) == ["a"]
    assert len(rows(out)) == 1


def test_results_that_were_taken_out_of_the_log_are_found_again(tmp_path: pathlib.Path):
    file, out = write(tmp_path / "a.png"), tmp_path / "out"
    predicting.predict_files([file], SPOTS, out)
    whole = (out / "predictions.json").read_bytes()
    lines = (out / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (out / "predictions.jsonl").write_bytes(lines[0] + lines[2])
    predicting.predict_files([file], SPOTS, out)
    assert (out / "predictions.json").read_bytes() == whole


def test_links_in_the_folder_of_results_are_not_followed(tmp_path: pathlib.Path):
    files, out, away = four_photos(tmp_path), tmp_path / "out", tmp_path / "away"
    files.append(write(tmp_path / "other" / "a.png"))
    away.mkdir()
    out.mkdir()
    (out / "other").symlink_to(away)
    (away / "mine.jpg").write_text("mine")
    (out / "b_landmarks.jpg").symlink_to(away / "mine.jpg")
    for _ in range(2):
        problems = predicting.predict_files(files, SPOTS, out)
        assert [line.partition(" is a link")[0] for line in problems] == [
            f"{files[1]}: {out / 'b_landmarks.jpg'}",
            f"{files[4]}: {out / 'other'}",
        ]
        assert names(out) == ["a", "b", "c", "d", "a"]
    assert [file.read_text() for file in away.iterdir()] == ["mine"]


@pytest.mark.parametrize("kind", ["link", "FIFO", "folder"])
@pytest.mark.parametrize(
    "name",
    ["predictions.jsonl", "predictions.json", "predictions.csv", "predictions_coco.json", ".predictions.lock"],
)
def test_what_is_no_file_under_the_name_of_a_result_is_refused_at_once(tmp_path: pathlib.Path, name: str, kind: str):
    out, away = tmp_path / "out", tmp_path / "away"
    out.mkdir()
    away.write_text("mine")
    {"link": lambda file: file.symlink_to(away), "FIFO": os.mkfifo, "folder": pathlib.Path.mkdir}[kind](out / name)
    with pytest.raises(OSError, match=rf"{name} is (a link|no regular file)"):
        predicting.predict_files([write(tmp_path / "a.png")], SPOTS, out)
    assert [file.name for file in out.iterdir()] == [name]
    assert away.read_text() == "mine"


def test_a_picture_is_not_written_to_a_fifo(tmp_path: pathlib.Path):
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "a_landmarks.jpg")
    (problem,) = predicting.predict_files([write(tmp_path / "a.png")], SPOTS, tmp_path / "out")
    assert "a_landmarks.jpg is no regular file" in problem
    assert names(tmp_path / "out") == ["a"]


@pytest.mark.parametrize("broken", [b"no photo", b"", None])
def test_results_of_what_a_file_held_before_go(
    tmp_path: pathlib.Path, broken: bytes | None, capsys: pytest.CaptureFixture[str]
):
    files, out = four_photos(tmp_path), tmp_path / "out"
    predicting.predict_files(files, SPOTS, out)
    files[1].unlink()
    os.mkfifo(files[1]) if broken is None else files[1].write_bytes(broken)
    for _ in range(2):
        assert len(predicting.predict_files(files[1:], SPOTS, out)) == 1
        assert names(out) == ["a", "c", "d"]
        assert not (out / "b_landmarks.jpg").exists()
    assert capsys.readouterr().err.count(f"{files[1]} has changed, so its earlier results are removed") == 1
    files[1].unlink()
    assert len(predicting.predict_files([files[1], files[2]], SPOTS, out)) == 1
    assert names(out) == ["a", "c", "d"]
    write(files[1])
    assert predicting.predict_files(files, SPOTS, out) == []
    assert sorted(names(out)) == ["a", "b", "c", "d"]


def test_the_picture_of_what_a_file_held_before_goes(tmp_path: pathlib.Path):
    """A photo becomes a video, and a photo again."""
    file, out = write(tmp_path / "a.png"), tmp_path / "out"
    still = file.read_bytes()
    for number, moves in enumerate((False, True, False)):
        if moves:
            tiny_videos.write(file, [bright_spot(60 + index, 52) for index in range(3)], kind=".apng")
        else:
            file.write_bytes(still)
        os.utime(file, (number, number))
        predicting.predict_files([file], SPOTS, out)
        assert [path.suffix for path in out.glob("a_landmarks.*")] == [".mp4" if moves else ".jpg"]


def test_results_of_a_file_that_cannot_be_read_now_stay(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    files, out = four_photos(tmp_path), tmp_path / "out"
    predicting.predict_files(files, SPOTS, out)
    (out / "b_landmarks.jpg").unlink()
    at_photo(files[1], fail(MemoryError()), monkeypatch)
    assert len(predicting.predict_files(files, SPOTS, out)) == 1
    assert names(out) == ["a", "b", "c", "d"]


def test_files_of_one_name_in_two_working_directories_stay_apart(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    for number, folder in enumerate(("x", "y", "x", "y")):
        write(tmp_path / folder / "a.png", 60 + 9 * (folder == "y"), 52)
        os.utime(tmp_path / folder / "a.png", (number, number))
        monkeypatch.chdir(tmp_path / folder)
        assert predicting.predict_files([pathlib.Path("a.png")], SPOTS, out) == []
        told = f"a.png: the results hold another file of this name, so this one is called {tmp_path}/y/a.png"
        assert (told in capsys.readouterr().out) == (folder == "y")
    found = {entry["file"]: entry["faces"][0]["points"][0][0] for entry in document(out)}
    assert found == pytest.approx({"a.png": 60, f"{tmp_path}/y/a.png": 69}, abs=0.3)
    assert len(document(out)) == 2


def test_a_killed_call_leaves_no_unfinished_files_to_the_next(tmp_path: pathlib.Path):
    files, out = [write(tmp_path / "x" / "a.png"), write(tmp_path / "y" / "a.png")], tmp_path / "out"
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = [out / f".{int(gone.stdout)}.part", out / "y" / f".a_landmarks.jpg.{int(gone.stdout)}.0123abcd.incomplete"]
    for file in left:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert predicting.predict_files(files, SPOTS, out) == []
    assert not any(file.exists() for file in left)
    assert (out / "y" / "a_landmarks.jpg").exists()


def test_points_that_are_no_numbers_are_no_result(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    file = write(tmp_path / "a.png")
    face = landmarker.Face(np.float32(BOX), np.full((5, 2), np.nan, np.float32), None, SPOTS.scheme)
    monkeypatch.setattr(SPOTS, "predict", lambda *_: [face])
    (problem,) = predicting.predict_files([file], SPOTS, tmp_path / "out")
    assert "points that are no numbers" in problem
    assert document(tmp_path / "out") == []


def test_one_bad_argument_does_not_end_the_others(
    tmp_path: pathlib.Path, weights: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    write(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    arguments = [str(tmp_path / name) for name in ("empty", "none/*.jpg", "a.png", "n" * 300, "none.png")]
    options = ["--detector", "whole", "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert predict.main([*arguments, *options]) == 1
    assert names(tmp_path / "out") == ["a"]
    said = capsys.readouterr().err
    for words in ("empty: there are no photos", "*.jpg: there are no photos", "nnn: File name too long", "is missing"):
        assert words in said
    assert predict.main([str(tmp_path / "empty"), "--out", str(tmp_path / "new")]) == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", [b"caf\xe9.png", "grüße 1:2 [x].png".encode(), b"n" * 246 + b".png", b"a\\xe9\n.png"])
def test_names_of_all_kinds_come_back(tmp_path: pathlib.Path, name: bytes, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / os.fsdecode(name)
    file.write_bytes(cv2.imencode(".png", bright_spot(71, 52))[1].tobytes())
    out = tmp_path / "out"
    for call in range(2):
        assert predicting.predict_files([file], SPOTS, out) == []
        assert "1 passed over" in capsys.readouterr().out or not call
    for shown in (document(out)[0]["file"], rows(out)[0]["file"]):
        assert os.fsencode(real_name(shown)) == os.fsencode(file)
    assert len([*out.glob("*_landmarks.jpg")]) == 1
    assert len([*out.iterdir()]) == 4


def test_names_can_be_shown_on_every_terminal(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, "ascii"))
    progress.say("ü " + os.fsdecode(b"caf\xe9"))
    progress.say("two\nlines \033[31m")
    assert raw.getvalue().splitlines() == [rb"\xfc caf\udce9", rb"two\x0alines \x1b[31m"]


def test_a_limit_outside_of_0_to_1_is_refused(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    for value in ("1.5", "-0.1", "nan"):
        with pytest.raises(SystemExit, match="1"):
            predict.main([str(ASTRONAUT), f"--least-confidence={value}", "--out", str(tmp_path)])
        assert f"0 to 1, not {value}" in capsys.readouterr().err


RELEASED = ("98_points_global_reinit.pth.tar", "98_points_global_regress.pth.tar")


def test_the_released_weights_predict_the_released_points(shared_data: pathlib.Path, tmp_path: pathlib.Path):
    pytest.importorskip("torch")
    weights = tmp_path / "gsr.npz"
    files = [str(shared_data / "dpr" / name) for name in RELEASED]
    assert convert.main([*files, "--model", "dpr_gsr", "--out", str(weights)]) == 0
    with np.load(shared_data / "dpr" / "gsr_reference.npz") as archive:
        reference = {
            name.removesuffix("_0"): (archive[name], archive[f"{name}/rect"]) for name in archive if "/" not in name
        }
    photo = next(file for file in (shared_data / "wflw").rglob("13_Interview*.jpg"))
    expected, rect = reference[photo.stem]
    options = ["--weights", str(weights), "--out", str(tmp_path / "out")]
    assert predict.main([str(photo), "--box", *map(str, rect), *options]) == 0
    points = np.asarray(document(tmp_path / "out")[0]["faces"][0]["points"])
    assert np.linalg.norm(points - expected, axis=-1).max() < 0.5
