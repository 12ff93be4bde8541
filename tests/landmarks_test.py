import dataclasses

import numpy as np
import pytest

from jaxlm.data_pipelines.stored.labels import read_scheme
from jaxlm.landmarks import (
    FIVE,
    IBUG68,
    LAPA106,
    SCHEMES,
    WFLW98,
    Scheme,
    conversion,
    is_built_in,
    load_scheme,
    scheme_of_text,
    text_of,
)
from jaxlm.landmarks.scheme import to_toml
from jaxlm.models.dpr.coordinates import facial_parts

COUNTS = {"wflw98": 98, "ibug68": 68, "lapa106": 106, "cofw29": 29, "aflw19": 19, "five": 5}


def test_built_in_schemes_have_their_published_number_of_points():
    assert {name: scheme.num_points for name, scheme in SCHEMES.items()} == COUNTS


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_flip_is_an_involution_that_exchanges_sides(scheme: Scheme):
    flip = np.asarray(scheme.flip)
    np.testing.assert_array_equal(flip[flip], np.arange(scheme.num_points))
    if scheme.eye_corners:
        assert flip[scheme.eye_corners[0]] == scheme.eye_corners[1]
    left, right = scheme.pupils
    assert {scheme.flip[i] for i in left} == set(right)


def test_wflw_flip_has_the_ten_fixed_points_of_the_midline():
    fixed = {i for i, j in enumerate(SCHEMES["wflw98"].flip) if i == j}
    assert fixed == {16, 51, 52, 53, 54, 57, 79, 85, 90, 94}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_flip_maps_edges_and_parts_onto_themselves(scheme: Scheme):
    edges = {frozenset(edge) for edge in scheme.edges}
    assert {frozenset((scheme.flip[a], scheme.flip[b])) for a, b in edges} == edges
    parts = {frozenset(points) for points in scheme.parts.values()}
    assert {frozenset(scheme.flip[i] for i in points) for points in parts} == parts


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_point_is_in_exactly_one_part(scheme: Scheme):
    points = sorted(sum(scheme.parts.values(), ()))
    assert points == list(range(scheme.num_points))


@pytest.mark.parametrize("scheme", [WFLW98, IBUG68, LAPA106], ids=lambda scheme: scheme.name)
def test_mirrored_mean_faces_lie_on_themselves_by_the_flip(scheme: Scheme):
    """Each point of a part is nearest to its partner, of all points in the partner's part."""
    face, flip = np.asarray(scheme.mean_face), np.asarray(scheme.flip)
    mirrored = face * (-1, 1) + (2 * face[:, 0].mean(), 0)
    for points in scheme.parts.values():
        partners = flip[list(points)]
        distances = np.linalg.norm(mirrored[list(points), None] - face[None, partners], axis=-1)
        np.testing.assert_array_equal(distances.argmin(axis=1), np.arange(len(points)))
        assert distances.min(axis=1).max() < 0.03


CONVERSIONS = [(WFLW98, IBUG68), (LAPA106, WFLW98), (LAPA106, IBUG68)]


@pytest.mark.parametrize(("source", "target"), CONVERSIONS, ids=str)
def test_conversions_commute_with_the_flip_and_keep_places(source: Scheme, target: Scheme):
    chosen = conversion(source, target)
    assert len(set(chosen.tolist())) == target.num_points
    np.testing.assert_array_equal(np.asarray(source.flip)[chosen], chosen[np.asarray(target.flip)])
    assert tuple(chosen[list(target.eye_corners)]) == source.eye_corners
    np.testing.assert_array_equal(np.asarray(source.mean_face)[chosen], target.mean_face)
    edges = {frozenset(edge) for edge in source.edges}
    if target is WFLW98:
        assert {frozenset(chosen[list(edge)].tolist()) for edge in WFLW98.edges} < edges
        assert [source.names[i] for i in chosen] == list(WFLW98.names)


def test_lapa_has_the_midline_and_the_parts_that_others_know_it_by():
    """Swaps of its 106 points as MMPose lists them; parts of DPR's released networks for 106 points."""
    midline = {i for i, j in enumerate(LAPA106.flip) if i == j}
    assert midline == {16, 51, 52, 53, 54, 60, 87, 93, 98, 102}
    swaps = {0: 32, 33: 46, 38: 50, 55: 65, 59: 61, 66: 79, 70: 75, 71: 82, 74: 83, 84: 90, 91: 95, 101: 103, 104: 105}
    assert {i: LAPA106.flip[i] for i in swaps} == swaps
    assert {part: len(points) for part, points in facial_parts(LAPA106).items()} == {
        "left_eye": 19,
        "right_eye": 19,
        "nose": 15,
        "mouth": 20,
    }


def test_the_points_of_lapa_that_wflw_lacks_lie_beside_their_neighbours():
    face = {name: np.asarray(place) for name, place in zip(LAPA106.names, LAPA106.mean_face, strict=True)}
    lids = [face[f"left_eye_{i}"] for i in range(8)]
    np.testing.assert_allclose(face["left_eye_centre"], np.mean(lids, axis=0), atol=0.002)
    root, side, wing, nostril = (
        face[name] for name in ("left_nose_root", "left_nose_side", "left_nose_wing", "nostrils_0")
    )
    assert face["left_eye_4"][0] < root[0] < face["nose_bridge_0"][0]
    assert root[1] < side[1] < wing[1] < nostril[1]
    assert wing[0] < min(side[0], nostril[0])


def test_conversion_to_the_same_scheme_is_the_identity_and_unknown_ones_are_refused():
    np.testing.assert_array_equal(conversion(FIVE, FIVE), np.arange(5))
    with pytest.raises(ValueError, match="known conversions: wflw98 -> ibug68"):
        conversion(IBUG68, WFLW98)


def test_copies_of_a_scheme_file_are_one_scheme(tmp_path):
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(OWN_SCHEME)
    np.testing.assert_array_equal(
        conversion(*(load_scheme(str(tmp_path / name)) for name in ("a.toml", "b.toml"))), np.arange(3)
    )


OWN_SCHEME = """
name = "mask"
names = ["left_eye", "right_eye", "chin"]
flip = [[0, 1]]
eye_corners = [0, 1]
pupils = [[0], [1]]
edges = [[0, 1, 2]]
[parts]
eyes = [0, 1]
"""


def test_a_scheme_of_ones_own(tmp_path):
    file = tmp_path / "mask.toml"
    file.write_text(OWN_SCHEME)
    scheme = load_scheme(str(file))
    assert scheme.num_points == 3
    assert scheme.flip == (1, 0, 2)
    assert scheme.edges == ((0, 1), (1, 2))
    assert scheme.parts == {"eyes": (0, 1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("flip = [[0, 1]]", "flip = [[0, 3]]"), "pairs of points between 0 and 2"),
        (("eye_corners = [0, 1]", "eye_corners = [0, 9]"), "`eye_corners` names points \\[9\\]"),
        (('name = "mask"', ""), "`name` is missing"),
        (("edges", "egdes"), "unknown keys \\['egdes'\\]"),
        (("flip = [[0, 1]]", "flip = [[0, 1], [1, 2]]"), "must exchange points in pairs"),
        (('names = ["left_eye", "right_eye", "chin"]', ""), "give `count`"),
        (("edges = [[0, 1, 2]]", "edges = [[0, 1"), "mask.toml"),
        (("eye_corners = [0, 1]", "eye_corners = [0]"), "Expected `array` of length 2, got 1 - at `eye_corners`"),
        (("eye_corners = [0, 1]", "eye_corners = [1, 1]"), "`eye_corners` are two points, not 1 twice"),
        (("pupils = [[0], [1]]", "pupils = [[0], []]"), "`pupils` are the points of one eye and those of the other"),
        (("pupils = [[0], [1]]", 'pupils = "ab"'), r"Expected `array \| null`, got `str` - at `pupils`"),
        (("flip = [[0, 1]]", 'flip = [[0, "1"]]'), r"Expected `int`, got `str` - at `flip\[(0|\.\.\.)\]\[1\]`"),
        (('name = "mask"', 'name = "mask"\ncount = -3'), "Expected `int` >= 1 - at `count`"),
        (('name = "mask"', 'name = "mask"\ncount = 1000000000'), "Expected `int` <= 10000 - at `count`"),
        (('name = "mask"', "name = 3"), "Expected `str`, got `int` - at `name`"),
        (('name = "mask"', 'name = "five"'), "five is the name of a built-in scheme of 5 points"),
        (("[parts]", "mean_face = [[0, 0], [1, nan], [1, 1]]\n[parts]"), r"3 points \(x, y\) of finite numbers"),
        (('"right_eye"', '"Left-Eye"'), "`names` calls points 0 and 1 'left_eye' and 'Left-Eye'"),
        (('"right_eye"', '" "'), "`names` has no name for point 1"),
        (
            ("flip = [[0, 1]]", "flip = [[0, 1], [1, 2], [0, 0]]"),
            "`flip` exchanges point 1 with point 0 and with point 2; it has one partner",
        ),
        (("flip = [[0, 1]]", "flip = [[0, 1], [2, 2]]"), "`flip` exchanges point 2 with itself"),
        (("flip = [[0, 1]]", "flip = [[0, 1], [0, 2]]"), "must exchange points in pairs"),
        (("edges = [[0, 1, 2]]", "edges = [[0, 1], [2]]"), r"`edges\[1\]` is a line through 1 points; it needs two"),
        (("edges = [[0, 1, 2]]", "edges = [[0, 1, 1]]"), r"`edges\[0\]` joins point 1 with itself"),
        (("edges = [[0, 1, 2]]", "edges = [[0, -1]]"), r"`edges` names points \[-1\]; there are 0..2"),
        (
            ("[parts]", "mean_face = [[30, 40], [60, 40], [45, 80]]\n[parts]"),
            "`mean_face` has coordinates from 30 to 80",
        ),
        (("[parts]", "[parts]\nnose = []"), "`parts.nose` has no points"),
        (("[parts]", "[parts]\nnose = [2, 0, 2]"), "`parts.nose` has point 2 twice"),
        (("[parts]", "[boundaries]\njaw = [0, 0]\n[parts]"), "`boundaries.jaw` joins point 0 with itself"),
        (("pupils = [[0], [1]]", "pupils = [[0], [1, 1]]"), r"`pupils\[1\]` has point 1 twice"),
        (("[parts]", "[parts]\n" + "a." * 100_000 + "b = 1"), "line 9: a key has too many dots"),
        (("edges = [[0, 1, 2]]", "edges = " + "[" * 100_000), "is nested too deep"),
        (("[parts]", "# " + "x" * 2**20), "more than 1,048,576 bytes"),
    ],
)
def test_a_wrong_scheme_file_is_named_with_what_is_wrong(tmp_path, change, message):
    file = tmp_path / "mask.toml"
    file.write_text(OWN_SCHEME.replace(*change))
    with pytest.raises(ValueError, match=message) as caught:
        load_scheme(str(file))
    assert str(file) in str(caught.value)


def test_text_from_others_is_never_a_path(tmp_path):
    file = tmp_path / "mask.toml"
    file.write_text(OWN_SCHEME)
    assert scheme_of_text(text_of(load_scheme(str(file)))).names[2] == "chin"
    for text in (str(file), f"wflw98+{file}", '{"name": "mask", "count": true}'):
        with pytest.raises(ValueError, match=r"unknown landmark scheme|Expected `int \| null`, got `bool`"):
            scheme_of_text(text)


def test_a_misspelt_scheme_gets_a_suggestion():
    with pytest.raises(ValueError, match="did you mean ibug68"):
        load_scheme("ibug-68")
    with pytest.raises(FileNotFoundError, match=r"none\.toml"):
        load_scheme("none.toml")


def test_counts_alone_make_a_scheme(tmp_path):
    file = tmp_path / "seven.toml"
    file.write_text('name = "seven"\ncount = 7\n')
    assert load_scheme(str(file)).flip == tuple(range(7))


AWKWARD = Scheme(
    name='my "own" + é',
    flip=(1, 0, 2),
    eye_corners=(0, 1),
    pupils=((0,), (1,)),
    parts={'left "eye"': (0,), "": (1, 2)},
    edges=((0, 1), (1, 2)),
    names=("a\\b", "c\n", "d"),
    mean_face=((0.1, 1e-7), (0.5, 0.25), (1.0, 0.0)),
    boundaries={"brow.top": (0, 2)},
)


@pytest.mark.parametrize("scheme", [*SCHEMES.values(), AWKWARD], ids=lambda scheme: scheme.name)
def test_a_scheme_comes_back_from_its_file_and_from_its_text(scheme, tmp_path):
    (tmp_path / "own.toml").write_text(to_toml(scheme), encoding="utf-8")
    assert load_scheme(str(tmp_path / "own.toml")) == scheme
    assert load_scheme(text_of(scheme)) == scheme
    assert load_scheme(f"{text_of(scheme)}+five").num_points == scheme.num_points + 5


def test_built_in_schemes_are_told_by_name_alone_and_others_by_their_tables():
    assert text_of(WFLW98) == "wflw98"
    assert text_of(load_scheme("wflw98+ibug68")) == "wflw98+ibug68"
    impostor = dataclasses.replace(FIVE, edges=())
    assert not is_built_in(impostor)
    assert load_scheme(text_of(impostor)) == impostor


def test_a_scheme_of_a_built_in_name_is_not_converted():
    impostor = dataclasses.replace(WFLW98, edges=())
    with pytest.raises(ValueError, match="known conversions"):
        conversion(impostor, IBUG68)


def test_schemes_can_be_keys():
    copies = {dataclasses.replace(scheme) for scheme in SCHEMES.values()}
    assert len(copies | set(SCHEMES.values())) == len(SCHEMES)


def test_slips_of_older_sets_and_runs_still_open(tmp_path):
    scheme = Scheme("old", flip=(0, 1), names=("a", "a"), parts={"none": ()}, mean_face=((30, 40), (50, 60)))
    file = tmp_path / "scheme.toml"
    file.write_text(to_toml(scheme))
    with pytest.raises(ValueError, match="`names` calls points 0 and 1"):
        load_scheme(str(file))
    assert read_scheme("scheme.toml", file, tmp_path / "metadata.json") == scheme
    assert load_scheme(text_of(scheme)) == scheme
