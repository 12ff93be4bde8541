"""The 98 points that come with jaxlm: found by name, in photos of several faces, turned ones, and videos."""

import json
import pathlib

import numpy as np
import pytest

from jaxlm import Landmarker, predict
from jaxlm.checkpoints import shipped
from jaxlm.landmarks import WFLW98, geometry, photos
from jaxlm.prediction.videos import tracking
from jaxlm.prediction.videos.reading import Frame

ASTRONAUT = pathlib.Path(__file__).parent / "data" / "astronaut.png"
# Middles of her eyes, tip of her nose and corners of her mouth, by eye.
PLACES = np.float64([[203, 101], [247, 103], [226, 128], [203, 139], [247, 140]])
# A twentieth of her face.
NEAR = 4.0


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return Landmarker.load("wflw98")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return photos.read_photo(ASTRONAUT)


def places_of(points: np.ndarray) -> np.ndarray:
    """The points [5, 2] of `PLACES`, of 98."""
    return np.stack([points[60:68].mean(0), points[68:76].mean(0), points[54], points[76], points[82]])


def test_two_faces_of_a_photo_are_found_and_kept_without_a_confidence(landmarker: Landmarker, photo: np.ndarray):
    wide = np.concatenate([photo, photo], axis=1)
    faces = sorted(landmarker.predict(wide), key=lambda face: face.box[0])
    assert len(faces) == 2
    for face, left in zip(faces, (0, 512), strict=True):
        np.testing.assert_allclose(places_of(face.points), PLACES + np.array([left, 0]), rtol=0, atol=NEAR)
        assert face.confidence is None
        assert landmarker.sees(face)
    face = faces[0]
    assert list(face.named) == list(WFLW98.names)
    assert face.to_dict()["confidence"] is None
    assert (face.draw(wide) != wide).any()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_faces_may_be_turned(landmarker: Landmarker, photo: np.ndarray, quarters: int):
    """np.rot90 turns counterclockwise, and brings (x, y) to (y, 511 - x)."""
    (face,) = landmarker.predict(np.rot90(photo, quarters))
    expected = PLACES
    for _ in range(quarters):
        expected = np.stack([expected[:, 1], 511 - expected[:, 0]], axis=1)
    np.testing.assert_allclose(places_of(face.points), expected, rtol=0, atol=NEAR)
    assert abs((face.roll + 90 * quarters + 180) % 360 - 180) < 20


def test_a_face_is_followed_by_its_points(landmarker: Landmarker, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    """Found once; then its box is made of its points, as rectangles of WFLW lie about them."""
    found, detect = [], landmarker.detect
    monkeypatch.setattr(landmarker, "detect", lambda image: (found.append(1), detect(image))[1])
    frames = [Frame(np.roll(photo, 6 * step, axis=1), 0.04 * step) for step in range(5)]
    tracks = [each for _, each in tracking.track(frames, landmarker)]
    assert [[one.number for one in each] for each in tracks] == [[0]] * 5
    assert len(found) == 1
    for step, (one,) in enumerate(tracks):
        np.testing.assert_allclose(places_of(one.face.points), PLACES + np.array([6 * step, 0]), rtol=0, atol=NEAR)
    box, points = tracks[4][0].face.box, tracks[3][0].face.points.astype(np.float64)
    upright = geometry.transform(points, geometry.rotation(-tracks[4][0].face.roll, np.zeros(2)))
    scales = (box[2:] - box[:2]) / np.ptp(upright, axis=0)
    np.testing.assert_allclose(scales, [0.981, 1.280], rtol=1e-3)  # Of three decimals.


def test_the_command_takes_the_number_of_points(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    assert predict.main([str(ASTRONAUT), "--points", "98", "--out", str(tmp_path / "out")]) == 0
    (face,) = json.loads((tmp_path / "out" / "predictions.json").read_text())[0]["faces"]
    np.testing.assert_allclose(places_of(np.asarray(face["points"])), PLACES, rtol=0, atol=NEAR)
    assert "1 face ->" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--points", "98", "--weights", "mine.npz"], "leave it out with --weights or --workdir"),
        (["--points", "68", "--workdir", "runs/mine"], "leave it out with --weights or --workdir"),
        (["--points", "106"], "106"),
        (["--points", "98", "--least-confidence", "0.5"], "this one does not"),
    ],
)
def test_what_does_not_fit_is_told(
    more: list[str], message: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        predict.main([str(ASTRONAUT), "--out", str(tmp_path / "out"), *more])
    assert message in capsys.readouterr().err


def test_the_card_says_where_the_weights_are_from_and_their_licence(landmarker: Landmarker):
    card, page = landmarker.trained.card, shipped.MODELS["wflw98"].file.with_suffix(".md").read_text()
    assert {"origin", "data", "protocol", "numbers", "boxes", "licence"} < card.keys()
    assert "MIT License" in page
    assert "Permission is hereby granted, free of charge" in page
    assert shipped.MODELS["wflw98"].sha256 in page
    assert landmarker.calibrations.keys() == {"landmarks", "blazeface", "dlib"}
