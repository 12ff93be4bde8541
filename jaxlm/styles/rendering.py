"""Draws the training faces of a set in other styles (AVS, ICCV 2019), with a manifest, and prepares the new set.

Faces held out from the translator's training are never drawn. Which style goes to which face is drawn from a seed and
written down before the first picture.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxlm import checkpoints
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines import prepared, renders
from jaxlm.data_pipelines.input import Faces
from jaxlm.data_pipelines.preparing.stamps import check_unchanged
from jaxlm.data_pipelines.renders import Settings
from jaxlm.data_pipelines.sources import styled
from jaxlm.drawing import pictures
from jaxlm.images import cropping
from jaxlm.landmarks import geometry
from jaxlm.models.vunet import Latents
from jaxlm.runtime import distributed
from jaxlm.styles import translation
from jaxlm.styles.render_files import BATCH, contact_sheet, draw_missing
from jaxlm.styles.sources import StyleSource, open_styles, styles_of_faces
from jaxlm.styles.translation import Translator

# How many renders a face has where nobody says.
_DEFAULT_STYLES = 8


def renderer(
    translator: Translator, faces: Faces, source: StyleSource, chosen: np.ndarray | None, settings: Settings
) -> Callable[[int], np.ndarray]:
    """A function that draws 64 rows of the manifest, uint8 [64, S, S, 3], from the row of a given number on.

    Args:
      translator: What draws.
      faces: The faces to draw.
      source: Where styles are from.
      chosen: Index of the style of each render [n faces, styles]; None draws styles from the prior.
      settings: Those of the renders.
    """
    points = points_in_crops(faces, translator)

    @functools.cache
    def codes() -> Latents:
        """The styles of all photos, encoded once; each serves many renders."""
        photos = np.arange(len(source.names))
        return translation.in_batches(lambda indices: translation.encode(translator, source.photos(indices)), photos)

    def draw(start: int) -> np.ndarray:
        rows = np.arange(start, start + BATCH) % (len(faces) * settings.styles)
        face, style = np.divmod(rows, settings.styles)
        structures = translation.structures_of(points[face], translator)
        key = jax.random.fold_in(jax.random.key(settings.seed), start)
        if chosen is None:
            return translation.to_uint8(translation.sample(translator, structures, key))
        photos = chosen[face, style]
        if settings.first_latent == "drawn":
            latents = translation.encode(translator, source.photos(photos), key)
        else:
            latents = jax.tree.map(lambda means: means[photos], codes())
        return translation.to_uint8(translation.decode(translator, latents, structures))

    return draw


def points_in_crops(faces: Faces, translator: Translator) -> np.ndarray:
    """The faces' points [n, N, 2] in pixels of the translator's crops.

    Raises:
      ValueError: A point has no place.
    """
    if np.isnan(faces.points).any():
        name = faces.names[int(np.argmax(np.isnan(faces.points).any((1, 2))))]
        raise ValueError(
            f"{faces.dataset}, {faces.split}: {name} has hidden points without a place, which a translator cannot draw"
        )
    config = translator.config
    plain = cropping.crop_affine(faces.frame_size, config.model.input_size, faces.margin, config.data.crop)
    return geometry.transform(faces.points, plain)


def training_faces(translator: Translator, dataset: str, data_dir: str) -> Faces:
    """The faces of a set that the translator is trained on, in its scheme; those held out are not among them.

    Raises:
      FileNotFoundError: The set is not prepared.
      ValueError: It has no such split, its points cannot be read in that scheme, or nothing is left to train on.
    """
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
    kind: renders.Kind = "transfer",
    styles: int | None = None,
    style_photos: str | None = None,
    seed: int = 0,
    first_latent: renders.FirstLatent = "mean",
    overwrite: bool = False,
) -> None:
    """Draws faces into a folder of renders, with their manifest and contact sheet; goes on where a run was stopped.

    The folder is the only one in its parent. `translator` is that of `workdir`. The other arguments are those of
    jaxlm.stylize. Each process of a run draws a part of the pictures; the first one writes the manifest and the sheet.

    Raises:
      FileNotFoundError: A set, or the table of boxes, is missing.
      ValueError: The arguments do not go together, or not with the renders that are there; or no face can be drawn.
    """
    if kind != "transfer" and style_photos:
        raise ValueError(f"--style-photos are for --kind transfer, and not for {kind}")
    if styles is not None and styles < 1:
        raise ValueError(f"--styles must be at least 1, not {styles}")
    if kind == "prior" and first_latent != "mean":
        raise ValueError(f"--first-latent {first_latent} is for styles of photos, and --kind prior draws all latents")
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
        weights=sum(map(int, jax.tree.leaves(checkpoints.fingerprints(translator.variables)))) % 2**32,
        kind=kind,
        styles=styles or (1 if kind == "self" else _DEFAULT_STYLES),
        style_photos=style_photos or "",
        seed=seed,
        first_latent=first_latent,
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
    styled.check_name(name)
    translator = translation.load_translator(workdir, step)
    sets = pathlib.Path(data_dir or translator.config.data.data_dir).resolve()
    folder = sets / name / renders.FOLDER
    draw_renders(folder, translator, workdir, str(sets), **arguments)
    photos = renders.open_photos(renders.read_settings(folder))
    if jax.process_index() == 0:
        from jaxlm.data_pipelines.prepare import Options, prepare  # Not at the top: it is slow to start.

        source, done = styled.Styled(folder, name), prepared.set_folder(sets, name, photos.frame_size, photos.margin)
        options = Options(sets, frame_size=photos.frame_size, margin=photos.margin, overwrite=_is_old(source, done))
        prepare(source, options)
    distributed.wait_for_all("set")
    return prepared.set_folder(sets, name, photos.frame_size, photos.margin)


def _is_old(source: styled.Styled, folder: pathlib.Path) -> bool:
    """Whether a set of the renders is there, and some were drawn anew since it was prepared."""
    try:
        return bool((folder / "dataset_info.json").exists() and not check_unchanged(source, folder))
    except ValueError:
        return True
