"""Styled training faces: `python -m jaxlm.stylize --workdir DIR --name styled_300w` draws each in 8 other styles.

AVS (Qian et al., ICCV 2019): a trained translator renders every training face with its own structure and the styles of
other photos; the labels stay. Faces held out from the translator's training are never drawn. Which style goes to which
face is drawn from a seed and written down before the first picture, as DATA_DIR/NAME/renders/manifest.csv. A run that
was stopped goes on when its command is given again. At its end the set NAME can be trained on, and
`python -m data_pipelines.prepare styled --source DATA_DIR/NAME/renders --name NAME` builds it again. Several processes
that share DATA_DIR, started as for training, share the pictures; each draws on its first device.
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

from jaxlm import augment, checkpoint, distributed, geometry, pictures, translation
from jaxlm.models.vunet import Latents
from jaxlm.render_files import BATCH, contact_sheet, draw_missing
from jaxlm.style_sources import StyleSource, open_styles, styles_of_faces
from jaxlm.translation import Translator

if TYPE_CHECKING:
    from data_pipelines.input import Faces
    from data_pipelines.renders import Settings

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
        rows = np.arange(start, start + BATCH) % (len(faces) * settings.styles)
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
    line. Each process of a run draws a part of the pictures, and the first writes what comes before and after them.

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
    first = jax.process_index() == 0
    if first:
        renders.begin(folder, settings, rows, overwrite)
    distributed.wait_for_all("manifest")
    draw = renderer(translator, faces, source, chosen, settings)
    draw_missing(folder, rows, draw, jax.process_index(), jax.process_count())
    distributed.wait_for_all("renders")
    if first:
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
    from data_pipelines import prepare, prepared, renders, styled

    styled.check_name(name)
    translator = translation.load_translator(workdir, step)
    sets = pathlib.Path(data_dir or translator.config.data.data_dir).resolve()
    folder = sets / name / renders.FOLDER
    draw_renders(folder, translator, workdir, str(sets), **arguments)
    photos = renders.open_photos(renders.read_settings(folder))
    if jax.process_index() == 0:
        options = prepare.Options(sets, frame_size=photos.frame_size, margin=photos.margin)
        prepare.prepare(styled.Styled(folder, name), options)
    distributed.wait_for_all("set")
    return prepared.set_folder(sets, name, photos.frame_size, photos.margin)


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
    distributed.add_arguments(parser)
    arguments = vars(parser.parse_args(argv))
    cluster = {name: arguments.pop(name) for name in ("cluster", "coordinator", "num_processes", "process_id")}
    absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns that its configuration is custom.
    try:
        distributed.start(**cluster)
        stylize(**arguments)
    except (ValueError, OSError, checkpoint.CheckpointError) as error:
        distributed.fail(error)
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        distributed.fail(error)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the same command goes on from there.")


if __name__ == "__main__":
    main()
