"""Folders of renders, what they refuse, and the set that is prepared from one."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from jaxlm.data_pipelines import prepare, renders
from jaxlm.data_pipelines.input import open_faces
from jaxlm.data_pipelines.renders import Settings
from jaxlm.data_pipelines.sources.styled import Styled, open_renders, place_in_frame
from jaxlm.images import cropping

SETTINGS = Settings(
    dataset="",
    split="train",
    data_dir="",
    crop=1.25,
    run="runs/vunet",
    step=7,
    weights=1,
    kind="transfer",
    styles=2,
    style_photos="",
    seed=3,
)


def settings_of(pack: Path, **changes) -> Settings:
    return dataclasses.replace(SETTINGS, dataset=str(pack), **changes)


def write_folder(pack: Path, folder: Path, faces: int = 3) -> list[renders.Render]:
    """A folder of renders of the first faces of the pack; picture r has the grey value 20 r."""
    settings = settings_of(pack)
    names = open_faces(str(pack), "train", "").names[:faces]
    rows = renders.make_manifest(settings, names, names, renders.choose_styles(settings, faces, faces))
    renders.begin(folder, settings, rows, overwrite=False)
    for number, row in enumerate(rows):
        cv2.imwrite(str(folder / row.file), np.full((40, 40, 3), 20 * number, np.uint8))
    return rows


def run(folder: Path, data_dir: Path, *options: str) -> None:
    arguments = ["styled", "--source", str(folder), "--name", "again", "--data-dir", str(data_dir), *options]
    prepare.main([*arguments, "--frame-size", "64"])


def test_renders_of_earlier_versions_have_means_of_the_first_latent(pack: Path, tmp_path: Path):
    folder = tmp_path / "set" / "renders"
    write_folder(pack, folder)
    file = folder / renders.SETTINGS
    content = json.loads(file.read_text())
    assert content.pop("first_latent") == "mean"
    file.write_text(json.dumps(content))
    assert renders.read_settings(folder) == settings_of(pack)


@pytest.mark.parametrize("own", [True, False])
def test_styles_of_a_face_differ_from_each_other_and_from_its_own(own: bool):
    drawn = renders.draw_styles(20, 20, 8, seed=0, own=own)
    assert drawn.shape == (20, 8)
    assert all(len(set(row)) == 8 for row in drawn.tolist())
    assert (drawn == np.arange(20)[:, None]).any() == (not own)
    assert set(drawn.ravel().tolist()) == set(range(20))


def test_every_other_photo_can_be_a_faces_style():
    drawn = renders.draw_styles(5, 5, 4, seed=0, own=True)
    assert [sorted(row) for row in drawn.tolist()] == [[j for j in range(5) if j != i] for i in range(5)]


def test_styles_depend_on_the_seed_alone():
    draws = [renders.draw_styles(9, 9, 3, seed, own=True).tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    # The draws of a face do not depend on how many are drawn after it.
    assert (
        renders.draw_styles(4, 9, 3, 0, own=False).tolist() == renders.draw_styles(9, 9, 3, 0, own=False)[:4].tolist()
    )


def test_too_few_photos_are_refused():
    with pytest.raises(ValueError, match="--styles 5: there are 4 photos that a face can take a style from"):
        renders.draw_styles(5, 5, 5, seed=0, own=True)


def test_a_manifest_comes_back(tmp_path: Path):
    names = ['a, "b"', "c#1", "d e"]
    rows = renders.make_manifest(SETTINGS, names, names, np.array([[1, 2], [2, 0], [0, 1]]))
    assert [(row.structure, row.style) for row in rows[:3]] == [(names[0], "c#1"), (names[0], "d e"), ("c#1", "d e")]
    assert len({row.file for row in rows}) == 6
    renders.write_renders(tmp_path, SETTINGS, rows)
    assert renders.read_manifest(tmp_path) == rows
    assert renders.read_settings(tmp_path) == SETTINGS


def test_styles_of_the_prior_have_no_name_and_those_of_the_control_arm_are_the_faces_own():
    prior, own = (dataclasses.replace(SETTINGS, kind=kind, styles=1) for kind in ("prior", "self"))
    rows = renders.make_manifest(prior, ["a", "b"], ["a", "b"], renders.choose_styles(prior, 2, 2))
    assert [row.style for row in rows] == ["", ""]
    rows = renders.make_manifest(own, ["a", "b"], ["a", "b"], renders.choose_styles(own, 2, 2))
    assert [(row.structure, row.style, row.kind) for row in rows] == [("a", "a", "self"), ("b", "b", "self")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "seed: 3 there, 4 asked for"),
        ({"step": 8}, "step: 7 there, 8 asked for"),
        ({"weights": 2}, "weights: 1 there, 2 asked for"),
        ({"styles": 1}, "styles: 2 there, 1 asked for"),
    ],
)
def test_other_renders_are_refused_with_the_difference(pack: Path, tmp_path: Path, change, message):
    folder = tmp_path / "again" / "renders"
    rows = write_folder(pack, folder)
    renders.begin(folder, settings_of(pack, data_dir="moved"), rows, overwrite=False)
    with pytest.raises(ValueError, match=rf"other renders; --overwrite starts anew:\n  {message}$"):
        renders.begin(folder, settings_of(pack, **change), rows, overwrite=False)
    with pytest.raises(ValueError, match="the faces to draw, or the photos that styles are from, have changed"):
        renders.begin(folder, settings_of(pack), rows[:-1], overwrite=False)
    renders.begin(folder, settings_of(pack, **change), rows, overwrite=True)
    assert sorted(file.name for file in folder.iterdir()) == [renders.MANIFEST, renders.SETTINGS]


def test_a_set_of_photos_is_never_replaced(pack: Path, tmp_path: Path):
    (tmp_path / "wflw" / "256px").mkdir(parents=True)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="wflw is not a set of styled faces"):
            renders.begin(tmp_path / "wflw" / "renders", settings_of(pack), [], overwrite)


@pytest.mark.parametrize(("size", "crop"), [(32, 1.0), (40, 1.25), (16, 1.0), (64, 2.0), (20, 1.25)])
def test_a_render_goes_where_its_crop_came_from(size: int, crop: float):
    """A smooth picture, cropped as the translator does and placed again, is itself where the crop was."""
    y, x = np.mgrid[:64, :64] / 64
    frame = (128 + 100 * np.stack([np.sin(3 * x), np.cos(3 * y), x - y], axis=-1)).astype(np.uint8)
    render = cv2.warpAffine(frame, cropping.crop_affine(64, size, 2.0, crop), (size, size))
    placed = place_in_frame(render, 64, 2.0, crop)
    first = round(32 - 16 * crop)
    inside = slice(first, 64 - first)
    scale = 32 * crop / size
    # Half a cell at the border, and a cell's slope within, is what sampling may cost.
    assert np.abs(placed[inside, inside].astype(int) - frame[inside, inside]).max() <= (1 if scale == 1 else 6 * scale)
    for side, border in ((placed[:first], placed[first]), (placed[64 - first :], placed[63 - first])):
        assert np.abs(side.astype(int) - border).max(initial=0) <= 2


def test_a_large_render_is_averaged_and_not_sampled():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[::2] = 255
    assert np.abs(place_in_frame(stripes, 64, 2.0, 1.0).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("prepared", [True, False])
def test_labels_are_those_of_the_structure(pack: Path, tmp_path: Path, prepared: bool):
    folder = tmp_path / "again" / "renders"
    rows = write_folder(pack, folder)
    if prepared:
        run(folder, tmp_path / "data")
    photos = open_faces(str(pack), "train", "")
    styled = open_faces("again", "train", tmp_path / "data") if prepared else open_renders(folder, "again")
    assert len(styled) == len(rows) == 6
    assert (styled.dataset, styled.split) == ("again", "train")
    assert (styled.scheme, styled.frame_size, styled.margin, styled.box) == (
        photos.scheme, photos.frame_size, photos.margin, photos.box,
    )  # fmt: skip
    for number, row in enumerate(rows):
        face = photos.names.index(row.structure)
        assert styled.names[number] == f"{row.structure}#{number % 2}"
        assert styled.groups[number] == photos.groups[face]
        for field in ("points", "visible", "attributes", "to_source"):
            np.testing.assert_array_equal(getattr(styled, field)[number], getattr(photos, field)[face])
        assert np.abs(styled.images(np.array([number]))[0].astype(int) - 20 * number).max() <= 1


def test_pictures_that_are_gone_or_damaged_are_named(pack: Path, tmp_path: Path):
    folder = tmp_path / "again" / "renders"
    write_folder(pack, folder)
    damaged = folder / "000001_0.png"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(SystemExit, match=r"manifest\.csv, line 4: the image .*000001_0\.png is truncated"):
        run(folder, tmp_path / "data")
    for gone in ("000000_1.png", "000002_0.png"):
        (folder / gone).unlink()
    with pytest.raises(SystemExit, match=r"2 of its 6 pictures are missing \(000000_1\.png, 000002_0\.png\)"):
        run(folder, tmp_path / "data")
    with pytest.raises(ValueError, match="2 of its 6 pictures are missing"):
        open_renders(folder, "again")
    run(folder, tmp_path / "data", "--skip-bad")
    assert open_faces("again", "train", tmp_path / "data").names == ("train/0#0", "train/1#1", "train/2#1")


def test_wrong_folders_are_explained(pack: Path, tmp_path: Path):
    with pytest.raises(SystemExit, match=r"renders\.json is missing; --source is a folder that jaxlm stylize made"):
        run(tmp_path, tmp_path / "data")
    folder = tmp_path / "again" / "renders"
    rows = write_folder(pack, folder)
    with pytest.raises(SystemExit, match="give --frame-size 64 --margin 2"):
        prepare.main(["styled", "--source", str(folder), "--name", "again", "--data-dir", str(tmp_path / "data")])
    renders.write_renders(folder, settings_of(pack), [rows[0], rows[1]._replace(structure="nobody")])
    with pytest.raises(SystemExit, match=r"line 3: synthetic, split train, has no face nobody"):
        run(folder, tmp_path / "data")
    (folder / renders.MANIFEST).write_text("file\n")
    with pytest.raises(SystemExit, match=r"manifest\.csv, line 1: the columns are file, structure"):
        run(folder, tmp_path / "data")
    with pytest.raises(ValueError, match="a set needs a name of letters"):
        Styled(folder, "a b")
