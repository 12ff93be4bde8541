"""Styling a set with a translator that has learnt nothing: what is drawn, and going on after a kill."""

import dataclasses
import pathlib
from typing import NamedTuple

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import experiment, stylize
from jaxlm.data_pipelines import renders
from jaxlm.data_pipelines.input import Faces, hold_out, open_faces
from jaxlm.images import cropping
from jaxlm.styles import render_files, rendering, sources, translation
from jaxlm.styles.translation import Translator
from jaxlm.training import loop
from tiny_translator import make_translator
from tolerances import assert_float32_close

SIZE = 8  # The smallest; larger crops have more layers to compile.


@pytest.fixture(scope="module")
def translator(pack: pathlib.Path) -> Translator:
    return make_translator(pack, SIZE)


class Made(NamedTuple):
    """What the command made."""

    data_dir: pathlib.Path
    folder: pathlib.Path
    arguments: list[str]


@pytest.fixture(autouse=True)
def _without_a_run(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "load_translator", lambda workdir, step: translator)


@pytest.fixture(scope="module")
def made(translator: Translator, tmp_path_factory: pytest.TempPathFactory) -> Made:
    data_dir = tmp_path_factory.mktemp("data")
    arguments = ["--workdir", "runs/tiny", "--data-dir", str(data_dir), "--name", "styled", "--styles", "2"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(translation, "load_translator", lambda workdir, step: translator)
        stylize.main(arguments)
    return Made(data_dir, data_dir / "styled" / "renders", arguments)


def training_faces(pack: pathlib.Path) -> Faces:
    return hold_out(open_faces(str(pack), "train", ""), 20)[0]


def pictures(folder: pathlib.Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("0*.png")}


def test_every_training_face_is_drawn_and_none_that_was_held_out(made: Made, pack: pathlib.Path):
    training, styled = training_faces(pack), open_faces("styled", "train", made.data_dir)
    assert 0 < len(training) < 60
    assert styled.names == tuple(f"{name}#{k}" for name in training.names for k in (0, 1))
    rows = renders.read_manifest(made.folder)
    assert {row.structure for row in rows} == set(training.names)
    assert {row.style for row in rows} <= set(training.names)
    assert all(row.style != row.structure for row in rows)
    assert {(row.kind, row.seed, row.step) for row in rows} == {("transfer", 0, 7)}
    for field in ("points", "visible", "attributes", "to_source"):
        np.testing.assert_array_equal(getattr(styled, field), np.repeat(getattr(training, field), 2, axis=0))
    assert styled.groups == tuple(np.repeat(training.groups, 2))


def translate(translator: Translator, faces: Faces, style: np.ndarray, structure: np.ndarray) -> np.ndarray:
    latents = translation.encode(translator, translation.crops_of(faces, style, translator)[0])
    points = translation.crops_of(faces, structure, translator)[1]
    return translation.to_uint8(translation.decode(translator, latents, translation.structures_of(points, translator)))


def test_a_picture_has_the_structure_and_the_style_of_its_row(made: Made, translator: Translator, pack: pathlib.Path):
    training = training_faces(pack)
    rows = renders.read_manifest(made.folder)[:64]
    structure, style = (
        np.array([training.names.index(name) for name in names])
        for names in ([row.structure for row in rows], [row.style for row in rows])
    )
    expected = translate(translator, training, style, structure)
    for row, picture in zip(rows, expected, strict=True):
        drawn = cv2.cvtColor(cv2.imread(str(made.folder / row.file)), cv2.COLOR_BGR2RGB)
        assert np.abs(drawn - picture.astype(int)).max() <= 1
    assert np.abs(translate(translator, training, structure, style) - expected.astype(int)).max() > 5
    assert cv2.imread(str(made.folder / "contact_sheet.png")).std() > 5


def test_the_styled_set_can_be_trained_on(made: Made, pack: pathlib.Path):
    config = experiment.load("debug")
    data = dataclasses.replace(config.data, dataset="styled", data_dir=str(made.data_dir))
    _, training, validation = loop.prepare_run(dataclasses.replace(config, data=data))[:3]
    assert len(training) + len(validation) == 2 * len(training_faces(pack))
    assert not set(training.groups) & set(validation.groups)


def test_a_killed_run_goes_on_with_what_is_missing(made: Made, monkeypatch: pytest.MonkeyPatch):
    """The second batch is interrupted; of the first, one picture is then lost and one damaged."""
    whole, rows = pictures(made.folder), renders.read_manifest(made.folder)
    assert len(rows) > 64
    for row in rows:
        (made.folder / row.file).unlink()
    decode, calls = translation.decode, []

    def interrupt(*arguments):
        calls.append(None)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return decode(*arguments)

    monkeypatch.setattr(translation, "decode", interrupt)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        stylize.main(made.arguments)
    assert pictures(made.folder) == {row.file: whole[row.file] for row in rows[:64]}
    (made.folder / rows[3].file).unlink()
    (made.folder / rows[5].file).write_bytes(whole[rows[5].file][:40])
    kept = (made.folder / rows[4].file).stat().st_mtime_ns
    monkeypatch.setattr(translation, "decode", decode)
    stylize.main(made.arguments)
    assert pictures(made.folder) == whole
    assert (made.folder / rows[4].file).stat().st_mtime_ns == kept


def test_processes_share_the_pictures_and_another_number_of_them_goes_on(made: Made, tmp_path: pathlib.Path):
    rows = renders.read_manifest(made.folder)
    image = np.zeros((8, 8, 3), np.uint8)

    def files_of(index: int, count: int) -> set[str]:
        before = {file.name for file in tmp_path.glob("0*.png")}
        drawn = render_files.draw_missing(tmp_path, rows, lambda start: [image] * 64, index, count)
        files = {file.name for file in tmp_path.glob("0*.png")} - before
        assert len(files) == drawn
        return files

    batches = [{row.file for row in rows[start : start + 64]} for start in range(0, len(rows), 64)]
    assert len(batches) > 1
    assert files_of(1, 3) == batches[1]
    assert files_of(1, 2) == set()
    assert files_of(0, 2) == batches[0]
    assert files_of(2, 3) == files_of(0, 1) == set()


def test_other_arguments_are_refused_until_the_set_is_overwritten(made: Made, tmp_path, capsys):
    with pytest.raises(SystemExit):
        stylize.main([*made.arguments, "--seed", "1"])
    assert "seed: 0 there, 1 asked for" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        stylize.main([*made.arguments, "--first-latent", "drawn"])
    assert "first_latent: 'mean' there, 'drawn' asked for" in capsys.readouterr().err


def test_the_control_arm_reconstructs_and_the_prior_draws_by_its_seed(
    translator: Translator, pack: pathlib.Path, tmp_path: pathlib.Path
):
    faces = open_faces(str(pack), "train", "").take(np.arange(4))
    settings = {
        kind: renders.Settings(str(pack), "train", "", 1.0, "", 7, 0, kind, 1, "", 0) for kind in ("self", "prior")
    }
    source = sources.styles_of_faces(faces, translator)
    own = rendering.renderer(translator, faces, source, np.arange(4)[:, None], settings["self"])(0)
    everyone = np.arange(64) % 4
    assert np.abs(own - translate(translator, faces, everyone, everyone).astype(int)).max() <= 1

    def draw(seed: int, start: int) -> np.ndarray:
        chosen = dataclasses.replace(settings["prior"], seed=seed)
        return rendering.renderer(translator, faces, source, None, chosen)(start)

    first = draw(0, 0)
    np.testing.assert_array_equal(first, draw(0, 0))
    assert np.abs(first[:4] - first[4:8].astype(int)).max() > 5
    assert np.abs(first - draw(1, 0).astype(int)).max() > 5
    assert np.abs(first - draw(0, 64).astype(int)).max() > 5


def test_as_published_each_render_draws_its_first_latent(translator: Translator, pack: pathlib.Path):
    """The photos' means are its input; two renders of one photo in one style differ by the draw alone."""
    faces = open_faces(str(pack), "train", "").take(np.arange(4))
    settings = renders.Settings(str(pack), "train", "", 1.0, "", 7, 0, "self", 1, "", 0, "drawn")
    source = sources.styles_of_faces(faces, translator)
    draw = rendering.renderer(translator, faces, source, np.arange(4)[:, None], settings)
    drawn, everyone = draw(0), np.arange(64) % 4
    np.testing.assert_array_equal(drawn, draw(0))
    assert np.abs(drawn[:4] - drawn[4:8].astype(int)).max() > 5
    assert np.abs(drawn - translate(translator, faces, everyone, everyone).astype(int)).max() > 5


def test_photos_with_boxes_give_styles(translator: Translator, tmp_path: pathlib.Path):
    photo = np.zeros((60, 80, 3), np.uint8)
    photo[10:42, 20:52] = (200, 100, 50)
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    (tmp_path / "boxes.csv").write_text("file,x1,y1,x2,y2\na.png,20,10,51,41\na.png,0,0,9,9\n")
    source = sources.open_styles(str(tmp_path), "", translator)
    assert source.names == ("a.png:0", "a.png:1")
    colour = cropping.normalise(jnp.array([200.0, 100.0, 50.0]))
    expected = jnp.broadcast_to(colour, (SIZE, SIZE, 3))
    assert_float32_close(source.photos(np.array([0]))[0], expected, depth=16, scale=2)
    np.testing.assert_array_equal(
        source.photos(np.array([1, 1])), jnp.full((2, SIZE, SIZE, 3), cropping.normalise(0.0))
    )


def test_a_set_gives_styles_whatever_its_frames(translator: Translator, pack: pathlib.Path):
    source = sources.open_styles(str(pack), "", translator)
    expected = translation.crops_of(open_faces(str(pack), "train", ""), np.array([5, 2]), translator)[0]
    assert_float32_close(source.photos(np.array([5, 2])), expected, depth=16)


def test_frames_that_show_too_little_give_no_styles(translator: Translator, pack: pathlib.Path):
    data = dataclasses.replace(translator.config.data, crop=2.5)
    wide = dataclasses.replace(translator, config=dataclasses.replace(translator.config, data=data))
    with pytest.raises(ValueError, match=r"show 2 face boxes, and the translator sees 2\.5; prepare .* --margin 2\.5"):
        sources.open_styles(str(pack), "", wide)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "self"], "--styles 2: with --kind self every face is drawn once"),
        (["--kind", "prior", "--style-photos", "x"], "--style-photos are for --kind transfer"),
        (["--kind", "prior", "--first-latent", "drawn"], "--first-latent drawn is for styles of photos"),
        (["--name", "a b"], "a set needs a name"),
        (["--style-photos", "nothing"], "nothing is not prepared"),
        (["--dataset", "nothing"], "nothing is not prepared"),
        (["--styles", "0"], "--styles must be at least 1, not 0"),
        (["--styles", "60"], "--styles 60: there are"),
    ],
)
def test_wrong_arguments_end_with_an_explanation(made: Made, arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        stylize.main([*made.arguments, *arguments])
    assert caught.value.code == 1
    assert message in capsys.readouterr().err


def test_no_training_faces_is_an_error(translator: Translator, pack: pathlib.Path):
    data = dataclasses.replace(translator.config.data, validation_percent=100)
    nobody = dataclasses.replace(translator, config=dataclasses.replace(translator.config, data=data))
    with pytest.raises(ValueError, match="has no training faces: all 60 of train are held out"):
        rendering.training_faces(nobody, str(pack), "")


def test_a_table_of_boxes_is_checked(translator: Translator, tmp_path: pathlib.Path):
    (tmp_path / "boxes.csv").write_text("file,x1,y1,x2,y2\n")
    with pytest.raises(ValueError, match=r"boxes\.csv holds no box"):
        sources.open_styles(str(tmp_path), "", translator)
    (tmp_path / "boxes.csv").write_text("file,x1,y1,x2,y2\nabsent.jpg,1,2,3,4\n")
    with pytest.raises(ValueError, match=r"absent\.jpg is missing"):
        sources.open_styles(str(tmp_path), "", translator)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "boxes.csv").write_text("file,x1,y1,x2,y2\na.png,30,30,40,40\n")
    with pytest.raises(ValueError, match=r"boxes\.csv: a\.png: box .* is outside"):
        sources.open_styles(str(tmp_path), "", translator)
