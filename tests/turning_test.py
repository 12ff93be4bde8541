"""Turned and closed-eyed faces: where their points lie, what stays as it was, and who never enters."""

import dataclasses
import functools
import pathlib

import numpy as np
import pytest

from jaxlm import turn
from jaxlm.data_pipelines import synthetic
from jaxlm.data_pipelines.faces import Faces, faces_of_records, yaw_masks
from jaxlm.data_pipelines.input import hold_out, open_faces, open_training, write_pack
from jaxlm.data_pipelines.record import Record, encode_image
from jaxlm.data_pipelines.synthetic.shape.modes import NUM_IDENTITY, Expression, make_shape
from jaxlm.data_pipelines.synthetic.shape.pose import make_camera, turn_shape
from jaxlm.data_pipelines.turning import Plan, turn_faces
from jaxlm.data_pipelines.turning.contour import turned_points
from jaxlm.data_pipelines.turning.eyelids import close_eyes
from jaxlm.data_pipelines.turning.fitting import angles_of, fit_head, rotation
from jaxlm.data_pipelines.turning.relief import draw, make_relief
from jaxlm.data_pipelines.turning.turned_faces import turn_face
from jaxlm.landmarks import IBUG68, WFLW98, conversion

SIZE = 128
TO_68 = np.asarray(conversion(WFLW98, IBUG68))
EYES = (slice(36, 42), slice(42, 48))


@functools.cache
def photos(count: int = 12) -> Faces:
    """Rendered faces with 68 points, each a group."""
    records = []
    for index in range(count):
        face = synthetic.render(3, index, SIZE)
        records.append(
            Record(
                image=encode_image(face.image),
                points=face.points[TO_68],
                visible=face.visible[TO_68],
                attributes=face.attributes,
                to_source=np.eye(2, 3, dtype=np.float32),
                name=f"photo {index}",
                group=f"photo {index}",
            )
        )
    return faces_of_records(records, "rendered", "train", IBUG68, SIZE, 2.0, "the generator's")


def posed_points(yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """The 68 points [68, 2] of one head, from far away, in a frame of 256 px where a head unit is 120."""
    identity = np.random.default_rng(5).normal(0, 0.7, NUM_IDENTITY)
    camera = make_camera(yaw, pitch, roll, 50.0)
    camera = dataclasses.replace(camera, scale=120.0, offset=(128.0, 128.0))
    turned = turn_shape(make_shape(identity, Expression(smile=0.5)), camera)
    return camera.to_frame(turned[:, :98])[:2].T[TO_68]


def test_angles_are_those_of_the_rotation_and_of_the_renderers_camera():
    angles = (0.5, -0.2, 0.3)
    assert angles_of(rotation(*angles)) == pytest.approx(angles)
    camera = make_camera(*np.rad2deg(angles), 4.0)
    np.testing.assert_allclose(rotation(*angles)[:2, :2], (camera.roll @ camera.rotation[:2])[:, :2], atol=1e-6)


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0.0, 0.0, 0.0), (20.0, -10.0, 15.0), (-40.0, 8.0, -20.0)])
def test_the_fit_finds_the_pose_of_a_head(yaw: float, pitch: float, roll: float):
    """Within 4 degrees: identity modes, held near 0, take a part of what the pose does."""
    head = fit_head(posed_points(yaw, pitch, roll))
    np.testing.assert_allclose(np.rad2deg(head.angles), (yaw, pitch, roll), rtol=0, atol=4)
    assert head.residual < 0.015


@pytest.mark.parametrize(("start", "target"), [(0.0, 30.0), (10.0, 50.0), (-15.0, -65.0)])
def test_turned_points_are_those_of_the_same_head_in_the_other_pose(start: float, target: float):
    """4 % of the face's size at most on average, and inner points 3 %: depth is a guess from one picture."""
    before, after = posed_points(start, 0.0), posed_points(target, 0.0)
    head = fit_head(before)
    relief = make_relief(head, 256)
    change = np.deg2rad(target - start)
    vertices = relief.turned(head, head.angles[0] + change, head.angles[1])
    placed = turned_points(head, relief, vertices, before, head.angles[0] + change)[:, :2]
    placed += after[17:].mean(0) - placed[17:].mean(0)
    errors = np.linalg.norm(placed - after, axis=1) / np.sqrt(np.prod(np.ptp(after, axis=0)))
    assert errors.mean() < 0.04
    assert errors[17:].mean() < 0.03
    stayed = np.linalg.norm(before - before[17:].mean(0) - (after - after[17:].mean(0)), axis=1)
    assert stayed.mean() / np.sqrt(np.prod(np.ptp(after, axis=0))) > 2 * errors.mean()


@pytest.mark.parametrize("yaw", [35.0, 70.0])
def test_a_mirrored_face_turned_the_other_way_has_mirrored_points(yaw: float):
    """Within a hundredth of a head unit: the triangles of the grid are not mirrored."""
    before = posed_points(10.0, 5.0, 12.0)
    mirrored = (before * (-1, 1) + (255, 0))[list(IBUG68.flip)]

    def turned(points: np.ndarray, yaw: float) -> np.ndarray:
        head = fit_head(points)
        relief = make_relief(head, 256)
        vertices = relief.turned(head, np.deg2rad(yaw), head.angles[1])
        return turned_points(head, relief, vertices, points, np.deg2rad(yaw))[:, :2]

    expected = (turned(before, yaw) * (-1, 1) + (255, 0))[list(IBUG68.flip)]
    np.testing.assert_allclose(turned(mirrored, -yaw), expected, rtol=0, atol=1.2)


def test_a_face_that_is_not_turned_is_the_photo():
    faces = photos()
    photo, points = faces.images(np.array([0]))[0], faces.points[0]
    head = fit_head(points)
    relief = make_relief(head, SIZE)
    vertices = relief.turned(head, *head.angles[:2])
    picture, _ = draw(photo, relief, vertices, SIZE)
    # Places are interpolated in float32, and colours at a 32nd of a pixel.
    assert np.mean(picture != photo) < 0.02
    assert np.abs(picture.astype(int) - photo).max() <= 8
    placed = turned_points(head, relief, vertices, points, head.angles[0])[:, :2]
    # Lips that turn away in the photo, too, are drawn to their outline.
    np.testing.assert_allclose(placed[:48], points[:48], rtol=0, atol=1e-3)
    np.testing.assert_allclose(placed[48:], points[48:], rtol=0, atol=0.02 * head.scale)


@functools.cache
def nearly_frontal() -> list[int]:
    """The photos of heads that are turned by less than 30 degrees."""
    return [index for index, points in enumerate(photos().points) if abs(fit_head(points).angles[0]) < np.deg2rad(30)]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_far_contour_lies_where_the_face_ends_in_the_picture(number: int):
    """Beyond its points, 4 % of the face further out, something else is seen, further back."""
    faces, index = photos(), nearly_frontal()[number]
    photo, points = faces.images(np.array([index]))[0], faces.points[index]
    head = fit_head(points)
    relief = make_relief(head, SIZE)
    away = 1 if head.angles[0] > 0 else -1
    vertices = relief.turned(head, away * np.deg2rad(50.0), head.angles[1])
    placed = turned_points(head, relief, vertices, points, away * np.deg2rad(50.0))
    depth = draw(photo, relief, vertices, SIZE)[1]
    far = slice(10, 15) if away > 0 else slice(2, 7)
    outwards = away * np.array([np.cos(head.angles[2]), np.sin(head.angles[2])])
    step = 0.04 * head.scale

    def seen(places: np.ndarray) -> np.ndarray:
        column, row = np.clip(np.rint(places).astype(int), 0, SIZE - 1).T
        return depth[row, column]

    inside, outside = (seen(placed[far, :2] + side * step * outwards) for side in (-1, 1))
    assert (inside - outside > 0.05 * head.scale).mean() >= 0.8


def test_a_shut_eye_is_flat_and_nothing_else_moves():
    faces = photos()
    for index in range(4):
        photo, points = faces.images(np.array([index]))[0], faces.points[index]
        picture, moved = close_eyes(photo, points)
        others = np.r_[0:36, 48:68]
        np.testing.assert_array_equal(moved[others], points[others])
        for eye in EYES:
            np.testing.assert_array_equal(moved[eye][[0, 3]], points[eye][[0, 3]])
            opening = np.linalg.norm(moved[eye][[1, 2]] - moved[eye][[5, 4]], axis=1)
            before = np.linalg.norm(points[eye][[1, 2]] - points[eye][[5, 4]], axis=1)
            np.testing.assert_allclose(opening, 0.08 * before, rtol=1e-3, atol=1e-3)
        low, high = points[36:48].min(0), points[36:48].max(0)
        changed = np.argwhere((picture != photo).any(-1))[:, ::-1]
        reach = 0.6 * (high[0] - low[0])
        assert len(changed)
        assert ((changed > low - reach) & (changed < high + reach)).all()


def test_turned_faces_are_what_their_names_and_their_yaw_say():
    made = turn_faces(photos(), Plan(copies=3, closed=0.5), "train").faces
    assert (made.dataset, made.scheme, made.frame_size) == ("rendered_turned", IBUG68, SIZE)
    assert len(set(made.names)) == len(made)
    for name, yaw, points in zip(made.names, made.yaw, made.points, strict=True):
        assert f"_yaw{yaw:+03.0f}" in name
        middle = points[[36, 39, 42, 45]].mean(0)
        if abs(yaw) > 30:
            assert np.sign(points[30, 0] - middle[0]) == np.sign(yaw)
    assert {group for name, mask in yaw_masks(made.yaw).items() if mask.any() for group in [name]} == {
        *("yaw 0-30", "yaw 30-60", "yaw 60-90")
    }
    # The box around the points, times 1.1, is the middle half of the frame.
    low, high = made.points.min(1), made.points.max(1)
    np.testing.assert_allclose((low + high) / 2, (SIZE - 1) / 2, rtol=0, atol=1e-3)
    np.testing.assert_allclose((high - low).max(1) * 1.1, SIZE / 2, rtol=1e-4)
    assert {name.split("#")[0] for name in made.names} <= set(made.groups)
    assert 0 < sum("closed" in name for name in made.names) < len(made)


def test_a_face_is_turned_alike_whoever_else_is_there():
    plan = Plan(copies=2, closed=0.5, seed=7)
    everyone = turn_faces(photos(), plan, "train").faces
    alone = turn_faces(photos().take(np.array([5, 2])), plan, "train").faces
    rows = np.array([everyone.names.index(name) for name in alone.names])
    np.testing.assert_array_equal(everyone.points[rows], alone.points)
    assert everyone.read_encoded(rows) == alone.read_encoded(np.arange(len(alone)))
    other = turn_faces(photos().take(np.array([5, 2])), dataclasses.replace(plan, seed=8), "train").faces
    assert set(other.names) != set(alone.names)


def test_points_that_no_head_has_are_left_out():
    faces = photos().take(np.arange(3))
    points = faces.points.copy()
    points[1, 36:48] = points[1, 47:35:-1] + np.array([0, 20])
    points[2, 3] = np.nan
    outcome = turn_faces(dataclasses.replace(faces, points=points), Plan(copies=2), "train")
    assert (outcome.incomplete, outcome.bad_fits, set(outcome.faces.groups)) == (1, 1, {"photo 0"})
    with pytest.raises(ValueError, match=r"none of 3 faces can be turned: 3 lack points, and all 68 need a place$"):
        turn_faces(dataclasses.replace(faces, points=np.full_like(points, np.nan)), Plan(), "train")


def test_a_turn_that_hides_the_near_side_makes_no_face():
    faces = photos()
    photo, points = faces.images(np.array([0]))[0], faces.points[0]
    head = fit_head(points)
    relief = make_relief(head, SIZE)
    away = 1 if head.angles[0] > 0 else -1
    made = [
        turn_face(photo, points, head, relief, (np.deg2rad(away * yaw), head.angles[1]), 2.0) for yaw in (60.0, 120.0)
    ]
    assert made[0] is not None
    assert made[1] is None


def test_held_out_faces_never_enter_and_training_takes_the_pack(tmp_path: pathlib.Path):
    pack, turned, judged = (tmp_path / f"{name}.npz" for name in ("photos", "turned", "judged"))
    write_pack(pack, {"train": photos()})
    common = ["--dataset", str(pack), "--validation-percent", "40", "--copies", "2"]
    turn.main([*common, "--out", str(turned)])
    turn.main([*common, "--out", str(judged), "--held-out"])
    training, held_out = hold_out(photos(), 40)
    made, others = open_faces(str(turned), "train", ""), open_faces(str(judged), "test", "")
    assert set(made.groups) == set(training.groups)
    assert set(others.groups) == set(held_out.groups)
    assert not len(hold_out(made, 40)[1])
    mixed = open_training(str(pack), "train", "", "ibug68", 40, styled=str(turned))[0]
    assert (mixed.num_photos, mixed.num_styled) == (len(training), len(made))
    with pytest.raises(
        ValueError, match=f"all {len(others)} styled faces of rendered_turned are of photos that are held"
    ):
        open_training(str(pack), "train", "", "ibug68", 40, styled=str(judged))


def test_no_pack_but_one_of_turned_faces_is_replaced(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    pack, other, turned = (tmp_path / f"{name}.npz" for name in ("photos", "other", "turned"))
    for path in (pack, other):
        write_pack(path, {"train": photos().take(np.arange(2))})
    before = other.read_bytes()
    common = ["--dataset", str(pack), "--validation-percent", "0", "--copies", "1"]
    with pytest.raises(SystemExit):
        turn.main([*common, "--out", str(other)])
    assert "other.npz is there already and is not a pack of turned faces" in capsys.readouterr().err
    assert other.read_bytes() == before
    for seed in ("0", "1"):
        turn.main([*common, "--seed", seed, "--out", str(turned)])


def test_faces_are_not_turned_twice():
    turned = turn_faces(photos().take(np.arange(2)), Plan(copies=1), "train").faces
    for name in (turned.dataset, f"{turned.dataset}_relabelled"):
        with pytest.raises(ValueError, match=f"{name} has turned faces already; turn the photos"):
            turn_faces(dataclasses.replace(turned, dataset=name), Plan(), "train")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--seed", "-1", "a whole number from 0 to 2147483647, not -1"),
        ("--validation-percent", "-5", "a whole number from 0 to 99, not -5"),
        ("--validation-percent", "101", "a whole number from 0 to 99, not 101"),
        ("--validation-percent", "many", "a whole number from 0 to 99, not many"),
        ("--closed", "nan", "a number from 0 to 1, not nan"),
    ],
)
def test_numbers_out_of_range_are_told(option: str, value: str, message: str, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit, match="2"):
        turn.main(["--dataset", "none.npz", "--out", "new.npz", f"{option}={value}"])
    assert f"{option}: it must be {message}" in capsys.readouterr().err


def test_other_schemes_are_refused(pack: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        turn.main(["--dataset", str(pack), "--out", str(tmp_path / "new.npz")])
    assert "wflw98" in capsys.readouterr().err
