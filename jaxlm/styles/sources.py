"""Sources of styles: prepared faces, or photos with a box for each face."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines.input import Faces
from jaxlm.images import cropping
from jaxlm.landmarks import photos
from jaxlm.prediction.box_tables import read_boxes
from jaxlm.styles.translation import Translator

BOXES = "boxes.csv"


class StyleSource(NamedTuple):
    """Photos to take styles from; they need no landmarks.

    Attributes:
      names: The names of the n photos.
      photos: Gives the normalised photos [k, S, S, 3] at indices [k].
    """

    names: tuple[str, ...]
    photos: Callable[[np.ndarray], jax.Array]


def open_styles(where: str, data_dir: str, translator: Translator) -> StyleSource:
    """The style photos in a folder, or else the split `train` of a prepared set or packed file.

    Raises:
      FileNotFoundError: There are no boxes in the folder, or no such set.
      ValueError: See `styles_of_photos`; or the set has no such split, or frames that show less than the translator's
        crop.
    """
    if pathlib.Path(where).is_dir():
        return styles_of_photos(pathlib.Path(where), translator)

    faces, crop = input_lib.open_faces(where, "train", data_dir), translator.config.data.crop
    if faces.margin < crop:
        raise ValueError(
            f"frames of {faces.dataset} show {faces.margin:g} face boxes, and the translator sees {crop:g}; "
            f"prepare that set with --margin {crop:g} or more"
        )
    return styles_of_faces(faces, translator)


def styles_of_faces(faces: Faces, translator: Translator) -> StyleSource:
    """Styles of prepared faces, whatever their landmarks."""
    crop, size = translator.config.data.crop, translator.config.model.input_size

    @jax.jit
    def cut(frames: jax.Array) -> jax.Array:
        return cropping.normalise(cropping.plain_images(frames, size, faces.margin, crop))

    return StyleSource(faces.names, lambda indices: cut(faces.images(indices)))


def styles_of_photos(folder: pathlib.Path, translator: Translator) -> StyleSource:
    """Styles of faces in photos; `boxes.csv` in their folder has the columns file, x1, y1, x2, y2 of jaxlm.predict.

    Raises:
      FileNotFoundError: There are no boxes.
      ValueError: The table is wrong, or holds no box, or a photo cannot be read, or a box is not in it.
    """
    boxes: dict[str, list[np.ndarray]] = {}
    for row in read_boxes(folder / BOXES):
        boxes.setdefault(row.name, []).append(row.box)
    entries = [(name, number, box) for name, found in boxes.items() for number, box in enumerate(found)]
    if not entries:
        raise ValueError(f"{folder / BOXES} holds no box")

    def crop(name: str, box: np.ndarray) -> np.ndarray:
        photo = photos.read_photo(folder / name)
        try:
            photos.check_box(photo, box)
        except photos.PhotoError as error:
            raise photos.PhotoError(f"{folder / BOXES}: {name}: {error}") from None
        return photos.cut_crop(photo, box, translator.config.model.input_size, translator.config.data.crop)[0]

    crops = np.stack([crop(name, box) for name, _, box in entries])
    return StyleSource(
        tuple(f"{name}:{number}" for name, number, _ in entries),
        lambda indices: cropping.normalise(jnp.asarray(crops[indices], jnp.float32)),
    )
