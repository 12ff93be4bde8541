"""Styled training faces: `python -m jaxlm.stylize --workdir DIR --name styled_300w` draws each in 8 other styles.

AVS (Qian et al., ICCV 2019): a trained translator renders every training face with its own structure and the styles of
other photos; the labels stay. Faces held out from the translator's training are never drawn. Which style goes to which
face is drawn from a seed and written down before the first picture, as DATA_DIR/NAME/renders/manifest.csv. A run that
was stopped goes on when its command is given again. At its end the set NAME can be trained on, and
`python -m data_pipelines.prepare styled --source DATA_DIR/NAME/renders --name NAME` builds it again.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import absl.logging
import jax
import numpy as np
import tqdm

from jaxlm import augment, checkpoint, geometry, pictures, translation
from jaxlm.landmarks import load_scheme
from jaxlm.models.vunet import Latents
from jaxlm.photos import is_truncated, read_photo
from jaxlm.style_sources import StyleSource, open_styles, styles_of_faces
from jaxlm.translation import Translator

if TYPE_CHECKING:
    from data_pipelines.input import Faces
    from data_pipelines.renders import Render, Settings

# Pictures drawn at a time. A draw from the prior depends on it.
_BATCH = 64

_SHEET_FACES = 8
_DEFAULT_STYLES = 8


def renderer(
    translator: Translator, faces: Faces, source: StyleSource, chosen: np.ndarray | None, settings: Settings
) -> Callable[[int], np.ndarray]:
    """A function that draws 64 consecutive rows of the manifest, uint8 [64, S, S, 3], from the given one on."""
    points = points_in_crops(faces, translator)

    @functools.cache
    def codes() -> Latents:
        """The styles of all photos, of which each serves many renders."""
        photos = np.arange(len(source.names))
        return translation.in_batches(lambda indices: translation.encode(translator, source.photos(indices)), photos)

    def draw(start: int) -> np.ndarray:
        rows = np.arange(start, start + _BATCH) % (len(faces) * settings.styles)
        face, style = np.divmod(rows, settings.styles)
        structures = translation.structures_of(points[face], translator)
        if chosen is None:
            key = jax.random.fold_in(jax.random.key(settings.seed), start)
            return translation.to_uint8(translation.sample(translator, structures, key))
        latents = jax.tree.map(lambda means: means[chosen[face, style]], codes())
        return translation.to_uint8(translation.decode(translator, latents, structures))

    return draw


def points_in_crops(faces: Faces, translator: Translator) -> np.ndarray:
    """The faces' points [n, N, 2] in pixels of the translator's crops."""
    config = translator.config
    plain = augment.crop_affine(faces.frame_size, config.model.input_size, faces.margin, config.data.crop)
    return geometry.transform(faces.points, plain)


def draw_missing(folder: pathlib.Path, rows: Sequence[Render], draw: Callable[[int], np.ndarray]) -> int:
    """Draws the pictures that are missing or damaged, and returns how many those were.

    A picture takes its name only when it is whole, so that a run can be killed at any time.
    """
    missing = [not _is_whole(folder / row.file) for row in rows]
    with tqdm.tqdm(total=len(rows), initial=len(rows) - sum(missing), unit=" faces") as bar:
        for start in range(0, len(rows), _BATCH):
            absent = [i for i in range(start, min(start + _BATCH, len(rows))) if missing[i]]
            drawn = draw(start) if absent else ()
            for i in absent:
                unfinished = folder / f"incomplete-{rows[i].file}"
                pictures.save_image(unfinished, drawn[i - start])
                unfinished.replace(folder / rows[i].file)
            bar.update(len(absent))
    return sum(missing)


def _is_whole(file: pathlib.Path) -> bool:
    """Whether a PNG file is there to its end."""
    data = file.read_bytes() if file.exists() else b""
    return bool(data) and not is_truncated(data)


def training_faces(translator: Translator, dataset: str, data_dir: str) -> Faces:
    """The faces of a set that the translator's training takes, and not those it holds out, in its scheme.

    Raises:
      FileNotFoundError: The set is not prepared.
      ValueError: It has no such split, its points cannot be read in that scheme, or nothing is left to train on.
    """
    from data_pipelines import input as input_lib

    data = translator.config.data
    training, held_out = input_lib.open_training(
        dataset,
        data.train_split,
        data_dir,
        data.scheme,
        data.validation_percent,
        label_percent=data.label_percent,
        seed=translator.config.seed,
    )
    if not len(training):
        raise ValueError(f"{dataset} has no training faces: all {len(held_out)} of {data.train_split} are held out")
    return training


def contact_sheet(folder: pathlib.Path, rows: Sequence[Render], faces: Faces, translator: Translator) -> np.ndarray:
    """Up to 8 faces, evenly spaced, with their landmarks, each beside its renders; RGB uint8 [H, W, 3]."""
    styles = len(rows) // len(faces)
    shown = np.linspace(0, len(faces) - 1, min(len(faces), _SHEET_FACES)).astype(int)
    crops, points = translation.crops_of(faces, shown, translator)
    tiles, marks = [], []
    for face, crop, face_points in zip(shown, translation.to_uint8(crops), np.asarray(points), strict=True):
        files = [folder / row.file for row in rows[face * styles : (face + 1) * styles]]
        tiles += [crop, *(read_photo(file) for file in files)]
        marks += [face_points, *[np.full_like(face_points, np.nan)] * styles]
    return pictures.contact_sheet(tiles, marks, load_scheme(faces.scheme), columns=1 + styles, side=128)


def draw_renders(
    folder: pathlib.Path,
    translator: Translator,
    workdir: pathlib.Path,
    data_dir: str | None = None,
    dataset: str | None = None,
    kind: str = "transfer",
    styles: int | None = None,
    style_photos: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Draws faces into a folder of renders, with their manifest and contact sheet; goes on where it stood.

    The folder has a parent of its own; `translator` is that of `workdir`; the other arguments are those of the command
    line.

    Raises:
      FileNotFoundError: A set, or the table of boxes, is missing.
      ValueError: The arguments do not go together, or not with the renders that are there; or no face can be drawn.
    """
    from data_pipelines import renders

    if kind != "transfer" and style_photos:
        raise ValueError(f"--style-photos are for --kind transfer, and not for {kind}")
    if styles is not None and styles < 1:
        raise ValueError(f"--styles must be at least 1, not {styles}")
    if kind == "self" and styles not in (None, 1):
        raise ValueError(f"--styles {styles}: with --kind self every face is drawn once, in its own style")
    data = translator.config.data
    data_dir, dataset = str(pathlib.Path(data_dir or data.data_dir).resolve()), dataset or data.dataset
    faces = training_faces(translator, dataset, data_dir)
    own = styles_of_faces(faces, translator)
    source = open_styles(style_photos, data_dir, translator) if style_photos else own
    settings = renders.Settings(
        dataset=str(pathlib.Path(dataset).resolve()) if dataset.endswith(".npz") else dataset,
        split=data.train_split,
        data_dir=data_dir,
        crop=data.crop,
        run=str(pathlib.Path(workdir).resolve()),
        step=translator.step,
        weights=sum(map(int, jax.tree.leaves(checkpoint.fingerprints(translator.variables)))) % 2**32,
        kind=kind,
        styles=styles or (1 if kind == "self" else _DEFAULT_STYLES),
        style_photos=style_photos or "",
        seed=seed,
    )
    renders.open_photos(settings)  # Whose names must be unique.
    chosen = renders.choose_styles(settings, len(faces), len(source.names))
    rows = renders.make_manifest(settings, faces.names, source.names, chosen)
    renders.begin(folder, settings, rows, overwrite)
    draw_missing(folder, rows, renderer(translator, faces, source, chosen, settings))
    pictures.save_image(folder / "contact_sheet.png", contact_sheet(folder, rows, faces, translator))
    print(f"Renders: {folder}\nStyles: {folder / 'contact_sheet.png'}")


def stylize(
    workdir: pathlib.Path, name: str, data_dir: str | None = None, step: int | None = None, **arguments: Any
) -> pathlib.Path:
    """Draws the faces and prepares the set; the arguments are those of the command line.

    Returns:
      The folder of the set.

    Raises:
      CheckpointError: The translator cannot be loaded.
      FileNotFoundError, ValueError: See `draw_renders`.
    """
    from data_pipelines import prepare, renders, styled

    styled.check_name(name)
    translator = translation.load_translator(workdir, step)
    sets = pathlib.Path(data_dir or translator.config.data.data_dir).resolve()
    folder = sets / name / renders.FOLDER
    draw_renders(folder, translator, workdir, str(sets), **arguments)
    photos = renders.open_photos(renders.read_settings(folder))
    options = prepare.Options(sets, frame_size=photos.frame_size, margin=photos.margin)
    return prepare.prepare(styled.Styled(folder, name), options)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of style translation."""
    parser = argparse.ArgumentParser(prog="python -m jaxlm.stylize", description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, type=pathlib.Path, help="of the translator's training run")
    parser.add_argument("--name", required=True, help="of the new set: letters, digits and _")
    parser.add_argument("--data-dir", help="of the prepared sets, the new one too (default: as in training)")
    parser.add_argument("--dataset", help="whose training faces are drawn (default: the set trained on)")
    parser.add_argument(
        "--kind",
        choices=("transfer", "self", "prior"),
        default="transfer",
        help="styles of other photos; the face's own, to compare with; or drawn from the prior (default: transfer)",
    )
    parser.add_argument("--styles", type=int, help="renders of each face (default: 8, with --kind self 1)")
    parser.add_argument(
        "--style-photos", metavar="DIR or SET", help="take styles from photos in DIR, with boxes.csv, or from a set"
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the styles (default: 0)")
    parser.add_argument("--step", type=int, help="checkpoint to take (default: the best by validation, else the last)")
    parser.add_argument("--overwrite", action="store_true", help="throw away what is there under this name")
    arguments = parser.parse_args(argv)
    absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns that its configuration is custom.
    try:
        stylize(**vars(arguments))
    except (ValueError, OSError, checkpoint.CheckpointError) as error:
        parser.exit(1, f"error: {error}\n")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the same command goes on from there.")


if __name__ == "__main__":
    main()
