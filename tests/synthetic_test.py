"""Synthetic faces: seeded, exact at their landmarks, and what their attributes say."""

import dataclasses

import cv2
import numpy as np
import pytest

from jaxlm.data_pipelines import synthetic
from jaxlm.data_pipelines.record import ATTRIBUTES
from jaxlm.data_pipelines.synthetic import renderer
from jaxlm.data_pipelines.synthetic.features.brows_nose_mouth import paint_features
from jaxlm.data_pipelines.synthetic.features.head import head_mask
from jaxlm.data_pipelines.synthetic.painting.surface import SMALL
from jaxlm.data_pipelines.synthetic.shape.look import Look
from jaxlm.data_pipelines.synthetic.shape.modes import NUM_IDENTITY, Expression, make_shape
from jaxlm.data_pipelines.synthetic.shape.pose import make_camera, turn_shape
from jaxlm.data_pipelines.synthetic.shape.posed_face import PosedFace, pose_face
from jaxlm.data_pipelines.synthetic.shape.sampling import RATES, sample_look
from jaxlm.data_pipelines.synthetic.shape.template import template
from jaxlm.landmarks.schemes import WFLW98
from tolerances import assert_float32_close, float32_error

FACES = 100


@pytest.fixture(scope="module")
def faces() -> list[synthetic.Face]:
    return [synthetic.render(3, index) for index in range(FACES)]


def _plain_look(seed: int = 0) -> Look:
    """A bare, well-lit person without make-up or glasses."""
    look = sample_look(np.random.default_rng(seed))
    light = dataclasses.replace(
        look.light, direction=np.array([0, -0.3, 0.954], np.float32), ambient=0.5, diffuse=0.6,
        colour=np.ones(3), shadow=0.0, gain=1.0, gamma=1.0, warmth=0.0,
    )  # fmt: skip
    return dataclasses.replace(
        look, attributes=np.zeros(6, bool), light=light, expression=Expression(), style="bald", beard=0.0,
        makeup=None, glasses=None, camera=make_camera(0, 0, 0, 6.0),
    )  # fmt: skip


def _posed_face(yaw: float = 0.0, pitch: float = 0.0, expression: Expression | None = None) -> PosedFace:
    shape = make_shape(np.zeros(NUM_IDENTITY), expression or Expression())
    camera = dataclasses.replace(make_camera(yaw, pitch, 0, 6.0), scale=0.55, offset=(0.5, 0.4))
    return pose_face(shape, camera, turn_shape(shape, camera))


def test_a_face_is_a_pure_function_of_seed_and_index():
    first, again = synthetic.render(5, 7), synthetic.render(5, 7)
    assert first.image.tobytes() == again.image.tobytes()
    np.testing.assert_array_equal(first.points, again.points)
    np.testing.assert_array_equal(first.visible, again.visible)
    for other in (synthetic.render(5, 8), synthetic.render(6, 7)):
        assert np.abs(first.points - other.points).max() > 1
        assert np.mean(np.abs(first.image.astype(int) - other.image)) > 5


def test_faces_have_the_declared_types(faces):
    for face in faces[:3]:
        assert face.image.dtype == np.uint8
        assert face.image.shape == (256, 256, 3)
        assert face.points.dtype == np.float32
        assert face.points.shape == (98, 2)
        assert face.visible.dtype == bool
        assert face.visible.shape == (98,)
        assert face.attributes.dtype == bool
        assert face.attributes.shape == (len(ATTRIBUTES),)


@pytest.mark.parametrize("index", [2, 11])
def test_size_only_rescales(index):
    large, small = synthetic.render(1, index, size=256), synthetic.render(1, index, size=128)
    assert_float32_close((small.points + 0.5) * 2 - 0.5, large.points, depth=4, scale=256)
    np.testing.assert_array_equal(small.visible, large.visible)
    shrunk = cv2.resize(large.image, (128, 128), interpolation=cv2.INTER_AREA).astype(float)
    assert np.corrcoef(shrunk.ravel(), small.image.ravel())[0, 1] > 0.97


def test_the_face_fills_the_central_half(faces):
    low = np.stack([face.points.min(0) for face in faces])
    high = np.stack([face.points.max(0) for face in faces])
    side, centre = (high - low).max(1), (low + high) / 2
    assert 0.93 < np.mean(side) / 128 < 1.0
    assert np.all((side > 0.9 * 128) & (side < 1.05 * 128))
    # Of some faces: how far the places and poses that they were given lie from their mean.
    np.testing.assert_allclose(centre.mean(0), 127.5, rtol=0, atol=0.8)
    assert np.all(np.abs(centre - 127.5) < 0.06 * 128)
    assert centre.std(0).min() > 0.3


def test_margin_sets_the_share_of_the_frame():
    wide, tight = synthetic.render(2, 4), synthetic.render(2, 4, margin=1.25)
    assert_float32_close((wide.points - 127.5) * 2 / 1.25, tight.points - 127.5, depth=8, scale=256)


def test_attributes_are_as_common_as_declared():
    looks = [sample_look(np.random.default_rng((9, index))) for index in range(1500)]
    rates = np.mean([look.attributes for look in looks], axis=0)
    # Of 1500 draws: shares deviate by up to 0.013.
    np.testing.assert_allclose(rates, [RATES[name] for name in ATTRIBUTES], rtol=0, atol=0.04)
    posed = np.array([look.attributes[0] for look in looks])
    turned = np.array([abs(np.rad2deg(look.camera.yaw)) for look in looks])
    assert np.all(turned[~posed] <= 26.01)
    assert turned.max() > 65
    assert all((look.makeup is not None) == look.attributes[3] for look in looks)


def test_blurred_faces_lack_detail(faces):
    detail = np.array([cv2.Laplacian(cv2.GaussianBlur(face.image, (5, 5), 0), cv2.CV_32F).std() for face in faces])
    blurred = np.array([face.attributes[5] for face in faces])
    assert np.median(detail[blurred]) < 0.75 * np.median(detail[~blurred])


def test_the_template_mirrors():
    face = template()
    assert_float32_close(face.points[list(WFLW98.flip)] * (-1, 1, 1), face.points, depth=20)
    assert_float32_close(face.surface[:, ::-1] * (-1, 1, 1), face.surface, depth=20)


@pytest.mark.parametrize("yaw", [0.0, 20.0, 60.0])
def test_turning_the_other_way_mirrors_the_landmarks(yaw):
    shape = make_shape(np.zeros(NUM_IDENTITY), Expression(jaw=0.4, smile=0.5))
    right = turn_shape(shape, make_camera(yaw, 8, 0, 5.0))[:, :98].T
    left = turn_shape(shape, make_camera(-yaw, 8, 0, 5.0))[:, :98].T
    assert_float32_close(left[list(WFLW98.flip)] * (-1, 1, 1), right, depth=40)


@pytest.mark.parametrize(
    ("yaw", "points"), [(0, range(3, 30)), (35, range(17, 30)), (-40, range(3, 16)), (-60, range(8, 16))]
)
def test_contour_points_lie_on_the_outline_of_the_head(yaw, points):
    """The contour of the side that turns away: 1.5 pixels further out there is no head, 1.5 further in there is."""
    face, size = _posed_face(yaw), 256
    mask = head_mask(face, size, np.s_[0:size, 0:size])
    middle = face.points[[30, 2, 57]].mean(0)
    for point in face.points[list(points)]:
        outwards = (point - middle) / np.linalg.norm(point - middle) * 1.5
        outside, inside = (np.floor(point * size + step * outwards).astype(int) for step in (1, -1))
        assert mask[outside[1], outside[0]] < 128
        assert mask[inside[1], inside[0]] > 128


@pytest.mark.parametrize("seed", [0, 1, 2, 4])
def test_the_pupil_is_the_darkest_place_of_the_eye(seed):
    look, size = _plain_look(seed), 512
    image, skin = np.full((size, size, 3), 170, np.uint8), np.full((SMALL, SMALL, 3), 170, np.uint8)
    face = _posed_face(expression=Expression(eyes_closed=(-0.3, -0.3), gaze=(0.3 * seed - 0.5, 0.2)))
    paint_features(image, skin, face, look, np.random.default_rng(0))
    for pupil, eye in ((96, slice(60, 68)), (97, slice(68, 76))):
        lids = np.zeros((size, size), np.uint8)
        cv2.fillPoly(lids, [np.rint(face.points[eye] * size - 0.5).astype(np.int32)], 1)
        # The lash line is dark too.
        inside = cv2.erode(lids, np.ones((11, 11))) > 0
        grey = image.mean(-1)
        y, x = np.nonzero(inside & (grey < 0.3 * look.light.level * look.iris.mean()))
        found = np.array([x.mean(), y.mean()])
        assert np.linalg.norm(found - (face.points[pupil] * size - 0.5)) < 2


@pytest.mark.parametrize("group", [range(33, 42), range(42, 51), range(76, 88)], ids=["left", "right", "lips"])
def test_brows_and_lips_end_where_their_landmarks_are(group):
    """On a plain ground, the box of what is painted is the box of the landmarks, to 2 pixels in 512."""
    size = 512
    plain = np.full((size, size, 3), 170, np.uint8)
    image, skin = plain.copy(), np.full((SMALL, SMALL, 3), 170, np.uint8)
    face = _posed_face()
    paint_features(image, skin, face, _plain_look(), np.random.default_rng(0))
    points = face.points[list(group)] * size - 0.5
    x, y = np.rint(points.mean(0)).astype(int)
    patches = cv2.connectedComponents((cv2.absdiff(image, plain).max(-1) > 40).astype(np.uint8))[1]
    y, x = np.nonzero(patches == patches[y, x])
    np.testing.assert_allclose([x.min(), y.min()], points.min(0), rtol=0, atol=2)
    np.testing.assert_allclose([x.max(), y.max()], points.max(0), rtol=0, atol=2)


def test_closing_an_eye_brings_its_lids_together():
    shape = make_shape(np.zeros(NUM_IDENTITY), Expression(eyes_closed=(1.0, 0.0)))
    heights = shape.points[[66, 74], 1] - shape.points[[62, 70], 1]
    assert heights[0] <= float32_error(depth=4)
    assert heights[1] > 0.05


def test_a_turned_head_hides_its_far_eye(monkeypatch):
    look = dataclasses.replace(_plain_look(), camera=make_camera(65, 0, 0, 6.0))
    monkeypatch.setattr(renderer, "sample_look", lambda rng: look)
    visible = synthetic.render(0, 0).visible
    assert visible[60:68].all()
    assert visible[:17].all()
    assert visible[68:76].mean() < 0.3


def test_what_an_occluder_covers_is_not_visible(monkeypatch):
    """With and without the occluder, the picture differs at the points that are hidden, and only there."""
    hidden_change, seen_change = [], []
    for index in range(12):
        pictures = {}
        for occluded in (False, True):
            look = dataclasses.replace(_plain_look(index), attributes=np.array([0, 0, 0, 0, occluded, 0], bool))
            monkeypatch.setattr(renderer, "sample_look", lambda rng, look=look: look)
            pictures[occluded] = synthetic.render(4, index)
        before, after = pictures[False], pictures[True]
        np.testing.assert_array_equal(before.points, after.points)
        x, y = np.rint(before.points).astype(int).T
        change = np.abs(before.image.astype(int) - after.image).max(-1)[y, x]
        hidden_change.extend(change[before.visible & ~after.visible])
        seen_change.extend(change[after.visible])
        assert not np.any(after.visible & ~before.visible)
    assert len(hidden_change) > 100
    assert np.median(hidden_change) > 3 * np.median(seen_change)
