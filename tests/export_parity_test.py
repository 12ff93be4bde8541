"""Points of exported files beside ours: how far apart they are, what they cost in NME, and what is refused."""

import numpy as np
import pytest

from jaxlm.interop import parity
from jaxlm.interop.parity import Parity
from jaxlm.interop.parity_faces import ParityFaces
from jaxlm.interop.programs import ExportError
from jaxlm.landmarks.schemes import FIVE

CROPS = np.zeros((34, 8, 8, 3), np.uint8)
# In a box of 10 x 40 px; errors are divided by the square root of its area.
FACE = np.float32([[0, 0], [10, 0], [5, 20], [0, 40], [10, 40]])
DISTANCE = 20.0


def of_faces(*shifts: float) -> np.ndarray:
    """The points of FACE moved to the right, a face for each shift."""
    return np.stack([FACE + np.float32([shift, 0]) for shift in shifts])


def test_programs_are_called_with_one_crop_with_many_and_with_the_rest():
    counts = []

    def detect(crops: np.ndarray) -> tuple[np.ndarray]:
        counts.append(len(crops))
        return (np.full((len(crops), 5, 2), len(counts), np.float32),)

    points = parity.points_of(detect, CROPS)
    assert counts == [1, 31, 2]
    assert points[:, 0, 0].tolist() == [1] + 31 * [2] + 2 * [3]


def test_with_labels_the_cost_is_that_in_nme():
    faces = ParityFaces(CROPS[:2], "two faces", of_faces(0, 0))
    found = parity.compare(of_faces(1, 1), of_faces(1, 2), faces, FIVE)
    assert found.largest == 1
    assert found.ours == pytest.approx(100 / DISTANCE, rel=1e-6)
    assert found.theirs == pytest.approx(150 / DISTANCE, rel=1e-6)
    assert found.cost == pytest.approx(50 / DISTANCE, rel=1e-6)


def test_points_without_a_place_do_not_count_and_faces_without_a_distance_neither():
    truth = of_faces(0, 0, 0)
    truth[0, 2] = np.nan
    truth[1] = 7  # All points are one.
    truth[2] = np.nan
    theirs = of_faces(1, 3, 3)
    theirs[0, 2] += 100
    found = parity.compare(of_faces(0, 0, 0), theirs, ParityFaces(CROPS[:3], "three faces", truth), FIVE)
    assert (found.ours, found.theirs) == (0, pytest.approx(100 / DISTANCE, rel=1e-6))


@pytest.mark.parametrize("truth", [None, np.full((2, 5, 2), np.nan, np.float32)], ids=["rendered", "all hidden"])
def test_without_labels_the_cost_is_the_distance_from_our_points(truth: np.ndarray | None):
    found = parity.compare(of_faces(0, 0), of_faces(0, 1), ParityFaces(CROPS[:2], "two faces", truth), FIVE)
    assert found.ours is None
    assert found.cost == pytest.approx(50 / DISTANCE, rel=1e-6)
    assert found.to_table("float16") == {
        "faces": "two faces",
        "largest_difference_in_crop_pixels": 1,
        "mean_difference_percent": found.cost,
        "normaliser": found.normaliser,
    }


@pytest.mark.parametrize(
    ("found", "precision", "message"),
    [
        (Parity("faces", 0.011, "box", 3.0, 3.0), "float32", "more than 0.01 pixels, so a.onnx is not written"),
        (Parity("faces", 1.0, "box", 3.0, 3.021), "int8", "int8 costs 0.021 points of NME, more than 0.02"),
        (Parity("faces", 1.0, "box", None, 0.021), "int8", "name faces with labels by --faces SET, or give --accept"),
        (Parity("faces", float("nan"), "box", 3.0, 3.0), "int8", "some are not numbers"),
    ],
)
def test_what_is_off_is_refused(found: Parity, precision: str, message: str):
    with pytest.raises(ExportError, match=message):
        parity.check(found, precision, False, "a.onnx")


def test_a_cost_can_be_accepted_but_not_what_is_no_point():
    parity.check(Parity("faces", 9.0, "box", 3.0, 3.019), "int8", False, "a.onnx")
    parity.check(Parity("faces", 0.009, "box", 3.0, 4.0), "float32", False, "a.onnx")
    parity.check(Parity("faces", 9.0, "box", 3.0, 4.0), "int8", True, "a.onnx")
    with pytest.raises(ExportError, match="not numbers"):
        parity.check(Parity("faces", float("nan"), "box", 3.0, 4.0), "int8", True, "a.onnx")


def test_times_are_those_of_a_face(monkeypatch: pytest.MonkeyPatch):
    clock = iter(np.arange(1000.0))
    monkeypatch.setattr(parity.time, "perf_counter", lambda: next(clock))
    assert parity.milliseconds(lambda part: (part,), CROPS[:5]) == 200
