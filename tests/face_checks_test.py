"""What no annotated face can be, and marks of hidden points."""

import numpy as np
import pytest

from jaxlm.data_pipelines.cutting import check_face
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.landmarks import FIVE
from jaxlm.landmarks.face_checks import find_faults
from jaxlm.landmarks.hidden import hide_points, parse_mark
from jaxlm.landmarks.scheme import Scheme
from tiny_archives import ring

EYES = Scheme("eyes", flip=(1, 0, 2, 3, 4), eye_corners=(0, 1))
BOX = np.array([30.0, 20.0, 60.0, 50.0])


def changed(index, x, y):
    points = ring(5)
    points[index] = x, y
    return points


def test_faces_and_hidden_points_pass():
    hidden = changed(1, np.nan, np.nan)
    far = changed(2, -60.0, 20.0)  # Two faces away: odd, and possible.
    points = np.stack([ring(5), hidden, far])
    visible = np.isfinite(points).all(-1)
    visible[0, 3] = False  # Hidden, and its place is known.
    assert list(find_faults(points, visible, np.tile(BOX, (3, 1)), EYES)) == []


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (changed(1, np.nan, np.nan), r"point 1 is at \(nan, nan\); a visible point needs a place"),
        (changed(1, np.nan, 3.0), r"point 1 is at \(nan, 3\)"),
        (changed(2, 1e18, 3.0), r"point 2 is at \(1e\+18, 3\); no photo has such pixels"),
        (changed(2, 1e308, -1e308), "no photo has such pixels"),
        (changed(0, np.inf, 3.0), r"point 0 is at \(inf, 3\)"),
        (changed(4, 400.0, 30.0), r"point 4 at \(400, 30\) lies 1\d faces away from the others"),
        (ring(5, (45.0, 35.0), 3.5), "the face is 6.66 px large; a face has 8 px at least"),
        (ring(5, (0.5, 0.5), 0.2), "between 0 and 1, as shares of the photo: multiply x by the photo's width"),
        (changed(1, *ring(5)[0]), "its eye corners, points 0 and 1, are equal"),
        (ring(5, (500.0, 35.0)), "the face box x 30 to 60, y 20 to 50 lies far from the points"),
    ],
)
def test_impossible_faces_are_named_with_their_value(points, message):
    with pytest.raises(BadFaceError, match=f"^list, line 3: .*{message}"):
        check_face(points, np.ones(5, bool), BOX, "list, line 3", EYES)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((30, 20, 30, 50), "zero size"),
        ((30, 20, np.nan, 50), "is impossible"),
        ((30, 20, 1e17, 50), "is impossible"),
        ((40, 30, 44, 34), "the face box is 4 px large"),
    ],
)
def test_impossible_boxes(box, message):
    with pytest.raises(BadFaceError, match=message):
        check_face(ring(5), np.ones(5, bool), np.array(box), "here")


def test_a_face_has_two_points_and_faults_come_in_order():
    alone = np.full((5, 2), np.nan)
    alone[3] = 40, 30
    points = np.stack([changed(4, 400.0, 30.0), ring(5), alone])
    faults = list(find_faults(points, ~np.isnan(points).any(-1), np.tile(BOX, (3, 1)), FIVE))
    assert [index for index, _ in faults] == [0, 2]
    assert faults[1][1] == "only 1 of its 5 points have a place; a face needs 2"


@pytest.mark.parametrize("count", [1, 2])
def test_outliers_of_a_small_face_do_not_make_it_large(count):
    points = ring(5)
    points[:count] = 4000, 3000
    box = np.array([30.0, 20.0, 4000.0, 3000.0])
    assert "away from the others" in dict(find_faults(points[None], np.ones((1, 5), bool), box[None]))[0]


def test_marks_make_points_hidden():
    places = np.array([[10.0, 20], [-1, -1], [np.nan, np.nan], [0, 0], [-30, -40]])
    np.testing.assert_array_equal(hide_points(places, None, "none"), places)
    negative = hide_points(places[[0, 1, 2, 4]], None, "negative")
    np.testing.assert_array_equal(np.isnan(negative).all(-1), [False, True, True, True])
    one = hide_points(places[:3], None, "-1 -1")
    np.testing.assert_array_equal(np.isnan(one).all(-1), [False, True, True])
    zero = hide_points(places[[0, 3]], None, "0")
    np.testing.assert_array_equal(np.isnan(zero).all(-1), [False, True])
    column = hide_points(places[[0, 3, 4]], np.array([True, False, False]), None)
    np.testing.assert_array_equal(column, [[10, 20], [np.nan, np.nan], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("mark", "x", "y", "hint"),
    [
        (None, -1, -1, "--hidden '-1 -1' or --hidden negative, or"),
        (None, 0, 0, "--hidden '0 0', or --hidden none if it is a place"),
        (None, -30, -4, "them: --hidden negative, or"),
        ("-1 -1", -15, -10, "them: --hidden negative, or"),
        ("-1 -1", 0, 0, "--hidden '0 0', or"),
    ],
)
def test_a_guess_is_refused_with_the_hint(mark, x, y, hint):
    places = np.array([[10.0, 5], [20, 25], [x, y]])
    with pytest.raises(ValueError, match=rf"point 2 is \({x}, {y}\), which may mark a hidden point; .*{hint}"):
        hide_points(places, None, mark)
    np.testing.assert_array_equal(hide_points(places, None, "none"), places)


def test_places_off_the_corner_of_the_photo_are_kept_beside_a_mark():
    places = np.array([[10.0, 8], [20, 25], [-4, -3], [-1, -1]])
    np.testing.assert_array_equal(np.isnan(hide_points(places, None, "-1 -1")).all(-1), [False, False, False, True])


@pytest.mark.parametrize("mark", ["", "x", "1 2 3", "nan nan"])
def test_marks_are_two_values(mark):
    with pytest.raises(ValueError, match="--hidden"):
        parse_mark(mark)


def test_three_points_of_a_profile_are_a_face():
    """The eyes nearly meet, and the chin lies further from them than five times their distance."""
    points = np.array([[138.5, 85.6], [158.0, 83.4], [147.7, 191.5]])
    box = np.array([[88.0, 79.0, 207.0, 198.0]])
    assert not dict(find_faults(points[None], np.ones((1, 3), bool), box))
    points[2] = 147.7, 5000.0
    assert "away from the others" in dict(find_faults(points[None], np.ones((1, 3), bool), box))[0]
