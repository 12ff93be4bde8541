"""Confidences that mean something: maps worked out by hand, how they are judged, and what is written of doubts."""

import csv
import dataclasses
import json
import pathlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.confidence import halves, pool_adjacent_violators
from jaxlm.checkpoints import ConfidenceMap
from jaxlm.checkpoints.confidence import Line, MappedReader
from jaxlm.drawing import confidence_plots, pictures
from jaxlm.landmarks import Scheme
from jaxlm.landmarks.schemes import FIVE, IBUG68
from jaxlm.prediction import reliability
from jaxlm.prediction.doubts import Doubts
from jaxlm.prediction.face import Face
from jaxlm.prediction.tables.entries import Entry, FoundFace, check_row, from_json, to_json, write_csv
from jaxlm.studies.report_confidence import confidences
from tolerances import assert_float32_close

SQUARED = ConfidenceMap(0.05, "inter_ocular", (Line(2.0, 0.0), Line(0.0, np.log(3.0))), (Line(-1.0, np.log(0.02)),) * 2)
"""Odds of the first point are squared, those of the second 3 to 1; the error is 2 % by even odds, and falls by them."""


def test_a_map_turns_scores_into_probabilities_and_these_into_errors():
    confidence = SQUARED.confidence(np.float32([[0.5, 0.1], [0.75, 0.9]]))
    assert_float32_close(confidence, [[0.5, 0.75], [0.9, 0.75]], depth=8)
    assert_float32_close(SQUARED.expected_error(np.float32([0.5, 0.75])), [0.02, 0.02 / 3], depth=8)


def test_scores_of_0_and_1_stay_finite():
    confidence = np.asarray(SQUARED.confidence(np.float32([[0, 0], [1, 1]])))
    assert np.isfinite(SQUARED.expected_error(confidence)).all()


def test_the_distance_is_that_of_the_eye_corners_or_of_the_box():
    points = np.arange(10.0).reshape(5, 2) * [3, 4]
    assert FIVE.eye_corners is None
    assert dataclasses.replace(SQUARED, normaliser="box").distance(points, FIVE) == pytest.approx((24 * 32) ** 0.5)
    points = np.zeros((68, 2))
    points[45] = [3, 4]
    assert SQUARED.distance(points, IBUG68) == 5


def test_a_reader_gives_what_confidences_mean_where_there_are_any():
    raw = np.float32([[0.75, 0.5]])
    reader: Any = SimpleNamespace(points=lambda _: "points", confidence=lambda raw: raw, degenerate=lambda _: None)
    mapped = MappedReader(reader, SQUARED)
    assert_float32_close(mapped.confidence(raw), [[0.9, 0.75]], depth=8)
    assert (mapped.points(raw), mapped.confidence(None), mapped.degenerate(raw)) == ("points", None, None)


def test_a_fit_finds_the_shares_and_the_mean_errors_that_it_was_made_of():
    """2,000 faces of two scores: half, and three quarters, of their points are near; 4 % off in mean, and 1 %."""
    raw = np.repeat(np.float32([[0.5], [0.75]]), 2000, axis=0) * np.ones((1, 68), np.float32)
    errors = np.concatenate([np.tile([0.06, 0.02], 1000), np.tile([0.0, 0.06, 0.0, 0.0], 500)])[:, None] * np.ones(68)
    fitted = reliability.fit_confidence(raw, errors, IBUG68)
    confidence = np.asarray(fitted.confidence(raw[[0, -1]]))
    # The prior has the weight of a few points among 12,000 and more of a part; numbers are kept to 4 decimals.
    np.testing.assert_allclose(confidence, [[0.5] * 68, [0.75] * 68], rtol=0, atol=1e-3)
    expected = fitted.expected_error(confidence)
    np.testing.assert_allclose(expected, [[0.04] * 68, [0.015] * 68], rtol=0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_confidence_never_falls_with_the_score_nor_the_error_rises(sign: int):
    """Where the surest points are the worst, nothing is said but their shares."""
    raw = np.random.default_rng(0).uniform(0.3, 0.99, (100, 68)).astype(np.float32)
    errors = 0.05 + sign * 0.08 * (0.65 - raw)
    fitted = reliability.fit_confidence(raw, errors, IBUG68)
    scores = np.linspace(0, 1, 50, dtype=np.float32)[:, None] * np.ones((1, 68), np.float32)
    confidence = np.asarray(fitted.confidence(scores))
    assert (np.diff(confidence, axis=0) >= 0).all()
    assert (np.diff(fitted.expected_error(confidence), axis=0) <= 0).all()
    assert (confidence[-1] > confidence[0]).all() == (sign == 1)


def test_the_calibration_error_is_the_mean_gap_of_the_bins():
    """Of two bins one says 0.1 where a half is near, the other 0.9 where all are: (0.4 + 0.1) / 2."""
    confidence, near = np.array([0.9, 0.1, 0.9, 0.1, 0.3]), np.array([1, 0, 1, 1, np.nan])
    assert reliability.calibration_error(confidence, near, bins=2) == pytest.approx(0.25)
    bins = reliability.reliability_bins(confidence, near, bins=2)
    np.testing.assert_allclose(bins, [[0.1, 0.9], [0.5, 1.0], [2, 2]])


def test_points_without_a_place_are_neither_near_nor_off():
    np.testing.assert_array_equal(reliability.near_points(np.array([0.05, 0.051, np.nan])), [1, 0, np.nan])


def test_risk_is_the_mean_error_of_the_surest():
    coverage, risk = reliability.risk_by_coverage(np.array([0.9, 0.2, 0.5, 0.7]), np.array([1.0, 6.0, 2.0, np.nan]))
    np.testing.assert_allclose(coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(risk, [1.0, 1.5, 3.0])


def test_adjacent_violators_are_pooled():
    np.testing.assert_allclose(pool_adjacent_violators(np.array([1.0, 3.0, 2.0, 4.0])), [1, 2.5, 2.5, 4])
    np.testing.assert_allclose(pool_adjacent_violators(np.array([3.0, 2.0, 1.0])), [2, 2, 2])


def test_faces_of_a_photo_are_in_one_half():
    groups = np.array(["a", "b", "a", "c", "d", "b"])
    one, other = halves(groups, draw=0)
    assert sorted([*one, *other]) == list(range(6))
    assert not {*groups[one]} & {*groups[other]}


def found(confidence: list[float], probable: bool = True) -> FoundFace:
    error = np.array([1.5, 0.5]) if probable else None
    points = np.array([[1.0, 2.0], [3.0, 4.0]])
    return FoundFace(np.arange(4.0), points, np.array(confidence), expected_error=error)


def test_doubts_stand_in_the_tables(tmp_path: pathlib.Path):
    entry = Entry("a.png", [found([0.4, 0.9]), found([0.6, 0.9])])
    told = to_json(entry)
    assert [(face["unsure"], face["unsure_points"]) for face in told["faces"]] == [(True, [0]), (False, [])]
    check_row(told, 2)
    np.testing.assert_array_equal(from_json(told).faces[0].expected_error, [1.5, 0.5])
    assert json.loads(json.dumps(told)) == told
    write_csv(tmp_path / "p.csv", [entry], 2, confidence=True, probability=True)
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ("c0", "c1", "e0", "e1", "unsure", "unsure_points")
    assert [rows[0][name] for name in columns] == ["0.4", "0.9", "1.5", "0.5", "1", "1"]
    assert [rows[1][name] for name in columns] == ["0.6", "0.9", "1.5", "0.5", "0", "0"]


def test_an_expected_error_of_too_few_points_is_refused():
    told = to_json(Entry("a.png", [found([0.4, 0.9])]))
    told["faces"][0]["expected_error"] = [1.0]
    with pytest.raises(ValueError, match="has not the 2 points"):
        check_row(told, 2)


def test_raw_scores_raise_no_doubts():
    (face,) = to_json(Entry("a.png", [found([0.4, 0.9], probable=False)]))["faces"]
    assert face.keys() == {"box", "roll", "points", "confidence"}
    assert found([0.4, 0.9], probable=False).probabilities is None


def test_doubts_are_counted_for_the_summary():
    doubts = Doubts()
    doubts.count([np.array([0.4, 0.9]), np.array([0.9, 0.9]), None])
    assert doubts.sentence() == "Not sure of 1 of 2 faces and of 1 of 4 points, which are hollow in the pictures"
    sure = Doubts()
    sure.count([np.array([0.8, 0.9])])
    assert sure.sentence() is None


def test_a_face_says_what_its_confidence_is():
    face = Face(np.arange(4.0), np.zeros((5, 2)), np.full(5, 0.4, np.float32), FIVE)
    assert (face.unsure, face.to_dict()["confidence_is"], face.to_dict()["expected_error"]) == (None, "raw", None)
    assert repr(face).endswith("raw confidence 0.40)")
    known = dataclasses.replace(face, expected_error=np.ones(5, np.float32))
    assert known.unsure is not None
    assert known.unsure.all()
    assert (known.to_dict()["confidence_is"], known.to_dict()["expected_error"]) == ("probability", [1] * 5)
    assert repr(known).endswith(", confidence 0.40)")


def test_unsure_points_are_hollow():
    points, scheme = np.array([[20.0, 20.0], [60.0, 20.0]]), Scheme("pair", (0, 1))
    image = np.full((80, 80, 3), 100, np.uint8)
    drawn = pictures.draw_face(image, points, scheme, unsure=np.array([False, True]))
    assert (drawn[20, 20] != 100).any()
    assert (drawn[20, 60] == 100).all()
    assert (drawn[15:26, 55:66] != 100).any()


def test_plots_show_every_model_and_the_diagonal():
    figure = confidence_plots.reliability_figure(
        {"a": (np.array([0.5, 0.9]), np.array([0.4, 0.9]))}, near="", protocol=""
    )
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[0, 0], [1, 1]])
    assert figure.axes[0].get_xlim() == pytest.approx((0.4, 1))
    curve = np.arange(1, 21) / 20, np.arange(20) / 100
    (line,) = confidence_plots.risk_coverage_figure({"a": curve}, protocol="").axes[0].lines
    np.testing.assert_allclose(line.get_xydata()[[0, -1]], [[50, 9], [100, 19]])  # The first is of ten faces.


def test_a_report_tells_the_risk_and_whether_confidences_are_true():
    sure = np.linspace(0.5, 0.9, 20)[:, None] * np.ones(68)
    predicted = SimpleNamespace(confidence=sure, points=np.zeros((20, 68, 2)))
    truth = np.zeros((20, 68, 2))
    truth[:, 45, 0] = 1.0  # One of the eye corners is off by the distance of both, all other points are right.
    faces = SimpleNamespace(points=truth, frame_size=64, margin=2.0)
    evaluation = SimpleNamespace(predicted=predicted, faces=faces)
    run = SimpleNamespace(name="mine", trained=SimpleNamespace(confidence=None))
    result: Any = SimpleNamespace(run=run, evaluation=evaluation, nme=np.full(20, 1 / 68), scheme=IBUG68)
    section = confidences([result], "title")
    assert section is not None
    assert "raw scores" in section.parts[-1]
    run.trained.confidence = ConfidenceMap(0.05, "inter_ocular", (Line(1, 0),) * 68, (Line(0, 0),) * 68)
    section = confidences([result], "title")
    assert section is not None
    assert "within 5 %" in section.parts[-3]
    assert "30.0" in section.parts[-1]  # The mouth is near in all faces, and its mean confidence 0.7.
    result.evaluation = None
    assert confidences([result], "title") is None
